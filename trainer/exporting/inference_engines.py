"""Export of a trained model for OpenVINO or ONNX Runtime: its signature "tensors" as they read it.

https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html, https://onnx.ai
"""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pipelines.atomic import write_json
from pipelines.inference_engines import (
    InferenceEngineError,
    import_openvino,
    load_engine,
    require_packages,
)
from pipelines.model_contract import DIGESTS_NAME, ENGINE_FILES, EXTRA_FOLDER, TENSORS
from trainer.calibration import sha256_of
from trainer.errors import ExportError
from trainer.exporting.portable import tensors_function
from trainer.exporting.serving_model import Network
from trainer.exporting.source import Source
from trainer.exporting.verify import TOLERANCES, check_close, example_inputs, run_apart
from trainer.exporting.versions import write_version
from trainer.run import Run

ONNX_OPSET = 18  # of 2022; ONNX Runtime reads it from version 1.14 on


@dataclasses.dataclass(frozen=True)
class EngineExport:
    """How a model is written for an engine.

    write: given the signature as a function and the folder. program: knows the engine and
    nothing of this package; takes and gives what `run_apart` says.
    """

    packages: tuple[str, ...]
    write: Callable[[Any, Path], None]
    program: str


def export_for_engine(
    run: str | os.PathLike,
    out: str | os.PathLike,
    format: str,
    name: str = "dfdetect",
    metrics: str | os.PathLike | None = None,
) -> Path:
    """Writes `out`/`name`/`format`-<next number>/ and returns it; see docs/export.md.

    format: "openvino" or "onnx". Raises as `export` does, and ExportError where the extra of that
    name is missing, the engine cannot compute the model, or the export says something else.
    """
    engine = EXPORTS[format]
    try:
        require_packages(format, engine.packages)
    except InferenceEngineError as error:
        raise ExportError(f"--format {format}: {error}") from error
    source = Source.of(Run.open(run), metrics, name)
    network = Network.of(source.model)
    clips = example_inputs(network.frames, network.side_px)
    expected = source.expected_scores(clips)

    def write(folder: Path) -> None:
        engine.write(tensors_function(network, source.temperature), folder)
        files = sorted(folder.iterdir())
        _check(folder, format, clips, expected)
        extra = folder / EXTRA_FOLDER
        extra.mkdir()
        source.write_records(extra)
        write_json(extra / DIGESTS_NAME, {file.name: sha256_of(file) for file in files})

    return write_version(Path(out) / name, write, prefix=f"{format}-")


def write_openvino(tensors: Any, folder: Path) -> None:
    """model.xml and model.bin, by OpenVINO's own reader of TensorFlow's graphs."""
    ov = import_openvino()
    graph, names = _frozen(tensors)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "frozen.pb"
        path.write_bytes(graph.SerializeToString())
        try:
            network = ov.Core().read_model(path)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO cannot compute this model: {error}") from error
        for port in (*network.inputs, *network.outputs):
            (name,) = {names[tensor] for tensor in port.get_names() if tensor in names}
            port.get_tensor().set_names({name})
        # By itself it would round the weights to 16 bits.
        ov.save_model(network, folder / ENGINE_FILES["openvino"], compress_to_fp16=False)


def write_onnx(tensors: Any, folder: Path) -> None:
    """model.onnx, by tf2onnx."""
    import tf2onnx  # of an extra

    for name in ("tf2onnx", "tensorflow"):  # it calls what TensorFlow deprecates
        logging.getLogger(name).setLevel(logging.ERROR)
    graph, names = _frozen(tensors)
    try:
        tf2onnx.convert.from_graph_def(
            graph,
            input_names=[tensor for tensor, name in names.items() if name in TENSORS.inputs],
            output_names=[tensor for tensor, name in names.items() if name in TENSORS.outputs],
            tensors_to_rename=names,
            custom_op_handlers={"Erfc": (_erfc, [])},
            opset=ONNX_OPSET,
            output_path=str(folder / ENGINE_FILES["onnx"]),
        )
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"ONNX cannot express this model: {error}") from error


def _erfc(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Erfc, of exact GELU, as 1 - Erf: tf2onnx 1.17 has no rule for it."""
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    erf = ctx.make_node("Erf", [node.input[0]], shapes=[shape], dtypes=[dtype])
    one = ctx.make_const(f"{name}_one", np.array(1, np.float32))
    ctx.remove_node(name)
    ctx.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=node.output, shapes=[shape], dtypes=[dtype]
    )


def _frozen(tensors: Any) -> tuple[Any, dict[str, str]]:
    """A function's GraphDef with its variables as constants, and the names of its inputs and
    outputs by those of their tensors."""
    concrete = tensors.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete)
    names = {f"{name}:0": name for name in TENSORS.inputs}
    # TensorFlow flattens a function's outputs by the order of their names.
    for name, tensor in zip(sorted(concrete.structured_outputs), frozen.outputs, strict=True):
        names[tensor.name] = name
    return frozen.graph.as_graph_def(), names


def _check(
    folder: Path, format: str, clips: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    """Raises ExportError where the export answers otherwise than the trained model: in a process
    that knows the engine alone, and as `predict` runs it here."""
    empty = {name: np.zeros_like(values[:1]) for name, values in clips.items()}
    inputs = {name: np.concatenate([values, empty[name]]) for name, values in clips.items()}
    apart = run_apart(folder, {TENSORS.name: inputs}, EXPORTS[format].program)
    here = load_engine(format, folder)(inputs["clips"], inputs["mask"])
    for where, outputs in (
        ("in a process of its own", {name: apart[f"{TENSORS.name}/{name}"] for name in here}),
        ("here", here),
    ):
        for name, value in expected.items():
            what = f"{folder}: {name} {where}"
            check_close(outputs[name][:-1], value, TOLERANCES["float32"][name], what)
        for name, value in outputs.items():
            if not np.isnan(value[-1]).all():
                raise ExportError(
                    f"{folder}: {name} {where} of a clip without any frame is {value[-1]}, "
                    "expected NaN."
                )


# The inputs may have any number of clips; here it is a batch at once.
_PROGRAM = """
import sys
import numpy as np
{load}
folder, given, answers = sys.argv[1:]
inputs = {{name.removeprefix("tensors/"): value for name, value in np.load(given).items()}}
{run}
np.savez(answers, **{{f"tensors/{{name}}": value for name, value in outputs.items()}})
"""
EXPORTS = {
    "openvino": EngineExport(
        packages=("openvino",),
        write=write_openvino,
        program=_PROGRAM.format(
            # Without its telemetry: see pipelines/inference_engines.py.
            load='sys.modules["openvino_telemetry"] = None\nimport openvino',
            run="""
settings = {"INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model(f"{folder}/model.xml", "CPU", settings)
outputs = {port.any_name: value for port, value in model(inputs).items()}
""",
        ),
    ),
    "onnx": EngineExport(
        packages=("onnx", "onnxruntime", "tf2onnx"),
        write=write_onnx,
        program=_PROGRAM.format(
            load="import onnxruntime",
            run="""
session = onnxruntime.InferenceSession(
    f"{folder}/model.onnx", providers=["CPUExecutionProvider"]
)
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, session.run(None, inputs)))
""",
        ),
    ),
}

"""Export of a trained model for OpenVINO or ONNX Runtime: its signature "tensors", checked."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.atomic import write_json
from pipelines.inference_engines import (
    OPENVINO_HINTS,
    InferenceEngineError,
    load_engine,
    require_packages,
)
from pipelines.model_contract import (
    DIGESTS_NAME,
    ENGINE_NAME,
    ENGINE_PRECISIONS,
    EXTRA_FOLDER,
    TENSORS,
)
from pipelines.shards.open import ClipDataset
from trainer.calibration import sha256_of
from trainer.errors import ExportError
from trainer.evaluation.calibrate import open_validation
from trainer.evaluation.measured_model import of_tensors
from trainer.exporting.conversion import write_onnx, write_openvino
from trainer.exporting.portable import tensors_function
from trainer.exporting.quantisation import (
    Clip,
    QuantisationEffect,
    calibration_clips,
    measure_effect,
    quantise_onnx,
    quantise_openvino,
)
from trainer.exporting.serving_model import Network
from trainer.exporting.source import Source
from trainer.exporting.verify import TOLERANCES, check_close, example_inputs, run_apart
from trainer.exporting.versions import write_version
from trainer.run import Run


@dataclasses.dataclass(frozen=True)
class EngineExport:
    """How a model is written for an engine.

    write: given the signature as a function and the folder. quantise: given the folder of a
    model in float32, another folder, and clips. programs: by precision; each knows the engine and
    nothing of this package, takes and gives what `run_apart` says.
    """

    packages: tuple[str, ...]
    write: Callable[[Any, Path], None]
    quantise: Callable[[Path, Path, Iterable[Clip]], None]
    programs: Mapping[str, str]
    quantisers: tuple[str, ...] = ()  # packages of the extra "int8"

    def require(self, format: str, precision: str) -> None:
        """Raises InferenceEngineError where a package that it takes to write it is missing."""
        require_packages(format, self.packages)
        if precision == "int8":
            require_packages("int8", self.quantisers)


@dataclasses.dataclass(frozen=True)
class EngineVersion:
    """A written export. effect: of its quantisation, None where it is in floating point."""

    folder: Path
    effect: QuantisationEffect | None

    def __str__(self) -> str:
        return f"{self.effect}\nwrote {self.folder}" if self.effect else f"wrote {self.folder}"


def export_for_engine(
    run: str | os.PathLike,
    out: str | os.PathLike,
    format: str,
    name: str = "dfdetect",
    metrics: str | os.PathLike | None = None,
    precision: str = "float32",
    data: str | os.PathLike | None = None,
) -> EngineVersion:
    """Writes `out`/`name`/`format`-<next number>/; see docs/export.md.

    format: "openvino" or "onnx". precision: of ENGINE_PRECISIONS[format]. data: for "int8", shards
    whose validation clips say how to quantise and what it changes. Raises as `export` does, and
    ExportError where an extra is missing, the engine cannot compute the model, the export says
    something else, or quantisation changes AUC or calibration by too much.
    """
    engine = EXPORTS[format]
    try:
        engine.require(format, precision)
    except InferenceEngineError as error:
        raise ExportError(f"--format {format} --precision {precision}: {error}") from error
    opened = Run.open(run)
    dataset = open_validation(opened, data, purpose="quantisation") if data else None
    source = Source.of(opened, metrics, name)
    network = Network.of(source.model)
    clips = example_inputs(network.frames, network.side_px)
    expected = source.expected_scores(clips)
    effects: list[QuantisationEffect] = []

    def write(folder: Path) -> None:
        tensors = tensors_function(network, source.temperature)
        if precision != "int8":
            engine.write(tensors, folder)
            _check(folder, format, precision, clips, expected)
        else:
            assert dataset
            with tempfile.TemporaryDirectory() as temporary:
                plain = Path(temporary)
                engine.write(tensors, plain)
                _check(plain, format, "float32", clips, expected)
                engine.quantise(plain, folder, calibration_clips(dataset))
                effects.append(_effect(plain, folder, format, source, dataset))
            _check(folder, format, precision, clips)
        _write_extra(folder, source, precision, *effects)

    version = write_version(Path(out) / name, write, prefix=f"{format}-")
    return EngineVersion(version, effects[0] if effects else None)


def _effect(
    plain: Path, folder: Path, format: str, source: Source, dataset: ClipDataset
) -> QuantisationEffect:
    """What became of the model in `plain` by its quantisation in `folder`. Raises ExportError
    where it is too much."""
    before, after = (
        of_tensors(
            load_engine(format, place, precision),
            source.description,
            f"the model in {precision}",
            source.run.record,
            source.run.folder,
        )
        for place, precision in ((plain, "float32"), (folder, "int8"))
    )
    effect = measure_effect(before, after, dataset)
    effect.check()
    return effect


def _write_extra(
    folder: Path, source: Source, precision: str, effect: QuantisationEffect | None = None
) -> None:
    """Writes what lies beside the model's own files, and the digests of all that decides what an
    engine computes."""
    files = sorted(folder.iterdir())
    extra = folder / EXTRA_FOLDER
    extra.mkdir()
    source.write_records(extra)
    record = {"precision": precision, "quantisation": effect and dataclasses.asdict(effect)}
    write_json(extra / ENGINE_NAME, record)
    digests = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in (*files, extra / ENGINE_NAME)
    }
    write_json(extra / DIGESTS_NAME, digests)


def _check(
    folder: Path,
    format: str,
    precision: str,
    clips: dict[str, np.ndarray],
    expected: dict[str, np.ndarray] | None = None,
) -> None:
    """Raises ExportError where the export answers otherwise than the trained model: in a process
    that knows the engine alone, and as `predict` runs it here.

    expected: without it, the two are compared with each other.
    """
    empty = {name: np.zeros_like(values[:1]) for name, values in clips.items()}
    inputs = {name: np.concatenate([values, empty[name]]) for name, values in clips.items()}
    apart = run_apart(folder, {TENSORS.name: inputs}, EXPORTS[format].programs[precision])
    here = load_engine(format, folder, precision)(inputs["clips"], inputs["mask"])
    if expected is None:
        expected = {name: here[name][:-1] for name in TOLERANCES[precision]}
    for where, outputs in (
        ("in a process of its own", {name: apart[f"{TENSORS.name}/{name}"] for name in here}),
        ("here", here),
    ):
        for name, value in expected.items():
            what = f"{folder}: {name} {where}"
            check_close(outputs[name][:-1], value, TOLERANCES[precision][name], what)
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


def _openvino_program(hint: str) -> str:
    return _PROGRAM.format(
        # Without its telemetry: see pipelines/inference_engines.py.
        load='sys.modules["openvino_telemetry"] = None\nimport openvino',
        run=f"""
settings = {{"INFERENCE_PRECISION_HINT": "{hint}"}}
model = openvino.Core().compile_model(folder + "/model.xml", "CPU", settings)
outputs = {{port.any_name: value for port, value in model(inputs).items()}}
""",
    )


_ONNX_PROGRAM = _PROGRAM.format(
    load="import onnxruntime",
    run="""
session = onnxruntime.InferenceSession(
    f"{folder}/model.onnx", providers=["CPUExecutionProvider"]
)
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, session.run(None, inputs)))
""",
)
EXPORTS = {
    "openvino": EngineExport(
        packages=("openvino",),
        write=write_openvino,
        quantise=quantise_openvino,
        quantisers=("nncf",),
        programs={precision: _openvino_program(hint) for precision, hint in OPENVINO_HINTS.items()},
    ),
    "onnx": EngineExport(
        packages=("onnx", "onnxruntime", "tf2onnx"),
        write=write_onnx,
        quantise=quantise_onnx,
        programs=dict.fromkeys(ENGINE_PRECISIONS["onnx"], _ONNX_PROGRAM),
    ),
}

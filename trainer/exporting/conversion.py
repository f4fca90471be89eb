"""Conversion of the signature "tensors" to the files of OpenVINO and of ONNX.

https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html,
https://github.com/onnx/tensorflow-onnx
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pipelines.inference_engines import import_openvino
from pipelines.model_contract import ENGINE_FILES, TENSORS
from trainer.errors import ExportError

ONNX_OPSET = 18  # of 2022; ONNX Runtime reads it from version 1.14 on


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

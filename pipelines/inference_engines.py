"""Inference engines other than TensorFlow for an exported model: OpenVINO and ONNX Runtime.

Both run the signature "tensors" as `dfdetect export --format` wrote it. Importing this loads
neither; they come with the extras "openvino" and "onnx".
"""

from __future__ import annotations

import abc
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import DfdetectError
from pipelines.model_contract import ENGINE_FILES, ENGINE_PRECISIONS, TENSORS

# Clips uint8 (B, T, H, W, 3) and mask bool (B, T) -> outputs of the signature "tensors", by name.
InferenceEngine = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
# For OpenVINO, the type of what is not quantised; by itself it takes bfloat16 where the CPU can.
OPENVINO_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class InferenceEngineError(DfdetectError):
    """An engine is not installed, does not load an export, or does not take its inputs."""


def require_packages(extra: str, packages: Sequence[str]) -> None:
    """Raises InferenceEngineError, which names the extra, where a package is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InferenceEngineError(
            f"The package {missing[0]!r} is not installed: pip install 'dfdetect[{extra}]'."
        )


def import_openvino() -> Any:
    """OpenVINO, without its telemetry.

    `import openvino` alone reports its use to Google Analytics and leaves files in ~/intel; where
    the package that does so is missing, it goes without (openvino/tools/ovc/telemetry_stub.py).
    """
    require_packages("openvino", ["openvino"])
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def load_engine(format: str, folder: Path, precision: str = "float32") -> InferenceEngine:
    """The export in a folder, ready to run on the CPU. Threads may share it.

    format: "openvino" or "onnx". precision: of ENGINE_PRECISIONS. Raises InferenceEngineError
    where the engine is not installed, cannot read the file or does not compute so.
    """
    path = folder / ENGINE_FILES[format]
    if precision not in ENGINE_PRECISIONS[format]:
        raise InferenceEngineError(
            f"{path} is to be computed in {precision!r}, which this version does not do for "
            f"{format}; it does {', '.join(ENGINE_PRECISIONS[format])}. Export the model again."
        )
    try:
        return OpenVino(path, precision) if format == "openvino" else OnnxRuntime(path)
    except InferenceEngineError:
        raise
    except Exception as error:  # ONNX Runtime's have no other base
        raise InferenceEngineError(f"{path} cannot be loaded: {str(error)[:500]}") from error


class ClipEngine(abc.ABC):
    """An engine that runs clip by clip: a batch needs the memory of one clip, and each clip's
    scores are the same whatever is asked about beside it.

    Calls of several threads take turns: each uses all cores.
    """

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._shape = self._load()

    @abc.abstractmethod
    def _load(self) -> tuple[int, ...]:
        """Opens the file -> (T, H, W, 3): a clip as the model takes it."""

    @abc.abstractmethod
    def _run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """clips (1, T, H, W, 3) and mask (1, T) -> outputs of one row, by name, until the next
        call."""

    def __call__(self, clips: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        """Raises InferenceEngineError where the inputs are of another shape or type than the
        model's, or the engine fails.

        The outputs of a clip without any frame are NaN.
        """
        if clips.shape[1:] != self._shape or mask.shape != clips.shape[:2]:
            raise InferenceEngineError(
                f"{self._path}: clips of shape {clips.shape} and a mask of {mask.shape}; expected "
                f"(B, {', '.join(map(str, self._shape))}) and (B, {self._shape[0]})."
            )
        if clips.dtype != np.uint8 or mask.dtype != np.bool_:
            raise InferenceEngineError(
                f"{self._path}: clips of {clips.dtype} and a mask of {mask.dtype}; expected uint8 "
                "and bool."
            )
        batch = len(mask)
        shapes = {"probability_fake": (batch,), "logit": (batch,), "frame_probability": mask.shape}
        outputs = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        with self._lock:
            for i in range(batch):
                row = self._answer({"clips": clips[i : i + 1], "mask": mask[i : i + 1]})
                for name, values in outputs.items():
                    values[i] = row[name][0]
        return outputs

    def _answer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._run(inputs)
        except Exception as error:  # as in load_engine
            raise InferenceEngineError(f"{self._path} failed: {str(error)[:500]}") from error


class OpenVino(ClipEngine):
    """A model.xml (OpenVINO IR, with its model.bin) on the CPU.

    https://docs.openvino.ai/2026/openvino-workflow/running-inference.html
    """

    def __init__(self, path: Path, precision: str = "float32"):
        self._hint = OPENVINO_HINTS[precision]
        super().__init__(path)

    def _load(self) -> tuple[int, ...]:
        ov = import_openvino()
        core = ov.Core()
        network = core.read_model(self._path)
        shape = tuple(network.input("clips").partial_shape[1:].to_shape())
        # Kernels are chosen for this one shape, now and not at the first call.
        network.reshape({"clips": [1, *shape], "mask": [1, shape[0]]})
        settings = {"INFERENCE_PRECISION_HINT": self._hint, "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(network, "CPU", settings).create_infer_request()
        return shape

    def _run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._request.infer(inputs)
        return {name: self._request.get_tensor(name).data for name in TENSORS.outputs}


class OnnxRuntime(ClipEngine):
    """A model.onnx on the CPU. https://onnxruntime.ai/docs/api/python/api_summary.html"""

    def _load(self) -> tuple[int, ...]:
        require_packages("onnx", ["onnxruntime"])
        import onnxruntime  # of an extra

        onnxruntime.set_default_logger_severity(3)  # errors; what it warns of is not ours to mend
        self._session = onnxruntime.InferenceSession(
            os.fspath(self._path), providers=["CPUExecutionProvider"]
        )
        (clips,) = (given for given in self._session.get_inputs() if given.name == "clips")
        return tuple(clips.shape[1:])

    def _run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = self._session.run(list(TENSORS.outputs), inputs)
        return dict(zip(TENSORS.outputs, values, strict=True))

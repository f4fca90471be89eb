"""An exported model, opened once: a version's folder, what lies in it, and what runs it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.inference_engines import InferenceEngine, InferenceEngineError, load_engine
from pipelines.model_contract import (
    DIGESTS_NAME,
    ENGINE_FILES,
    ENGINE_NAME,
    EXTRA_FOLDER,
    FACTS_NAME,
    PREPROCESS_NAME,
    TENSORS,
    TRAINING_NAME,
    VERDICT_NAME,
    ModelContractError,
    ModelDescription,
    engine_format,
    newest_version,
)

# A few bytes in an export that tell its graph and its weights: SavedModel's own, and ours.
_PRINTS = ("fingerprint.pb", DIGESTS_NAME)


def export_identity(files: Iterable[tuple[str, int]], read: Callable[[str], bytes]) -> list[Any]:
    """What tells an export from others of its name and version, as JSON.

    files: (path, bytes) of each, within its folder. read: gives the content of one.
    """
    listed = sorted(files)
    prints = [name for name, _ in listed if os.path.basename(name) in _PRINTS]
    return [listed, [hashlib.sha256(read(name)).hexdigest() for name in prints]]


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A version of a model that `dfdetect export` wrote.

    What it holds is read when it is first asked for, and once; a model server's clients, for
    one, need its graph alone.
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | os.PathLike) -> ExportedModel:
        """folder: a version, or a folder of versions, of which the newest is taken.

        Raises FileNotFoundError where there is none.
        """
        return cls(newest_version(Path(folder)))

    @property
    def name(self) -> str:
        """NAME/VERSION, as a model server would call it."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def identity(self) -> list[Any]:
        """See `export_identity`. Raises OSError."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return export_identity(
            ((path.relative_to(self.folder).as_posix(), path.stat().st_size) for path in files),
            lambda name: (self.folder / name).read_bytes(),
        )

    @property
    def format(self) -> str:
        """ "saved-model", "openvino" or "onnx"."""
        return engine_format(self.folder) or "saved-model"

    @property
    def precision(self) -> str:
        """The type that an export for another engine computes frames in; see ENGINE_PRECISIONS."""
        path = self.extra / ENGINE_NAME
        if not path.is_file():  # of earlier exports
            return "float32"
        return json.loads(path.read_text())["precision"]

    @property
    def extra(self) -> Path:
        """The folder of what goes along with the graph."""
        return self.folder / EXTRA_FOLDER

    @functools.cached_property
    def description(self) -> ModelDescription:
        """What the model says of itself in its folder.

        Raises FileNotFoundError where the folder holds a model of another maker, and
        ModelContractError where the files are damaged.
        """
        texts = []
        for name in (PREPROCESS_NAME, VERDICT_NAME):
            if not (self.extra / name).is_file():
                raise FileNotFoundError(
                    f"{self.extra / name} is missing: {self.folder} is no model of "
                    "`dfdetect export`."
                )
            texts.append((self.extra / name).read_text())
        facts = self.extra / FACTS_NAME  # not of earlier exports
        texts += [facts.read_text()] if facts.is_file() else []
        try:
            return ModelDescription.from_json(*texts)
        except ModelContractError as error:
            raise ModelContractError(f"{self.folder}: {error}") from error

    @functools.cached_property
    def training(self) -> Mapping[str, Any]:
        """The config.json of its training; empty where it did not come along."""
        path = self.extra / TRAINING_NAME
        return json.loads(path.read_text()) if path.is_file() else {}

    @functools.cached_property
    def graph(self) -> Any:
        """The SavedModel as TensorFlow loads it, with `signatures` from tensors to tensors by name;
        takes seconds. Raises OSError where it cannot be loaded."""
        import tensorflow as tf  # takes seconds, and who reads descriptions needs none

        return tf.saved_model.load(str(self.folder))

    @functools.cached_property
    def tensors(self) -> InferenceEngine:
        """The signature "tensors" on arrays, run by the engine that the export is for: TensorFlow
        where it is a SavedModel. Takes seconds to load.

        Raises InferenceEngineError or OSError where it cannot be loaded, or where the files for
        another engine are not those that were exported.
        """
        if self.format != "saved-model":
            self._check_digests()
            return load_engine(self.format, self.folder, self.precision)
        import tensorflow as tf  # as above

        signature = self.graph.signatures[TENSORS.name]

        def run(clips: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
            outputs = signature(clips=tf.convert_to_tensor(clips), mask=tf.convert_to_tensor(mask))
            return {name: value.numpy() for name, value in outputs.items()}

        return run

    def _check_digests(self) -> None:
        """Raises InferenceEngineError where a file is missing or another than sha256.json says."""
        path = self.extra / DIGESTS_NAME
        again = "Copy the folder again from where it was exported, or export the model again."
        try:
            digests = dict(json.loads(path.read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise InferenceEngineError(
                f"{path} cannot be read ({error}), so the model's files cannot be checked. {again}"
            ) from error
        for name in sorted({ENGINE_FILES[self.format], *digests}):
            file, expected = self.folder / name, digests.get(name)
            if not file.is_file():
                raise InferenceEngineError(f"{file} is missing; {path} lists it. {again}")
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            if found != expected:
                raise InferenceEngineError(
                    f"{file} was changed since its export: its SHA-256 is {found}, {path} says "
                    f"{expected}. {again}"
                )

"""A SavedModel loaded in this process, by TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.client.errors import InvalidRequest
from serving.client.model import BATCH, SignatureModel


def model_folder(base: Path, name: str) -> Path:
    """The folder of the model `name`: that within `base`, or `base` where there is none."""
    return base / name if (base / name).is_dir() else base


def newest_version(folder: Path) -> Path:
    """`folder` itself if it is a version of a model, else its version with the highest number.

    Raises FileNotFoundError where there is none.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [p for p in folder.glob("[0-9]*") if p.name.isdigit() and p.is_dir()]
    if not versions:
        raise FileNotFoundError(
            f"{folder}: holds neither saved_model.pb nor a numbered version of a model. "
            "Make one with `dfdetect export`."
        )
    return max(versions, key=lambda p: int(p.name))


class InProcessModel(SignatureModel):
    """A SavedModel loaded in this process. Loading takes seconds: keep one per process.

    folder: a version of a model, or of its versions, of which the newest is taken.
    """

    def __init__(self, folder: str | Path, batch: int = BATCH):
        super().__init__(batch)
        version = newest_version(Path(folder))
        import tensorflow as tf

        self._version = f"{version.parent.name}/{version.name}"
        self._loaded = tf.saved_model.load(str(version))

    def version(self) -> str:
        return self._version

    def _run(self, signature: str, name: str, strings: Sequence) -> Mapping[str, Any]:
        import tensorflow as tf

        signatures = self._loaded.signatures
        if signature not in signatures:
            raise InvalidRequest(
                f"{self._version}: no signature {signature!r}; there are {sorted(signatures)}. "
                "Export the model again."
            )
        try:
            outputs = signatures[signature](**{name: tf.constant(strings, tf.string)})
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise InvalidRequest(f"{self._version}: {str(error)[:500]}") from error
        return {key: value.numpy() for key, value in outputs.items()}

"""The exported model's contract: files, signatures, versions, and its description of itself.

`dfdetect export` writes by it; evaluation, the clients and the model server read by it. Loads no
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.config import PreprocessConfig
from pipelines.errors import DfdetectError
from pipelines.verdict import Thresholds

# A version's folder. TensorFlow Serving leaves what lies in assets.extra/ alone, except for the
# warm-up requests.
SAVED_MODEL_NAME = "saved_model.pb"
EXTRA_FOLDER = "assets.extra"
PREPROCESS_NAME = "preprocess.json"
VERDICT_NAME = "verdict.json"
FACTS_NAME = "facts.json"
TRAINING_NAME = "config.json"  # of the training, less the path of its data
SEEN_NAME = "seen.json"  # hashes of the videos and people that the model was trained on
CARD_NAME = "model_card.md"
WARMUP_NAME = "tf_serving_warmup_requests"

# Exports for other engines than TensorFlow, in NAME/FORMAT-NUMBER/: the format -> the file that the
# engine opens.
ENGINE_FILES = {"openvino": "model.xml", "onnx": "model.onnx"}
# The types that they compute frames in; int8 is a quantised model, the rest of it float32.
ENGINE_PRECISIONS = {"openvino": ("float32", "bfloat16", "int8"), "onnx": ("float32", "int8")}
DIGESTS_NAME = "sha256.json"  # file -> SHA-256 of such an export
ENGINE_NAME = "engine.json"  # its precision, and what quantisation did to its scores

BATCH = 8  # clips in a request of our clients at most; `serving/deploy/batching.pbtxt` allows it


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of the model, by the names that its callers use; docs/export.md has the shapes."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


_SCORES = ("probability_fake", "logit", "frame_probability")
SERVING_DEFAULT = Signature("serving_default", ("frames",), _SCORES)
TENSORS = Signature("tensors", ("clips", "mask"), _SCORES)
EXAMPLES = Signature("examples", ("examples",), _SCORES)
EXPLAIN = Signature("explain", ("frames",), ("heat_map", "probability_fake"))
CONFIG = Signature("config", ("query",), ("preprocess_json", "verdict_json", "facts_json"))
SIGNATURES = (SERVING_DEFAULT, TENSORS, EXAMPLES, EXPLAIN, CONFIG)


class ModelContractError(DfdetectError, ValueError):
    """A model's description of itself that is not what `dfdetect export` writes."""


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Of the test videos that were scored from `low` to `high`, how many there are and are fake."""

    low: float
    high: float
    videos: int
    fake: int


@dataclasses.dataclass(frozen=True)
class ModelProvenance:
    """Where a model comes from and how it did in its test; empty and None where nobody said.

    trained_on, tested_on: names of data sets. false_alarm_rate: the share of the test's real
    videos called FAKE. reliability: bins of scores from 0 to 1. sample_data: whether it was
    trained on the generated set, which only serves to try the system.
    """

    trained_on: tuple[str, ...] = ()
    tested_on: tuple[str, ...] = ()
    test_videos: int | None = None
    false_alarm_rate: float | None = None
    reliability: tuple[ReliabilityBin, ...] | None = None
    sample_data: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What facts.json holds."""
        bins = self.reliability
        return {
            "trained_on": list(self.trained_on),
            "sample_data": self.sample_data,
            "tested_on": list(self.tested_on),
            "test_videos": self.test_videos,
            "false_alarm_rate": self.false_alarm_rate,
            "reliability": None if bins is None else [dataclasses.asdict(b) for b in bins],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelProvenance:
        """From what facts.json holds; what else is in it is not read."""
        bins = values.get("reliability")
        names = [field.name for field in dataclasses.fields(ReliabilityBin)]
        return cls(
            tuple(values.get("trained_on") or ()),
            tuple(values.get("tested_on") or ()),
            values.get("test_videos"),
            values.get("false_alarm_rate"),
            bins and tuple(ReliabilityBin(**{name: b[name] for name in names}) for b in bins),
            bool(values.get("sample_data")),
        )


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """What a model says of itself, in its assets.extra/ and by its signature "config".

    preprocess: how the crops of its training were made, and fingerprint: theirs, which is another
    than that of `preprocess` where this version of the package would make other crops.
    calibration: how the thresholds and the temperature were fitted, None where they were not.
    """

    preprocess: PreprocessConfig
    fingerprint: str
    thresholds: Thresholds
    calibration: Mapping[str, Any] | None = None
    provenance: ModelProvenance = ModelProvenance()

    def to_dicts(self) -> dict[str, dict[str, Any]]:
        """JSON values by the names of their files in assets.extra/."""
        return {
            PREPROCESS_NAME: {
                "config": self.preprocess.to_dict(),
                "fingerprint": self.fingerprint,
            },
            VERDICT_NAME: {
                "real_below": self.thresholds.real_below,
                "fake_above": self.thresholds.fake_above,
                "search_cost": self.thresholds.search_cost,
                "calibration": self.calibration and dict(self.calibration),
            },
            FACTS_NAME: self.provenance.to_dict(),
        }

    def to_json(self) -> dict[str, str]:
        """Texts by the names of the outputs of the signature "config"."""
        values = self.to_dicts().values()
        return dict(zip(CONFIG.outputs, map(json.dumps, values), strict=True))

    @classmethod
    def from_json(
        cls, preprocess_json: str, verdict_json: str, facts_json: str = "{}"
    ) -> ModelDescription:
        """From the outputs of the signature "config", or the files in assets.extra/.

        Raises ModelContractError where the texts are not what `dfdetect export` writes.
        """
        try:
            crops, verdict = json.loads(preprocess_json), json.loads(verdict_json)
            return cls(
                preprocess=PreprocessConfig.from_dict(crops["config"]),
                fingerprint=crops["fingerprint"],
                thresholds=Thresholds.from_dict(verdict),
                calibration=verdict.get("calibration"),
                provenance=ModelProvenance.from_dict(json.loads(facts_json)),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelContractError(
                f"The model's description of itself cannot be read ({error!r}). Export the model "
                "again with this version of `dfdetect export`."
            ) from error


def model_folder(base: Path, name: str) -> Path:
    """The folder of the model `name`: that within `base`, or `base` where there is none."""
    return base / name if (base / name).is_dir() else base


def version_number(name: str) -> int | None:
    """The number of a version's folder; None where the name is no number.

    Nor is one beyond 64 bits, such as a date with microseconds: TensorFlow Serving's protocol has
    no place for it.
    """
    if not (name.isascii() and name.isdecimal()):
        return None
    return number if (number := int(name)) < 2**63 else None


def numbered_versions(base: Path) -> dict[int, Path]:
    """Number -> folder of a model's versions, the highest first; `base` itself if it is one.

    Every folder with a number is a version, whatever it holds, as for TensorFlow Serving. Of two
    with the same number, such as 7 and 007, the one without zeros counts. Raises OSError where
    `base` cannot be read.
    """
    if (base / SAVED_MODEL_NAME).is_file():
        number = version_number(base.name)
        return {1 if number is None else number: base}
    folders: dict[int, Path] = {}
    for path in sorted(base.iterdir()):  # "007" comes before "7"
        number = version_number(path.name)
        if number is not None and path.is_dir():
            folders[number] = path
    return {number: folders[number] for number in sorted(folders, reverse=True)}


def engine_format(folder: Path) -> str | None:
    """The format of an export for another engine than TensorFlow; None where it is no such."""
    for name, file in ENGINE_FILES.items():
        if (folder / file).is_file():
            return name
    return None


def _engine_exports(base: Path) -> list[Path]:
    """The exports for other engines in `base`, by the order of ENGINE_FILES, the newest first."""
    found = []
    for order, name in enumerate(ENGINE_FILES):
        for path in base.glob(f"{name}-*"):
            number = version_number(path.name.removeprefix(f"{name}-"))
            if number is not None and engine_format(path) == name:
                found.append((order, -number, path))
    return [path for _, _, path in sorted(found)]


def newest_version(base: Path) -> Path:
    """`base` itself if it is a version of a model, else that of its versions with the highest
    number that holds a SavedModel; where none does, its newest export for OpenVINO, else for ONNX.

    Raises FileNotFoundError where there is none.
    """
    if engine_format(base) and not (base / SAVED_MODEL_NAME).is_file():
        return base
    versions = numbered_versions(base) if base.is_dir() else {}
    for path in versions.values():
        if (path / SAVED_MODEL_NAME).is_file():
            return path
    for path in _engine_exports(base):
        return path
    names = _models_in(base)
    advice = (
        f"Models of other names are there: {', '.join(names)}. Give one of them, by --model-name "
        "or as the folder."
        if names
        else "Make one with `dfdetect export`."
    )
    raise FileNotFoundError(
        f"{base}: holds neither {SAVED_MODEL_NAME} nor a numbered version of a model. {advice}"
    )


def _models_in(base: Path) -> list[str]:
    """The names of the folders in `base` that are models."""
    folders = sorted(base.iterdir()) if base.is_dir() else []
    return [folder.name for folder in folders if folder.is_dir() and _is_model(folder)]


def _is_model(folder: Path) -> bool:
    """Whether it is, or holds, a SavedModel or an export for another engine."""
    versions = numbered_versions(folder).values()
    served = any((path / SAVED_MODEL_NAME).is_file() for path in versions)
    return served or engine_format(folder) is not None or bool(_engine_exports(folder))

"""A trained model -> a SavedModel that stock TensorFlow Serving runs, or a LiteRT file."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

from pipelines.config import PreprocessConfig
from trainer.calibration import Calibration, apply, load_calibration
from trainer.errors import ExportError
from trainer.evaluation.result import EvaluationResult
from trainer.exporting.provenance import facts, read_metrics
from trainer.exporting.verify import check_ops, check_outputs, encoded, example_inputs
from trainer.exporting.versions import write_version
from trainer.exporting.warmup import WARMUP_NAME, can_write_warmup, write_warmup
from trainer.run import CONFIG_NAME, MODEL_NAME, SEEN_NAME, write_json

PREPROCESS_NAME = "preprocess.json"
VERDICT_NAME = "verdict.json"
FACTS_NAME = "facts.json"
CARD_NAME = "model_card.md"
# Of a model that is not calibrated. Between the two thresholds a verdict is INCONCLUSIVE.
VERDICT = {"real_below": 0.4, "fake_above": 0.6, "calibration": None}


def verdict_of(calibration: Calibration | None) -> dict[str, Any]:
    """What verdict.json says: the two thresholds, and how they and the temperature were found."""
    if calibration is None:
        return VERDICT
    thresholds = {name: getattr(calibration, name) for name in ("real_below", "fake_above")}
    return {**thresholds, "calibration": calibration.to_dict()}


def load_run(run: str | os.PathLike) -> tuple[Any, dict[str, Any]]:
    """The run's model and its config.json. Raises FileNotFoundError where it is not finished."""
    run = Path(run)
    for name in (CONFIG_NAME, MODEL_NAME):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run / name} is missing: finish `dfdetect train` first.")
    config = json.loads((run / CONFIG_NAME).read_text())
    return load_model(run / MODEL_NAME), config


def load_model(path: str | os.PathLike) -> Any:
    """A detector from a .keras file."""
    import keras

    import trainer.model.layers  # noqa: F401  registers the layers

    return keras.models.load_model(path, compile=False)


@dataclasses.dataclass(frozen=True)
class Source:
    """A finished run and all that goes with its model, read and checked.

    records: what travels with the model, by the name of its file.
    """

    run: Path
    model: Any
    config: dict[str, Any]
    temperature: float
    records: dict[str, dict[str, Any]]
    metrics: EvaluationResult | None


def read_source(run: str | os.PathLike, metrics: str | os.PathLike | None) -> Source:
    """Raises FileNotFoundError, ValueError or ExportError where the run cannot be exported or
    the metrics.json is not its own."""
    from trainer.exporting.serving_model import in_float32

    model, config = load_run(run)
    preprocess = PreprocessConfig.from_dict(config["preprocess"])
    if preprocess.fingerprint != config["fingerprint"]:
        raise ExportError(
            f"{run}: the model was trained on crops of fingerprint {config['fingerprint']}; this "
            f"version makes {preprocess.fingerprint}. Preprocess and train again."
        )
    calibration = load_calibration(run)
    verdict = verdict_of(calibration)
    thresholds = {name: verdict[name] for name in ("real_below", "fake_above")}
    measured = read_metrics(metrics, preprocess.fingerprint, thresholds) if metrics else None
    return Source(
        run=Path(run),
        model=in_float32(model),
        config=config,
        temperature=calibration.temperature if calibration else 1.0,
        records={
            PREPROCESS_NAME: {
                "config": preprocess.to_dict(),
                "fingerprint": preprocess.fingerprint,
            },
            VERDICT_NAME: verdict,
            FACTS_NAME: facts(config, measured),
        },
        metrics=measured,
    )


def export(
    run: str | os.PathLike,
    out: str | os.PathLike,
    name: str = "dfdetect",
    metrics: str | os.PathLike | None = None,
    precision: str = "float32",
    verbose: bool = False,
) -> Path:
    """Writes the SavedModel `out`/`name`/<next number>/ and returns it; see docs/export.md.

    Probabilities are those of the run's calibration where it has one; the logit is the model's.
    Beside the model go its card and facts, with the figures of `metrics`, a metrics.json of
    `dfdetect evaluate`; how it was trained and on whom, the latter as hashes; and requests to
    warm a server up, where the extra "serving" is installed.
    Raises FileNotFoundError, ValueError or ExportError where the run cannot be exported.
    """
    source = read_source(run, metrics)
    return write_version(
        Path(out) / name, lambda folder: _write(folder, source, name, precision, verbose)
    )


def _write(folder: Path, source: Source, name: str, precision: str, verbose: bool) -> None:
    from trainer.exporting.serving_model import Network
    from trainer.exporting.signatures import save

    network = Network.of(source.model)
    clips = example_inputs(network.frames, network.side_px)
    inputs = {"tensors": clips, "serving_default": encoded(clips), "explain": encoded(clips)}
    scores = expected_scores(source, clips)
    heat = {"heat_map": network.heat_map(**clips)[0].numpy()}
    expected = {"tensors": scores, "serving_default": scores, "explain": heat}
    texts = {
        file.replace(".json", "_json"): json.dumps(record)
        for file, record in source.records.items()
    }
    save(folder, network.folded(precision), texts, source.temperature, verbose)
    check_ops(folder)
    check_outputs(folder, inputs, expected, precision)
    extra = folder / "assets.extra"
    extra.mkdir()
    write_records(extra, source, name)
    if can_write_warmup():
        write_warmup(extra / WARMUP_NAME, name, network.frames, network.side_px)


def expected_scores(source: Source, clips: dict[str, Any]) -> dict[str, Any]:
    """What an export must say of clips (arrays `clips` and `mask`), by the name of the output."""
    found = {k: v.numpy() for k, v in source.model(clips, training=False).items()}
    return {
        "probability_fake": apply(found["logit"], source.temperature),
        "frame_probability": apply(found["frame_logit"], source.temperature) * clips["mask"],
    }


def write_records(folder: Path, source: Source, name: str) -> None:
    """What travels with a model: how crops and verdicts are made, its card and facts, and what
    `dfdetect evaluate` needs to know of its training."""
    from trainer.report.model_card import model_card

    for file, record in source.records.items():
        write_json(folder / file, record)
    (folder / CARD_NAME).write_text(model_card(source.metrics, name))
    known = {k: v for k, v in source.config.items() if k != "data"}  # a path of no use elsewhere
    write_json(folder / CONFIG_NAME, known)
    if (source.run / SEEN_NAME).is_file():
        shutil.copy(source.run / SEEN_NAME, folder / SEEN_NAME)

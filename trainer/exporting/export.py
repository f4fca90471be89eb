"""Export of a trained model as a SavedModel that stock TensorFlow Serving runs."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.model_contract import EXPLAIN, EXTRA_FOLDER, SERVING_DEFAULT, TENSORS, WARMUP_NAME
from trainer.exporting.serving_model import Network
from trainer.exporting.signatures import save
from trainer.exporting.source import Source
from trainer.exporting.verify import check_ops, check_outputs, encoded, example_inputs
from trainer.exporting.versions import write_version
from trainer.exporting.warmup import can_write_warmup, write_warmup
from trainer.run import Run


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
    Beside the model go its card and provenance, with the figures of `metrics`, a metrics.json of
    `dfdetect evaluate`; how it was trained and on whom, the latter as hashes; and requests to
    warm a server up, where the extra "serving" is installed.
    Raises FileNotFoundError, ValueError or ExportError where the run cannot be exported.
    """
    source = Source.of(Run.open(run), metrics, name)
    network = Network.of(source.model)

    def write(folder: Path) -> None:
        texts = source.description.to_json()
        save(folder, network.folded(precision), texts, source.temperature, verbose)
        check_ops(folder)
        _check_answers(folder, source, network, precision)
        extra = folder / EXTRA_FOLDER
        extra.mkdir()
        source.write_records(extra)
        if can_write_warmup():
            write_warmup(extra / WARMUP_NAME, name, network.frames, network.side_px)

    return write_version(Path(out) / name, write)


def _check_answers(folder: Path, source: Source, network: Network, precision: str) -> None:
    """Raises ExportError where the SavedModel answers otherwise than the trained model."""
    clips = example_inputs(network.frames, network.side_px)
    scores = source.expected_scores(clips)
    heat, _ = network.heat_map(**clips)
    inputs = {
        TENSORS.name: clips,
        SERVING_DEFAULT.name: encoded(clips),
        EXPLAIN.name: encoded(clips),
    }
    expected = {
        TENSORS.name: scores,
        SERVING_DEFAULT.name: scores,
        EXPLAIN.name: {"heat_map": heat.numpy()},
    }
    check_outputs(folder, inputs, expected, precision)

"""What is exported: a finished run's model in float32, its calibration, and the records beside."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import keras
import numpy as np

from pipelines.atomic import write_json, write_text
from pipelines.model_contract import CARD_NAME, SEEN_NAME, TRAINING_NAME, ModelDescription
from pipelines.verdict import Thresholds
from trainer.calibration import apply
from trainer.errors import ExportError
from trainer.exporting.provenance import provenance, read_metrics
from trainer.exporting.serving_model import in_float32
from trainer.report.model_card import model_card
from trainer.run import Run


@dataclasses.dataclass(frozen=True)
class Source:
    """A finished run, checked for an export.

    model: the trained detector, computing in float32. temperature: of its calibration, 1 without
    one. description: what the exported model will say of itself. card: its model card.
    """

    run: Run
    model: keras.Model
    temperature: float
    description: ModelDescription
    card: str

    @classmethod
    def of(cls, run: Run, metrics: str | os.PathLike | None, name: str) -> Source:
        """name: of the exported model. metrics: a metrics.json of `dfdetect evaluate` on the run.

        Raises FileNotFoundError, ValueError or ExportError where the run cannot be exported or
        the metrics.json is not its own.
        """
        preprocess, calibration = run.preprocess, run.calibration
        if preprocess.fingerprint != run.fingerprint:
            raise ExportError(
                f"{run.folder}: the model was trained on crops of fingerprint {run.fingerprint}; "
                f"this version makes {preprocess.fingerprint}. Preprocess and train again."
            )
        thresholds = calibration.thresholds if calibration else Thresholds()
        measured = read_metrics(metrics, preprocess.fingerprint, thresholds) if metrics else None
        return cls(
            run=run,
            model=in_float32(run.model),
            temperature=calibration.temperature if calibration else 1.0,
            description=ModelDescription(
                preprocess=preprocess,
                fingerprint=preprocess.fingerprint,
                thresholds=thresholds,
                calibration=calibration.to_dict() if calibration else None,
                provenance=provenance(run.record, measured),
            ),
            card=model_card(measured, name),
        )

    def expected_scores(self, clips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What an export must answer, by the name of the output.

        clips: `clips` uint8 (B, T, H, W, 3) and `mask` bool (B, T).
        """
        outputs = {k: v.numpy() for k, v in self.model(clips, training=False).items()}
        return {
            "probability_fake": apply(outputs["logit"], self.temperature),
            "frame_probability": apply(outputs["frame_logit"], self.temperature) * clips["mask"],
        }

    def write_records(self, folder: Path) -> None:
        """Writes what travels with the model: how crops and verdicts are made, its card and
        provenance, and what `dfdetect evaluate` needs to know of its training."""
        for file, values in self.description.to_dicts().items():
            write_json(folder / file, values)
        write_text(folder / CARD_NAME, self.card)
        # The path of the data is of no use elsewhere.
        training = {k: v for k, v in self.run.record.items() if k != "data"}
        write_json(folder / TRAINING_NAME, training)
        if (self.run.folder / SEEN_NAME).is_file():
            shutil.copy(self.run.folder / SEEN_NAME, folder / SEEN_NAME)

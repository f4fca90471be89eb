"""What is exported: a finished run's model in float32, its calibration, and the records beside."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import PreprocessConfig
from pipelines.model_contract import CARD_NAME, SEEN_NAME, TRAINING_NAME, ModelDescription
from pipelines.verdict import Thresholds
from trainer import run as run_folder
from trainer.calibration import apply, load_calibration
from trainer.errors import ExportError
from trainer.exporting.provenance import provenance, read_metrics
from trainer.exporting.serving_model import in_float32
from trainer.report.model_card import model_card
from trainer.trained_model import load_run


@dataclasses.dataclass(frozen=True)
class Source:
    """A finished run, opened and checked for an export.

    model: the trained detector, computing in float32. temperature: of its calibration, 1 without
    one. description: what the exported model will say of itself. card: its model card, where it
    is called `name`. training: the run's config.json. seen: its seen.json, None where it has none.
    """

    name: str
    model: Any
    temperature: float
    description: ModelDescription
    card: str
    training: dict[str, Any]
    seen: Path | None

    @classmethod
    def read(cls, run: str | os.PathLike, metrics: str | os.PathLike | None, name: str) -> Source:
        """metrics: a metrics.json of `dfdetect evaluate` on the run.

        Raises FileNotFoundError, ValueError or ExportError where the run cannot be exported or
        the metrics.json is not its own.
        """
        model, training = load_run(run)
        preprocess = PreprocessConfig.from_dict(training["preprocess"])
        if preprocess.fingerprint != training["fingerprint"]:
            raise ExportError(
                f"{run}: the model was trained on crops of fingerprint {training['fingerprint']}; "
                f"this version makes {preprocess.fingerprint}. Preprocess and train again."
            )
        calibration = load_calibration(run)
        thresholds = calibration.thresholds if calibration else Thresholds()
        measured = read_metrics(metrics, preprocess.fingerprint, thresholds) if metrics else None
        seen = Path(run) / run_folder.SEEN_NAME
        return cls(
            name=name,
            model=in_float32(model),
            temperature=calibration.temperature if calibration else 1.0,
            description=ModelDescription(
                preprocess=preprocess,
                fingerprint=preprocess.fingerprint,
                thresholds=thresholds,
                calibration=calibration.to_dict() if calibration else None,
                provenance=provenance(training, measured),
            ),
            card=model_card(measured, name),
            training=training,
            seen=seen if seen.is_file() else None,
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
            run_folder.write_json(folder / file, values)
        (folder / CARD_NAME).write_text(self.card)
        # The path of the data is of no use elsewhere.
        training = {k: v for k, v in self.training.items() if k != "data"}
        run_folder.write_json(folder / TRAINING_NAME, training)
        if self.seen:
            shutil.copy(self.seen, folder / SEEN_NAME)

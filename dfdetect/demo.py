"""The whole way on generated videos: from nothing to the answers of a served model."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.clip import FAKE, REAL
from pipelines.faces.extract import FaceExtractor
from pipelines.inspect import read_clips
from pipelines.sample import NOTICE
from pipelines.sample.generate import generate
from serving.analysis.video_result import DEMO_REASON, verdict_words
from serving.client import RestClient
from serving.model_server.server import start_in_thread
from serving.predict.predict import predict_video
from trainer.config import TrainConfig
from trainer.evaluation.calibrate import calibrate, describe
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.metrics import ACCURACY, F1, PRECISION, RECALL, ROC_AUC
from trainer.evaluation.result import EvaluationResult
from trainer.exporting.export import export
from trainer.report.render import write_report
from trainer.training.train import train

# All that a demo writes under its output folder; nothing else there is touched.
REAL_FOLDER = "original_sequences/youtube"
PARTS = ("videos", "data", "train", "model")

PREPROCESS = ("--frames-per-clip", "8", "--crop-size", "112", "--margin", "0.2")
# A network that a CPU trains from scratch in minutes.
SETTINGS: dict = {"backbone": "resnext_small", "temporal_units": 64, "learning_rate": 1e-3}


def make_room(output: Path, overwrite: bool) -> None:
    """Makes the output folder. Raises FileExistsError where an earlier demo may not go."""
    earlier = [output / part for part in PARTS if (output / part).exists()]
    if earlier and not overwrite:
        raise FileExistsError(
            f"{earlier[0]} is there already. Give another --output, or --overwrite."
        )
    for part in earlier:
        shutil.rmtree(part)
    output.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _stage(console: Console, title: str, result: Path) -> Iterator[None]:
    console.print(f"\n[bold]{title}[/bold]")
    started = time.monotonic()
    yield
    console.print(f"  -> {result}  ({time.monotonic() - started:.0f} s)", highlight=False)


def demo(output: Path, identities: int, epochs: int, seed: int) -> EvaluationResult:
    """Runs every stage and returns the result of the evaluation. Prints as it goes."""
    console = Console()
    started = time.monotonic()
    videos, data, run, models = (output / part for part in PARTS)
    with _stage(console, f"1. Videos of {identities} generated people, real and faked", videos):
        generate(videos, identities=identities, seed=seed)
    with _stage(console, "2. Preprocess: videos -> aligned face clips (Apache Beam)", data):
        # A process of its own: it computes otherwise than training, see `compute_reproducibly`.
        command = [sys.executable, "-m", "dfdetect", "preprocess", *PREPROCESS]
        subprocess.run([*command, "--input", str(videos), "--output", str(data)], check=True)
    with _stage(console, "3. Train: ResNeXt over frames, LSTM over time; calibrate", run):
        train(data, run, TrainConfig(**SETTINGS, epochs=epochs, seed=seed))
        console.print(describe(calibrate(run, data)))
    with _stage(console, "4. Evaluate on people the model has never seen", output / "report.html"):
        evaluation = evaluate(run, data, output, split="test")
        write_report(output, evaluation)
    with _stage(console, "5. Export a SavedModel for TensorFlow Serving", models):
        version = export(run, models, metrics=output / "metrics.json")
    with _stage(console, "6. Ask the served model about two unseen videos", version):
        with start_in_thread(version) as url, RestClient(url) as model:
            model.wait_ready()
            extractor = FaceExtractor(model.config().preprocess)
            for truth, path in _unseen(videos, data):
                result = predict_video(str(path), extractor, model)
                console.print(
                    f"  truth {truth}: score {result.probability_fake:.2f}, "
                    f"[bold]{verdict_words(result.verdict)}[/bold]  {path}",
                    highlight=False,
                    soft_wrap=True,
                )
    console.print(_table(evaluation.result))
    console.print(f"report: {output / 'report.html'}   metrics: {output / 'metrics.json'}")
    console.print(f"model:  {version}")
    console.print(NOTICE)
    console.print(DEMO_REASON)
    console.print(f"all done in {time.monotonic() - started:.0f} s")
    return evaluation.result


def _unseen(videos: Path, data: Path) -> list[tuple[str, Path]]:
    """One real and one fake video of the test split."""
    by_label: dict = {}
    for video, _ in read_clips(data, "test"):
        by_label.setdefault(video.label, video)
    chosen = []
    for name, label in (("REAL", REAL), ("FAKE", FAKE)):
        method, compression, stem = by_label[label].id.split("/")
        folder = (
            "original_sequences/youtube" if label == REAL else f"manipulated_sequences/{method}"
        )
        chosen.append((name, videos / folder / compression / "videos" / f"{stem}.mp4"))
    return chosen


def _table(result: EvaluationResult) -> Table:
    table = Table(title="Test set: people the model has never seen")
    table.add_column("level")
    metrics = (ROC_AUC, ACCURACY, PRECISION, RECALL, F1)
    for metric in metrics:
        table.add_column(metric.name, justify="right")
    for level in ("clip", "video"):
        values = (result.levels[level].value(metric) for metric in metrics)
        table.add_row(level, *("n/a" if v is None else f"{v:.3f}" for v in values))
    return table

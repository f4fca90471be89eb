"""From a CSV list of your own videos to an exported model, with settings for a first try.

    python examples/train_on_csv.py videos.csv runs/mine

videos.csv needs the columns uri and label (real or fake); give identities (target first, then
donor, separated by ";") too, so that nobody is in two splits.
"""

import argparse
from pathlib import Path

from pipelines.beam.settings import PreprocessSettings
from pipelines.config import PreprocessConfig
from pipelines.preprocess import preprocess
from trainer.config import TrainConfig
from trainer.evaluation.calibrate import calibrate, describe
from trainer.evaluation.evaluate import evaluate
from trainer.exporting.export import export
from trainer.report.render import write_report
from trainer.training.train import train

# Small, so that a CPU is done in minutes; the defaults of both classes are for real training.
CROPS = PreprocessConfig(frames_per_clip=4, crop_size=64)
TRAINING = TrainConfig(backbone="resnext_tiny", temporal="mean", epochs=2, augment=False)
# A worker process of its own: one that makes crops has a single thread for each operation.
BEAM_FLAGS = ("@multiprocess", "--direct_num_workers=1")


def train_on_csv(videos: Path, out: Path) -> Path:
    """Fills `out` with data/, run/, evaluation/ and model/; returns the exported version."""
    data, run, report = out / "data", out / "run", out / "evaluation"
    preprocess(str(videos), str(data), CROPS, PreprocessSettings(shards=2), BEAM_FLAGS)
    train(data, run, TRAINING)
    print(describe(calibrate(run, data)))
    write_report(report, evaluate(run, data, report))
    print(f"report: {report / 'report.html'}")
    return export(run, out / "model", metrics=report / "metrics.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    print(f"model: {train_on_csv(args.videos, args.out)}")

"""Throughput of the training input pipeline, and whether a training step ever waits for it.

python benchmarks/input_pipeline.py DATA [--fakes both] [--backbone resnext50_32x4d] [--steps 6]

DATA: shards from `dfdetect preprocess`, of 224 px for numbers that compare with docs/. Clips a
second that the pipeline makes with every core to itself, with H.264 among the augmentations and
without, by turns; against the clips that the backbone can look at a second (inference of the same
clips); then, in a training with the same settings, the share of a step's time that it waits for
its clips.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--fakes", default="both", choices=("dataset", "self-blend", "both"))
    parser.add_argument("--backbone", default="resnext50_32x4d")
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()

    import keras
    import tensorflow as tf

    from pipelines.shards.open import ClipDataset
    from trainer.config import TrainConfig
    from trainer.input import augment
    from trainer.input.sampling import TrainingClips
    from trainer.model.backbones import BACKBONE
    from trainer.model.detector import build_model
    from trainer.training.losses import compile_model
    from trainer.training.optimizer import make_optimizer

    config = TrainConfig(batch_size=2, fakes=args.fakes, backbone=args.backbone)
    dataset = ClipDataset.open(args.data)
    clips = TrainingClips(dataset, config)
    crops = dataset.config
    model = build_model(config, crops.crop_size, crops.frames_per_clip)
    optimizer = make_optimizer(config, model, model.get_layer(BACKBONE), 1000)
    compile_model(model, optimizer, config.frame_loss_weight)

    share, rounds = augment.H264_SHARE, []
    for _ in range(3):
        made, inputs = _made(clips)
        augment.H264_SHARE = 0.0  # read where the pipeline is built
        rounds.append((made, _made(clips)[0]))
        augment.H264_SHARE = share
    made, plain = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    ratios = [one / other for one, other in rounds]
    look = tf.function(lambda: model(inputs, training=False)["logit"])
    look()
    looked = _rate(lambda: look().numpy(), config.batch_size, rounds=5)

    class Watch(keras.callbacks.Callback):
        """Keras takes a step's clips between the end of the step before and its beginning."""

        waits: list[float] = []
        steps: list[float] = []

        def on_train_batch_begin(self, batch, logs=None):
            self.began = time.perf_counter()
            if batch > 1:  # the first two compile
                self.waits.append(self.began - self.ended)

        def on_train_batch_end(self, batch, logs=None):
            self.ended = time.perf_counter()
            if batch > 1:
                self.steps.append(self.ended - self.began)

    watch = Watch()
    model.fit(
        clips.batches(),
        steps_per_epoch=args.steps + 2,
        verbose=0,
        shuffle=False,
        callbacks=[watch],
    )
    waiting = sum(watch.waits) / (sum(watch.waits) + sum(watch.steps))
    print(
        f"{crops.frames_per_clip} frames of {crops.crop_size} px, --fakes {args.fakes}: "
        f"{made:.1f} clips/s made, {looked:.2f} looked at, ratio {made / looked:.1f}"
    )
    print(
        f"without H.264 {plain:.1f} clips/s; with it {statistics.median(ratios):.2f} times as many "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    print(
        f"training: {statistics.median(watch.steps):.2f} s a step of {config.batch_size} clips, "
        f"{1000 * statistics.median(watch.waits):.1f} ms of waiting, {100 * waiting:.2f} % of all"
    )


def _made(clips) -> tuple[float, dict]:
    """(clips a second, inputs of a batch); the pipeline ends with it."""
    batches = iter(clips.batches())
    for _ in range(3):  # fills what is made ahead
        inputs = next(batches)[0]
    return _rate(lambda: next(batches), clips.batch_size, rounds=30), inputs


def _rate(work, clips: int, rounds: int) -> float:
    started = time.perf_counter()
    for _ in range(rounds):
        work()
    return rounds * clips / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

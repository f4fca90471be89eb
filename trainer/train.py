"""Shards -> a trained model, with everything needed to know how it was made."""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.config import add_flags, from_flags
from trainer.config import TrainConfig

MODEL_NAME = "model.keras"
CONFIG_NAME = "config.json"


class TrainError(Exception):
    """Training that cannot start or gave nothing usable."""


def write_json(path: Path, value: Any) -> None:
    """Writes at once or not at all. Raises ValueError on NaN."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
    os.replace(temporary, path)


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    import keras
    import numpy
    import sklearn
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
    }


def clip_loss(target, logit):
    """Cross-entropy of each clip: target (B,), logit (B,) -> (B,)."""
    import tensorflow as tf

    return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(target, logit.dtype), logit)


def frame_loss(target, logit):
    """Mean cross-entropy of each clip's real frames: (B, T), target -1 = no frame -> (B,)."""
    import tensorflow as tf

    keep = tf.cast(target >= 0, logit.dtype)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(target, 0.0), logit)
    return tf.reduce_sum(loss * keep, -1) / tf.maximum(tf.reduce_sum(keep, -1), 1.0)


def compile_model(model: Any, config: TrainConfig, steps: int) -> None:
    """AdamW with a short warm-up and a cosine decay over `steps`; loss on clips and on frames."""
    import keras

    warmup = min(100, max(1, steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20,
        max(1, steps - warmup),
        alpha=0.02,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=config.weight_decay, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        loss={"logit": clip_loss, "frame_logit": frame_loss},
        loss_weights={"logit": 1.0, "frame_logit": config.frame_loss_weight},
        metrics={"logit": [keras.metrics.AUC(from_logits=True, name="auc")]},
        jit_compile=False,  # grouped convolutions are slow under XLA on a CPU
    )


def _progress(config: TrainConfig, clips: int, say: Callable[[str], None]) -> Any:
    import keras

    class Progress(keras.callbacks.Callback):
        """One plain line per epoch."""

        def on_train_begin(self, logs=None):
            self.started = time.monotonic()

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch_started = time.monotonic()

        def on_epoch_end(self, epoch, logs=None):
            now = time.monotonic()
            left = (now - self.started) / (epoch + 1) * (config.epochs - epoch - 1)
            say(
                f"epoch {epoch + 1}/{config.epochs}  loss {logs['loss']:.4f}  "
                f"val loss {logs['val_loss']:.4f}  val AUC {logs['val_logit_auc']:.3f}  "
                f"{clips / (now - self.epoch_started):.1f} clips/s  {left:.0f} s left at most"
            )

    return Progress()


def _silent(line: str) -> None:
    pass


def prepare_run(out: Path, overwrite: bool) -> None:
    """Makes the run folder. Raises TrainError where it already holds a model or foreign files."""
    if out.exists() and not out.is_dir():
        raise TrainError(f"{out} is a file; give a folder as --out.")
    if out.is_dir() and any(out.iterdir()):
        ours = (out / CONFIG_NAME).is_file()
        if (out / MODEL_NAME).exists() and not overwrite:
            raise TrainError(
                f"{out} holds a finished run. Give another --out, or --overwrite to replace it."
            )
        if not ours:
            raise TrainError(f"{out} is not empty and not a training run; give another --out.")
        for name in (MODEL_NAME, "checkpoint.keras", "history.json", "history.csv"):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "tensorboard", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def train(
    data: str | os.PathLike,
    out: str | os.PathLike,
    config: TrainConfig | None = None,
    verbose: bool = True,
    overwrite: bool = False,
) -> Path:
    """Trains on the shards in `data`, writes the run folder `out`, and returns it.

    The run's model has the weights of the epoch with the lowest validation loss. Raises
    FileNotFoundError, ValueError or TrainError where it cannot.
    """
    import keras

    from trainer.data import class_weights, clips_dataset, load_dataset_info, training_batches
    from trainer.model import build_model

    out, config = Path(out), config or TrainConfig()
    say: Callable[[str], None] = functools.partial(print, flush=True) if verbose else _silent
    info = load_dataset_info(data)
    for split in ("train", "val"):
        if not info["splits"].get(split, {}).get("clips"):
            raise ValueError(f"{data} has no {split} clips; training needs them.")
    weights = class_weights(info)
    prepare_run(out, overwrite)
    keras.utils.set_random_seed(config.seed)

    shown = clips_dataset(
        data,
        "train",
        shuffle_seed=config.seed,
        cache=config.cache,
        augment=config.augment,
        shuffle_labels=config.shuffle_labels,
    )
    train_set = training_batches(shown, config.batch_size, weights)
    val_set = training_batches(clips_dataset(data, "val", cache=config.cache), config.batch_size)
    crop, frames = info["config"]["crop_size"], info["config"]["frames_per_clip"]
    clips = info["splits"]["train"]["clips"]
    model = build_model(config, crop, frames)
    compile_model(model, config, config.epochs * -(-clips // config.batch_size))
    write_json(
        out / CONFIG_NAME,
        {
            "train": config.to_dict(),
            "preprocess": info["config"],
            "fingerprint": info["fingerprint"],
            "data": os.path.abspath(data),
            "splits": info["splits"],
            "parameters": model.count_params(),
        },
    )
    write_json(out / "versions.json", versions())
    say(
        f"{config.preset}: {model.count_params():,} parameters; {clips} training clips of "
        f"{frames} frames at {crop} px, {info['splits']['val']['clips']} validation clips"
    )
    history = model.fit(
        train_set,
        validation_data=val_set,
        epochs=config.epochs,
        verbose=0,
        shuffle=False,  # the data set shuffles
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                str(out / "checkpoint.keras"), monitor="val_loss", save_best_only=True
            ),
            keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=config.patience, restore_best_weights=True
            ),
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.TensorBoard(str(out / "tensorboard"), write_graph=False),
            keras.callbacks.CSVLogger(str(out / "history.csv")),
            _progress(config, clips, say),
        ],
    ).history
    _finish(out, model, history, say)
    return out


def _finish(out: Path, model: Any, history: dict, say: Callable[[str], None]) -> None:
    import numpy as np

    losses = np.array(history.get("val_loss", []), float)
    if not np.isfinite(losses).any() or not np.isfinite(history["loss"]).all():
        raise TrainError(f"{out}: the loss is not a number any more; lower --learning-rate.")
    best = int(np.nanargmin(losses))
    write_json(
        out / "history.json",
        {
            "best_epoch": best + 1,
            "epochs": {name: [float(v) for v in values] for name, values in history.items()},
        },
    )
    temporary = out / "model.tmp.keras"
    model.save(temporary)
    os.replace(temporary, out / MODEL_NAME)  # its presence marks a finished run
    (out / "checkpoint.keras").unlink(missing_ok=True)
    say(f"best epoch {best + 1}: val loss {losses[best]:.4f}; wrote {out / MODEL_NAME}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect train",
        description="Trains a detector on preprocessed shards.",
        allow_abbrev=False,
    )
    parser.add_argument("--data", required=True, help="folder of shards from `dfdetect preprocess`")
    parser.add_argument("--out", required=True, help="folder for the run")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished run in --out")
    add_flags(parser, TrainConfig)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        config = from_flags(TrainConfig, args)
    except ValueError as error:
        parser.error(str(error))
    try:
        train(args.data, args.out, config, overwrite=args.overwrite)
    except (FileNotFoundError, ValueError, TrainError) as error:
        print(f"dfdetect train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

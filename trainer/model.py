"""The detector: ResNeXt on each frame, an LSTM over the frames, one logit for the clip."""

from __future__ import annotations

import keras
from keras import layers

from trainer.config import TrainConfig
from trainer.layers import FoldTime, MaskedLSTM, UnfoldTime
from trainer.resnext import build_resnext


def build_model(config: TrainConfig, crop_size: int, frames: int) -> keras.Model:
    """The detector for clips of `frames` crops of `crop_size` px.

    Inputs: "clips" uint8 (B, T, H, W, 3) RGB; "mask" bool (B, T), true where a frame is real.
    Outputs: "logit" (B,), of P(fake) for the clip; "frame_logit" (B, T), of single frames,
    without meaning where the mask is false.
    """
    clips = keras.Input((frames, crop_size, crop_size, 3), dtype="uint8", name="clips")
    mask = keras.Input((frames,), dtype="bool", name="mask")
    x = FoldTime(name="fold_time")(clips)  # (B * T, H, W, 3)
    x = build_resnext(config.preset, (crop_size, crop_size, 3))(x)  # (B * T, D)
    x = UnfoldTime(frames, name="unfold_time")(x)  # (B, T, D)
    x = layers.Dropout(config.dropout, seed=config.seed, name="frame_dropout")(x)
    frame_logit = layers.Dense(1, dtype="float32", name="frame_head")(x)  # (B, T, 1)
    x = MaskedLSTM(config.lstm_units, name="temporal")(x, mask)  # (B, units)
    x = layers.Dropout(config.dropout, seed=config.seed + 1, name="clip_dropout")(x)
    logit = layers.Dense(1, dtype="float32", name="clip_head")(x)  # (B, 1)
    return keras.Model(
        {"clips": clips, "mask": mask},
        {
            "logit": layers.Reshape((), name="logit")(logit),
            "frame_logit": layers.Reshape((frames,), name="frame_logit")(frame_logit),
        },
        name="dfdetect",
    )

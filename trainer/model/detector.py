"""Detector: a backbone over single frames, a temporal model over their features, clip logits."""

from __future__ import annotations

import os

import keras
from keras import layers, ops

from trainer.model.backbones import build_backbone
from trainer.model.config import ModelConfig
from trainer.model.layers import FoldTime, UnfoldTime
from trainer.model.temporal import encode_and_pool

UNFOLD_TIME = "unfold_time"  # the layer that takes the backbone's features


def build_model(
    config: ModelConfig, crop_size: int, frames: int, precision: str = "float32"
) -> keras.Model:
    """The detector for clips of `frames` crops of `crop_size` px.

    Inputs: "clips" uint8 (B, T, H, W, 3) RGB; "mask" bool (B, T), true where a frame is real.
    Outputs, float32: "logit" (B,), of P(fake) for the clip; "frame_logit" (B, T), of its frames
    as the temporal model sees them, without meaning where the mask is false. `precision`, of the
    computation, is "float32" or "bfloat16"; weights are float32 always. Raises as
    `build_backbone` does for `config.pretrained`.
    """
    before = keras.config.dtype_policy()  # global, so that it is restored
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        return _build(config, crop_size, frames)
    finally:
        keras.config.set_dtype_policy(before)


def _build(config: ModelConfig, crop_size: int, frames: int) -> keras.Model:
    clips = keras.Input((frames, crop_size, crop_size, 3), dtype="uint8", name="clips")
    mask = keras.Input((frames,), dtype="bool", name="mask")
    x = FoldTime(dtype="float32", name="fold_time")(clips)  # (B * T, H, W, 3)
    x = build_backbone(config.backbone, crop_size, config.pretrained)(x)  # (B * T, D)
    x = UnfoldTime(frames, name=UNFOLD_TIME)(x)  # (B, T, D)
    x = layers.Dropout(config.dropout, seed=config.seed, name="frame_dropout")(x)
    sequence, clip = encode_and_pool(x, mask, config)  # (B, T, F), (B, F)
    frame_logit = layers.Dense(1, dtype="float32", name="frame_head")(sequence)  # (B, T, 1)
    clip = layers.Dropout(config.dropout, seed=config.seed + 1, name="clip_dropout")(clip)
    logit = layers.Dense(1, dtype="float32", name="clip_head")(clip)  # (B, 1)
    return keras.Model(
        {"clips": clips, "mask": mask},
        {
            "logit": ops.squeeze(logit, -1),
            "frame_logit": ops.squeeze(frame_logit, -1),
        },
        name="dfdetect",
    )


def load_model(path: str | os.PathLike) -> keras.Model:
    """A detector from a .keras file, for inference."""
    return keras.models.load_model(path, compile=False)

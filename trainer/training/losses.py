"""Losses on clips and frames, and the metric of clips, that a detector is compiled with."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def clip_loss(target: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each clip: target (B,), logit (B,) -> (B,)."""
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(target, logit.dtype), logit)


def frame_loss(target: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of each clip's real frames: (B, T), target -1 = no frame -> (B,)."""
    keep = tf.cast(target >= 0, logit.dtype)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(target, 0.0), logit)
    return tf.reduce_sum(loss * keep, -1) / tf.maximum(tf.reduce_sum(keep, -1), 1.0)


class ClipAUC(keras.metrics.AUC):
    """Area under the ROC curve of clips, whose targets may be smoothed."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(tf.round(y_true), y_pred, sample_weight)


def compile_model(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, frame_loss_weight: float
) -> None:
    """Losses on clips and on their frames, and the AUC of clips."""
    model.compile(
        optimizer,
        loss={"logit": clip_loss, "frame_logit": frame_loss},
        loss_weights={"logit": 1.0, "frame_logit": frame_loss_weight},
        metrics={"logit": [ClipAUC(from_logits=True, name="auc")]},
        # Grouped convolutions are slow under XLA on a CPU; a TPU compiles in any case.
        jit_compile=False,
    )
    # Keras makes these losses' averages in the first step, whose graph TensorFlow then traces
    # once more, because variables came into being: a third of the time to the end of that step.
    zeros = {name: tf.zeros((1, *x.shape[1:])) for name, x in model.output.items()}
    model.compute_loss(y=zeros, y_pred=zeros)
    model.reset_metrics()

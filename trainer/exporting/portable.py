"""The signature "tensors" for engines other than TensorFlow, which drop a graph's assertions.

What the SavedModel refuses is therefore said by the outputs: a clip without any frame gives NaN.
The fixed shapes of the inputs do the rest.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.exporting.serving_model import Network
from trainer.exporting.signatures import Answer, Scoring


def tensors_function(network: Network, temperature: float, clips: int | None = None) -> Any:
    """A TensorFlow function from clips uint8 (B, T, H, W, 3) and mask bool (B, T) to the outputs
    of the signature "tensors"; of clips of full length alone, without loops and assertions.

    clips: B, None for any number. Changes how the layers of the network's head run.
    """
    _unroll(network.head)
    scoring = Scoring(network.folded(), temperature)
    frames, side = network.frames, network.side_px

    @tf.function(
        input_signature=[
            tf.TensorSpec([clips, frames, side, side, 3], tf.uint8, name="clips"),
            tf.TensorSpec([clips, frames], tf.bool, name="mask"),
        ]
    )
    def tensors(clips, mask):
        return _or_nan(scoring.full_scores(clips, mask), mask)

    return tensors


def _unroll(head: keras.Model) -> None:
    """Steps instead of a loop, whose lists of tensors other engines do not have."""
    for layer in head._flatten_layers():
        if isinstance(layer, keras.layers.RNN):
            layer.unroll = True
            # Keras 3.15 puts these zeros where the mask read forwards has them, backwards too.
            # Nothing needs them: what stands in a frame without a face is never used.
            layer.zero_output_for_mask = False


def _or_nan(answer: Answer, mask: tf.Tensor) -> Answer:
    """The outputs (B,) and (B, T), NaN for clips of which the mask (B, T) keeps no frame."""
    holds_frame = tf.reduce_any(mask, axis=1)  # (B,)
    return {
        name: tf.where(
            holds_frame if values.shape.rank == 1 else holds_frame[:, None], values, np.nan
        )
        for name, values in answer.items()
    }

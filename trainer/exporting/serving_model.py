"""The serving network: a trained detector in two parts, a trunk for frames, a head for clips.

Grad-CAM looks between the two.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import tensorflow as tf

from trainer.exporting.folding import fold
from trainer.model.backbones import BACKBONE
from trainer.model.detector import UNFOLD_TIME


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself, or one of the same weights where it computes in bfloat16."""
    text = model.to_json()
    if '"mixed_bfloat16"' not in text:
        return model
    other = keras.models.model_from_json(text.replace('"mixed_bfloat16"', '"float32"'))
    other.set_weights(model.get_weights())
    return other


@dataclasses.dataclass(frozen=True)
class Network:
    """A detector in two parts; between them Grad-CAM looks.

    trunk: pixel values float32 (N, H, W, 3) -> the backbone's last feature map (N, h, w, D).
    head: (B * T, D), the means over that map, and mask bool (B, T) -> {"logit": (B,),
    "frame_logit": (B, T)}, float32. It shares its layers with the model that it comes from.
    """

    trunk: keras.Model
    head: keras.Model
    frames: int
    side_px: int

    @classmethod
    def of(cls, model: keras.Model) -> Network:
        """The parts of a detector by `trainer.model.detector.build_model`."""
        _, frames, side, _, _ = model.input["clips"].shape
        features = model.get_layer(UNFOLD_TIME).input
        head = keras.Model([features, model.input["mask"]], model.output, name="head")
        return cls(_trunk(model.get_layer(BACKBONE)), head, frames, side)

    def folded(self, precision: str = "float32") -> Network:
        """The same for inference alone: batch norm is part of the convolutions before it, and
        the frames are computed in `precision`, "float32" or "bfloat16"."""
        return dataclasses.replace(self, trunk=fold(self.trunk, precision))

    @functools.cached_property
    def _feature_map(self) -> Any:
        """The trunk as one function of the graph, whichever signatures call it."""

        @tf.function(input_signature=[tf.TensorSpec(self.trunk.input_shape, tf.float32)])
        def feature_map(pixels):
            return tf.cast(self.trunk(pixels, training=False), tf.float32)

        return feature_map

    def feature_map(self, clips: tf.Tensor) -> tf.Tensor:
        """Clips uint8 (B, T, H, W, 3) -> float32 (B * T, h, w, D)."""
        pixels = tf.reshape(clips, [-1, self.side_px, self.side_px, 3])
        return self._feature_map(tf.cast(pixels, tf.float32))

    def logits(self, clips: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """Clips uint8 (B, T, H, W, 3), mask bool (B, T) -> logit (B,), frame_logit (B, T)."""
        features = tf.reduce_mean(self.feature_map(clips), [1, 2])
        return self.head([features, tf.convert_to_tensor(mask)], training=False)

    def heat_map(self, clips: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) of the clip's logit: where in each
        frame lies what speaks for fake, float32 (B, T, h, w); and the logit (B,).

        The largest value of a clip is 1, or 0 where nothing speaks for fake; frames that the mask
        leaves out are 0.
        """
        maps = self.feature_map(clips)
        features = tf.reduce_mean(maps, [1, 2])
        with tf.GradientTape() as tape:
            tape.watch(features)
            logit = self.head([features, tf.convert_to_tensor(mask)], training=False)["logit"]
        # All places of a map have the same gradient: it passes through their mean alone.
        weights = tape.gradient(logit, features)
        heat = tf.nn.relu(tf.einsum("nhwd,nd->nhw", maps, weights))
        heat = tf.reshape(heat, [-1, self.frames, *maps.shape[1:3]])
        heat *= tf.cast(mask, heat.dtype)[..., None, None]
        largest = tf.reduce_max(heat, [1, 2, 3], keepdims=True)
        return tf.math.divide_no_nan(heat, largest), logit


def _trunk(backbone: keras.Model) -> keras.Model:
    """A backbone without the pooling at its end."""
    *before, network = backbone.layers[1:]  # without the input
    pool = network.layers[-1]
    assert isinstance(pool, keras.layers.GlobalAveragePooling2D)
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    x = pixels
    for layer in before:
        x = layer(x)
    return keras.Model(pixels, keras.Model(network.inputs, pool.input)(x), name="trunk")

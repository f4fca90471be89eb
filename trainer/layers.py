"""Layers that Keras lacks or makes slow: grouped convolution and time folding."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf
from keras import ops

IMPLEMENTATIONS = ("auto", "native", "merged")


@functools.cache
def native_grouping_works() -> bool:
    """Whether tf.nn.conv2d takes grouped kernels here, forward and backward: on a GPU, or where
    TensorFlow uses oneDNN, which by default it does on some x86 processors and not on others."""
    if tf.config.list_physical_devices("GPU"):
        return True
    # Tried rather than looked up: TensorFlow has no public word on whether oneDNN is in use.
    with tf.init_scope():
        try:
            _try_native_grouping(tf.ones((1, 4, 4, 64)), tf.ones((3, 3, 8, 64)))
        except tf.errors.OpError:
            return False
    return True


@tf.function  # not eagerly: the kernels differ
def _try_native_grouping(x: tf.Tensor, kernel: tf.Tensor) -> list[tf.Tensor]:
    y = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID"))
    return tf.gradients(y, [x, kernel])


def pad_symmetric(x: tf.Tensor, kernel_size: int) -> tf.Tensor:
    """Pads x (B, H, W, C) by kernel_size // 2 on each side.

    "SAME" pads strided convolutions unevenly, unlike the reference implementation.
    """
    pad = kernel_size // 2
    return tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]]) if pad else x


@keras.saving.register_keras_serializable("trainer")
class GroupedConv2D(keras.layers.Layer):
    """Grouped 2-D convolution without bias: x (B, H, W, C) -> (B, H', W', filters).

    The kernel is (k, k, C / groups, filters). Padding is k // 2 on every side. Keras' own
    Conv2D(groups=) goes through XLA, whose backward pass on a CPU takes a thousand times longer.

    `implementation`: "native" gives the grouped kernel to tf.nn.conv2d, which needs oneDNN or
    a GPU; "merged" runs dense convolutions over pieces of about 32 channels with block-diagonal
    kernels, which works everywhere; "auto" takes native where it works.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        groups: int,
        strides: int = 1,
        implementation: str = "auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters % groups:
            raise ValueError(f"filters is {filters}; it must be a multiple of groups, {groups}.")
        if implementation not in IMPLEMENTATIONS:
            raise ValueError(f"implementation is {implementation!r}; use one of {IMPLEMENTATIONS}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.groups = groups
        self.strides = strides
        self.implementation = implementation

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % self.groups:
            raise ValueError(
                f"The input has {channels} channels; it must be a multiple of groups, "
                f"{self.groups}."
            )
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, channels // self.groups, self.filters),
            initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
            name="kernel",
        )

    def call(self, x):
        x = pad_symmetric(x, self.kernel_size)
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), x.dtype)
        native = self.implementation == "native" or (
            self.implementation == "auto" and native_grouping_works()
        )
        if native or self.groups == 1:
            return tf.nn.conv2d(x, kernel, self.strides, "VALID")
        return self._merged(x, kernel)

    def _merged(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        channels = x.shape[-1]
        pieces = max(1, min(self.groups, channels // 32))
        while self.groups % pieces:
            pieces -= 1
        merged = self.groups // pieces  # groups in one piece
        mask = tf.repeat(  # (channels / pieces, filters / pieces): 1 on the diagonal blocks
            tf.repeat(tf.eye(merged, dtype=x.dtype), channels // self.groups, axis=0),
            self.filters // self.groups,
            axis=1,
        )
        outputs = [
            tf.nn.conv2d(part, tf.tile(weights, [1, 1, merged, 1]) * mask, self.strides, "VALID")
            for part, weights in zip(
                tf.split(x, pieces, axis=-1), tf.split(kernel, pieces, axis=-1), strict=True
            )
        ]
        return tf.concat(outputs, axis=-1)

    def compute_output_shape(self, input_shape):
        pad = 2 * (self.kernel_size // 2) - self.kernel_size
        sides = [
            None if side is None else (side + pad) // self.strides + 1 for side in input_shape[1:3]
        ]
        return (input_shape[0], *sides, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "groups": self.groups,
            "strides": self.strides,
            "implementation": self.implementation,
        }


@keras.saving.register_keras_serializable("trainer")
class FoldTime(keras.layers.Layer):
    """Scales pixels and makes frames of clips: uint8 (B, T, H, W, 3) -> float (B * T, H, W, 3).

    Values become (x / 255 - mean) / std with the ImageNet statistics.
    """

    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    def call(self, clips):
        shape = clips.shape
        x = ops.reshape(ops.cast(clips, "float32"), (-1, *shape[2:]))
        x = (x / 255.0 - ops.array(self.MEAN, "float32")) / ops.array(self.STD, "float32")
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable("trainer")
class UnfoldTime(keras.layers.Layer):
    """Frames back to clips: (B * T, D) -> (B, T, D)."""

    def __init__(self, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, x):
        return ops.reshape(x, (-1, self.frames, x.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (None, self.frames, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


@keras.saving.register_keras_serializable("trainer")
class MaskedLSTM(keras.layers.Layer):
    """LSTM over the real frames: x (B, T, D), keep (B, T) bool -> mean of its outputs (B, units).

    Where `keep` is false the state stays as it was, and the frame does not count in the mean; a
    clip without any real frame gives zeros.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        # cuDNN wants masks that are right-padded; faces are also lost in the middle of a clip.
        self.lstm = keras.layers.LSTM(units, return_sequences=True, use_cudnn=False, name="lstm")

    def build(self, x_shape, keep_shape):
        self.lstm.build(x_shape)

    def call(self, x, keep):
        h = self.lstm(x, mask=keep)  # (B, T, units)
        keep = ops.cast(keep, h.dtype)[..., None]  # (B, T, 1)
        return ops.sum(h * keep, axis=1) / ops.maximum(ops.sum(keep, axis=1), 1.0)

    def compute_output_shape(self, x_shape, keep_shape):
        return (x_shape[0], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

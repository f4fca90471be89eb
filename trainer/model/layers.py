"""Keras layers of the detector: grouped convolution, batch norm, time folding, masked pooling.

One module, so that importing it registers every layer that a saved detector holds.
"""

from __future__ import annotations

import functools

import keras
import tensorflow as tf
from keras import ops

IMPLEMENTATIONS = ("auto", "native", "merged")


@functools.cache
def native_grouping_works(dtype: str = "float32") -> bool:
    """Whether tf.nn.conv2d takes grouped kernels of this type here, forward and backward: on a
    GPU or TPU, or where TensorFlow uses oneDNN, which by default it does on some x86 processors
    and not on others.

    Asked once in a process, and it initializes TensorFlow's devices (see `training.devices`)."""
    if any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU")):
        return True
    # Tried rather than looked up: TensorFlow has no public word on whether oneDNN is in use.
    with tf.init_scope():
        try:
            _try_native_grouping(tf.ones((1, 4, 4, 64), dtype), tf.ones((3, 3, 8, 64), dtype))
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


def dense_pieces(kernel: tf.Tensor, groups: int) -> list[tf.Tensor]:
    """Block-diagonal kernels of dense convolutions, each over its piece of about 32 channels, that
    do together what a grouped kernel (k, k, C / groups, filters) does."""
    channels, filters = kernel.shape[2], kernel.shape[3] // groups  # of one group
    pieces = max(1, min(groups, channels * groups // 32))
    while groups % pieces:
        pieces -= 1
    merged = groups // pieces  # groups in one piece
    blocks = tf.repeat(tf.repeat(tf.eye(merged, dtype=kernel.dtype), channels, 0), filters, 1)
    return [tf.tile(part, [1, 1, merged, 1]) * blocks for part in tf.split(kernel, pieces, axis=-1)]


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
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; it must be odd.")
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
        padding = "SAME"  # is symmetric where the kernel moves by one, and needs no copy of x
        if self.strides > 1:
            x, padding = pad_symmetric(x, self.kernel_size), "VALID"
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), x.dtype)
        native = self.implementation == "native" or (
            self.implementation == "auto" and native_grouping_works(x.dtype.name)
        )
        if native or self.groups == 1:
            return tf.nn.conv2d(x, kernel, self.strides, padding)
        return self._merged(x, kernel, padding)

    def _merged(self, x: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
        kernels = dense_pieces(kernel, self.groups)
        parts = tf.split(x, len(kernels), axis=-1)
        outputs = [
            tf.nn.conv2d(part, piece, self.strides, padding)
            for part, piece in zip(parts, kernels, strict=True)
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
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch normalization of x (B, H, W, C), by TensorFlow's fused kernel.

    Keras 3 spells it out in a dozen operations, each of which reads or writes all of x.
    As in the reference implementations the running variance takes the unbiased one of the batch.
    """

    def call(self, x, training=None, mask=None):
        scale, offset, mean, variance = (
            tf.convert_to_tensor(weight)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if not (training and self.trainable):
            return tf.compat.v1.nn.fused_batch_norm(
                x, scale, offset, mean, variance, self.epsilon, is_training=False
            )[0]
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
            x, scale, offset, epsilon=self.epsilon, is_training=True
        )
        self.moving_mean.assign(mean + (batch_mean - mean) * (1 - self.momentum))
        self.moving_variance.assign(variance + (batch_variance - variance) * (1 - self.momentum))
        return y


@keras.saving.register_keras_serializable("trainer")
class FoldTime(keras.layers.Layer):
    """Makes frames of clips: (B, T, ...) -> (B * T, ...), of the layer's own type."""

    def call(self, x):
        return ops.cast(ops.reshape(x, (-1, *x.shape[2:])), self.compute_dtype)

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
class Positions(keras.layers.Layer):
    """Adds a learned vector for each place in time: (B, T, D) -> (B, T, D)."""

    def build(self, input_shape):
        self.positions = self.add_weight(
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="positions",
        )

    def call(self, x):
        return x + ops.cast(self.positions, x.dtype)


@keras.saving.register_keras_serializable("trainer")
class MaskedMean(keras.layers.Layer):
    """Mean over the real frames: x (B, T, D), keep (B, T) bool -> (B, D); zeros where none is."""

    supports_masking = True  # a recurrent layer's mask over time ends here

    def compute_mask(self, *args, **kwargs):
        return None

    def call(self, x, keep):
        keep = ops.cast(keep, x.dtype)[..., None]  # (B, T, 1)
        return ops.sum(x * keep, axis=1) / ops.maximum(ops.sum(keep, axis=1), 1.0)

    def compute_output_shape(self, x_shape, keep_shape):
        return (x_shape[0], x_shape[2])


@keras.saving.register_keras_serializable("trainer")
class AttentionPool(keras.layers.Layer):
    """Learned average over time (Ilse et al. 2018): x (B, T, D), keep (B, T) bool -> (B, D).

    A frame weighs exp(w . tanh(V x)); one without a face weighs nothing, and a clip without any
    gives zeros.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = keras.layers.Dense(units, "tanh", dtype=self.dtype_policy, name="hidden")
        self.score = keras.layers.Dense(1, use_bias=False, dtype=self.dtype_policy, name="score")

    def build(self, x_shape, keep_shape):
        self.hidden.build(x_shape)
        self.score.build((*x_shape[:2], self.units))

    def call(self, x, keep):
        score = ops.cast(self.score(self.hidden(x))[..., 0], "float32")  # (B, T)
        weights = ops.softmax(ops.where(keep, score, -1e9)) * ops.cast(keep, "float32")
        return ops.einsum("bt,btd->bd", ops.cast(weights, x.dtype), x)

    def compute_output_shape(self, x_shape, keep_shape):
        return (x_shape[0], x_shape[2])

    def get_config(self):
        return {**super().get_config(), "units": self.units}

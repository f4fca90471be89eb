"""Batch-norm folding: a network for inference with each norm in the convolution before it.

At inference batch norm multiplies and shifts each channel by constants, which a kernel and a bias
can do as well (Jacob et al. 2017, arXiv:1712.05877, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from trainer.model.layers import GroupedConv2D, dense_pieces, pad_symmetric

# Channels of a group from which on a native grouped kernel is faster than dense pieces under
# oneDNN; without oneDNN it is slower, by more the fewer they are.
NATIVE_FROM = 8
PIXELS = (layers.Rescaling, layers.Normalization)  # computed in float32 always


def fold(network: keras.Model, precision: str = "float32") -> keras.Model:
    """A copy of a network in which every batch norm after a convolution is part of it.

    precision: "float32" or "bfloat16", which the copy computes in and keeps its kernels in; the
    values of pixels are scaled in float32.
    """
    policy = "mixed_bfloat16" if precision == "bfloat16" else precision
    norms = {id(before): norm for norm, before in _pairs(network)}
    gone = {id(norm) for norm in norms.values()}
    copies: list[tuple[layers.Layer, layers.Layer]] = []

    def copy(layer: layers.Layer) -> layers.Layer:
        if id(layer) in gone:
            return layers.Identity(name=layer.name)
        if norm := norms.get(id(layer)):
            return FoldedConv2D(layer, *_with_norm(layer, norm), dtype=policy, name=layer.name)
        dtype = "float32" if isinstance(layer, PIXELS) else policy
        same = type(layer).from_config({**layer.get_config(), "dtype": dtype})
        copies.append((layer, same))
        return same

    def call(layer: layers.Layer, *args, **kwargs):
        return args[0] if isinstance(layer, layers.Identity) else layer(*args, **kwargs)

    folded = keras.models.clone_model(
        network, clone_function=copy, call_function=call, recursive=True
    )
    for layer, same in copies:
        same.set_weights(layer.get_weights())
    return folded


def _pairs(network: keras.Model) -> Iterator[tuple[layers.Layer, layers.Layer]]:
    """Every batch norm of which a convolution's output is the only use, with that convolution."""
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            before = layer.input._keras_history.operation
            convolves = isinstance(before, layers.Conv2D | layers.DepthwiseConv2D | GroupedConv2D)
            if convolves and len(before._outbound_nodes) == 1:
                yield layer, before


def _with_norm(convolution: layers.Layer, norm: layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution and the batch norm after it together."""
    kernel, *bias = convolution.get_weights()
    deviation = np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    scale = (norm.gamma.numpy() if norm.scale else 1) / deviation  # (filters,)
    shift = (norm.beta.numpy() if norm.center else 0) - norm.moving_mean.numpy() * scale
    if isinstance(convolution, layers.DepthwiseConv2D):  # (k, k, C, 1), filters second to last
        return kernel * scale[:, None], shift + sum(bias) * scale
    return kernel * scale, shift + sum(bias) * scale


class FoldedConv2D(layers.Layer):
    """What a convolution and the batch norm after it compute at inference: x (B, H, W, C) ->
    (B, H', W', filters).

    Made from a layer, a kernel of its shape and a bias (filters,), not from a config. A grouped
    kernel with few channels in a group becomes dense ones over pieces of the channels.
    """

    def __init__(self, like: layers.Layer, kernel: np.ndarray, bias: np.ndarray, **kwargs):
        super().__init__(**kwargs)
        self._depthwise = isinstance(like, layers.DepthwiseConv2D)
        self._grouped = isinstance(like, GroupedConv2D) and like.groups > 1
        kernels = [tf.constant(kernel)]
        self._pad = 0  # size of the kernel to pad for, before a convolution without padding
        if isinstance(like, GroupedConv2D):
            self._strides, self._padding = like.strides, "SAME"
            if like.strides > 1:
                self._pad, self._padding = like.kernel_size, "VALID"
            if kernel.shape[2] < NATIVE_FROM:
                kernels = dense_pieces(kernels[0], like.groups)
        else:
            self._strides, self._padding = like.strides[0], like.padding.upper()
        self.kernels = [self._constant(piece) for piece in kernels]
        # TensorFlow makes one operation of a convolution and the bias added to it, which without
        # oneDNN takes no grouped kernels; it leaves a subtraction alone.
        self.bias = self._constant(-bias if self._grouped else bias)
        self.built = True

    def _constant(self, value: np.ndarray) -> keras.Variable:
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype: tf.cast(value, dtype),
            dtype=self.compute_dtype,
            trainable=False,
        )

    def call(self, x):
        if self._pad:
            x = pad_symmetric(x, self._pad)
        parts = [x] if len(self.kernels) == 1 else tf.split(x, len(self.kernels), axis=-1)
        pieces = [self._convolve(*pair) for pair in zip(parts, self.kernels, strict=True)]
        y = pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=-1)
        bias = tf.convert_to_tensor(self.bias)
        return y - bias if self._grouped else tf.nn.bias_add(y, bias)

    def _convolve(self, x: tf.Tensor, kernel: keras.Variable) -> tf.Tensor:
        kernel = tf.convert_to_tensor(kernel)
        if self._depthwise:
            strides = [1, self._strides, self._strides, 1]
            return tf.nn.depthwise_conv2d(x, kernel, strides, self._padding)
        return tf.nn.conv2d(x, kernel, self._strides, self._padding)

"""Temporal models by name: encoders over the features of frames, and pooling to those of a clip.

All are masked: what a frame without a face holds changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import layers

from trainer.model.config import ModelConfig
from trainer.model.layers import AttentionPool, MaskedMean, Positions

HEAD_UNITS = 64  # of one attention head


def encode_and_pool(x, keep, config: ModelConfig):
    """Frame features x (B, T, D) and keep (B, T) bool -> per frame (B, T, F), per clip (B, F)."""
    encode, pool = TEMPORAL_MODELS[config.temporal]
    sequence = encode(x, keep, config)
    return sequence, pool(sequence, keep, config)


def _identity(x, keep, config: ModelConfig):
    return x


def _recurrent(cell: str, bidirectional: bool) -> Callable:
    def encode(x, keep, config: ModelConfig):
        for i in range(config.temporal_layers):
            # cuDNN wants masks that are padded on the right; faces are also lost in the middle.
            layer = getattr(layers, cell)(
                config.temporal_units,
                return_sequences=True,
                use_cudnn=False,
                name=f"temporal_{cell.lower()}{i + 1}",
            )
            if bidirectional:
                layer = layers.Bidirectional(layer, name=f"temporal_bi{cell.lower()}{i + 1}")
            x = layer(x, mask=keep)  # (B, T, units), or twice the units
        return x

    return encode


def _transformer(x, keep, config: ModelConfig):
    """Pre-norm encoder (Xiong et al. 2020) with learned positions: (B, T, D) -> (B, T, units)."""
    units = config.temporal_units
    heads = max(1, units // HEAD_UNITS)
    visible = layers.Reshape((1, -1), name="temporal_seen")(keep)  # (B, 1, T): for every query
    x = layers.Dense(units, name="temporal_project")(x)
    x = Positions(name="temporal_positions")(x)
    for i in range(config.temporal_layers):
        name = f"temporal_block{i + 1}"
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
        attention = layers.MultiHeadAttention(
            heads,
            -(-units // heads),
            dropout=config.dropout,
            seed=config.seed,
            name=f"{name}_attention",
        )
        x = layers.Add(name=f"{name}_add1")([x, attention(y, y, attention_mask=visible)])
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
        y = layers.Dense(4 * units, "gelu", name=f"{name}_dense1")(y)
        y = layers.Dropout(config.dropout, seed=config.seed, name=f"{name}_dropout")(y)
        y = layers.Dense(units, name=f"{name}_dense2")(y)
        x = layers.Add(name=f"{name}_add2")([x, y])
    return layers.LayerNormalization(epsilon=1e-6, name="temporal_norm")(x)


def _mean(sequence, keep, config: ModelConfig):
    return MaskedMean(name="temporal_pool")(sequence, keep)


def _attention(sequence, keep, config: ModelConfig):
    return AttentionPool(config.temporal_units, name="temporal_pool")(sequence, keep)


# Name -> (encoder over time, pooling of what it gives).
TEMPORAL_MODELS: dict[str, tuple[Callable, Callable]] = {
    "lstm": (_recurrent("LSTM", bidirectional=False), _mean),
    "bilstm": (_recurrent("LSTM", bidirectional=True), _mean),
    "gru": (_recurrent("GRU", bidirectional=False), _mean),
    "transformer": (_transformer, _mean),
    "attention": (_identity, _attention),
    "mean": (_identity, _mean),
}

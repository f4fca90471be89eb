"""The signatures of an exported model, a TensorFlow function each, by pipelines.model_contract."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import keras
import tensorflow as tf

from pipelines.model_contract import CONFIG, EXAMPLES, EXPLAIN, SERVING_DEFAULT, TENSORS
from pipelines.shards import schema
from trainer.exporting.serving_model import Network
from trainer.input.clips import decode_frames

IMAGE = "frame/image"
Answer = dict[str, tf.Tensor]


def save(
    folder: str | os.PathLike,
    network: Network,
    texts: dict[str, str],
    temperature: float,
    verbose: bool = False,
) -> None:
    """Writes the SavedModel with all signatures. texts: what "config" answers."""
    archive = keras.export.ExportArchive()  # without `track`, which stores all weights twice
    for name, function in signatures(network, texts, temperature).items():
        archive.add_endpoint(name, function)
    archive.write_out(str(folder), verbose=verbose)


def signatures(
    network: Network, texts: dict[str, str], temperature: float
) -> dict[str, Callable[..., Answer]]:
    """Name -> function, as docs/export.md lists them. texts: what "config" answers."""
    scoring = Scoring(network, temperature)
    side = network.side_px
    frames_spec = tf.TensorSpec([None, None], tf.string, name="frames")

    @tf.function(input_signature=[frames_spec])
    def serving_default(frames):
        return scoring.scores(*decode(frames, side))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, side, side, 3], tf.uint8, name="clips"),
            tf.TensorSpec([None, None], tf.bool, name="mask"),
        ]
    )
    def tensors(clips, mask):
        checked = tf.debugging.assert_equal(
            tf.shape(clips)[:2], tf.shape(mask), message="clips and mask must agree in [B, t]."
        )
        with tf.control_dependencies([checked]):
            return scoring.scores(tf.identity(clips), tf.identity(mask))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(examples):
        _, sequence, _ = tf.io.parse_sequence_example(
            examples, sequence_features={IMAGE: schema.feature_spec()[1][IMAGE]}
        )
        clips, mask = decode(sequence[IMAGE][:, : network.frames], side)
        return scoring.scores(scoring.pad(clips), scoring.pad(mask))

    @tf.function(input_signature=[frames_spec])
    def explain(frames):
        return scoring.heat(*decode(frames, side))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="query")])
    def config(query):
        return {name: tf.fill(tf.shape(query), text) for name, text in texts.items()}

    return {
        SERVING_DEFAULT.name: serving_default,
        TENSORS.name: tensors,
        EXAMPLES.name: examples,
        EXPLAIN.name: explain,
        CONFIG.name: config,
    }


def decode(images: tf.Tensor, side_px: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Encoded crops (B, t), "" for no frame -> clips uint8 (B, t, H, W, 3), mask bool (B, t)."""
    clips, mask = decode_frames(tf.reshape(images, [-1]), side_px)
    shape = tf.shape(images)
    clips = tf.reshape(clips, tf.concat([shape, clips.shape[1:]], 0))
    return tf.ensure_shape(clips, [None, None, side_px, side_px, 3]), tf.reshape(mask, shape)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Calibrated scores of clips of t frames, of any number up to those of the network."""

    network: Network
    temperature: float

    def scores(self, clips: tf.Tensor, mask: tf.Tensor) -> Answer:
        """Clips (B, t, H, W, 3), mask (B, t) -> probability_fake and logit (B,) and
        frame_probability (B, t)."""
        answer = self.full_scores(self.pad(clips), self._checked(self.pad(mask)))
        frames = answer["frame_probability"][:, : tf.shape(mask)[1]]
        return {**answer, "frame_probability": frames}

    def full_scores(self, clips: tf.Tensor, mask: tf.Tensor) -> Answer:
        """The same for clips of as many frames as the network takes, unchecked."""
        logits = self.network.logits(clips, mask)
        frames = self._probability(logits["frame_logit"]) * tf.cast(mask, tf.float32)
        return {
            "probability_fake": self._probability(logits["logit"]),
            "logit": tf.identity(logits["logit"]),
            "frame_probability": frames,
        }

    def heat(self, clips: tf.Tensor, mask: tf.Tensor) -> Answer:
        """Clips (B, t, H, W, 3), mask (B, t) -> heat_map (B, t, h, w), probability_fake (B,)."""
        heat, logit = self.network.heat_map(self.pad(clips), self._checked(self.pad(mask)))
        return {
            "heat_map": heat[:, : tf.shape(mask)[1]],
            "probability_fake": self._probability(logit),
        }

    def pad(self, values: tf.Tensor) -> tf.Tensor:
        """(B, t, ...) -> (B, T, ...) by zeros."""
        given, frames = tf.shape(values)[1], self.network.frames
        checked = tf.debugging.assert_less_equal(
            given, frames, message=f"A clip has more frames than the {frames} of this model."
        )
        with tf.control_dependencies([checked]):
            rest = [[0, 0]] * (values.shape.rank - 2)
            padded = tf.pad(values, [[0, 0], [0, frames - given], *rest])
        return tf.ensure_shape(padded, [None, frames, *values.shape[2:]])

    def _probability(self, logit: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(logit / self.temperature)

    @staticmethod
    def _checked(mask: tf.Tensor) -> tf.Tensor:
        checked = tf.debugging.assert_equal(
            tf.reduce_all(tf.reduce_any(mask, axis=1)),
            True,
            message="A clip holds no frame at all; leave it out of the request.",
        )
        with tf.control_dependencies([checked]):
            return tf.identity(mask)

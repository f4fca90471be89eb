"""Augmentation of training clips: one draw per clip, the same for all of its frames.

The order is that of the physical chain: where the camera stood, its colours, what hides the face,
focus and resolution, the sensor's noise, compression. The strengths are moderate, near those of
Seferbekov's winning solution of the DFDC (2020) and of Shiohara & Yamasaki (arXiv:2204.08376).

Operations take and return x, float32 (H, W, T, 3) in 0 to 255, and landmarks (T, 5, 2) px.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from pipelines.video.h264 import through_h264
from trainer.input.draws import choose, draw, pick
from trainer.input.filters import (
    blurred,
    colour_transform,
    recoloured,
    rescaled,
    sharpened,
    to_uint8,
)
from trainer.input.geometry import (
    frames_first,
    frames_last,
    inverse,
    pixel_grid,
    sample,
    similarity,
    transformed,
)

Varied = tuple[tf.Tensor, tf.Tensor]  # x and landmarks
Operation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Varied]

_MIRRORED = (1, 0, 2, 4, 3)  # the landmarks' order in a mirror


def flip(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Mirrors left and right; the subject's right eye becomes the left one."""
    del seed
    width = x.shape[1]
    mirrored = tf.gather(landmarks, _MIRRORED, axis=1)
    mirrored = tf.stack([width - 1.0 - mirrored[..., 0], mirrored[..., 1]], axis=-1)
    return tf.reverse(x, [1]), mirrored


def move(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Turns by up to 10 degrees, scales by 0.9 to 1.1 and shifts by up to 5 % of the side."""
    height, width = x.shape[:2]
    seeds = tf.unstack(tf.random.split(seed, 3))
    angle = draw(seeds[0], -math.radians(10), math.radians(10))
    scale = draw(seeds[1], 0.9, 1.1)
    shift = draw(seeds[2], -0.05, 0.05, [2]) * tf.constant([width, height], tf.float32)
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2], tf.float32)
    forward = similarity(centre, angle, scale, shift)
    back = transformed(pixel_grid(height, width), inverse(forward))
    return sample(x, back), transformed(landmarks, forward)


def recolour(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Changes brightness, contrast, saturation, hue and white balance."""
    return recoloured(x, colour_transform(seed, 1.0)), landmarks


# Parts of a face that may be hidden: the weights of the five landmarks whose mean is the middle,
# and how far it reaches across and along, in distances between the eyes.
_PARTS = (
    (0.5, 0.5, 0.0, 0.0, 0.0, 0.95, 0.32),  # both eyes
    (1.0, 0.0, 0.0, 0.0, 0.0, 0.40, 0.30),  # right eye
    (0.0, 1.0, 0.0, 0.0, 0.0, 0.40, 0.30),  # left eye
    (0.0, 0.0, 1.0, 0.0, 0.0, 0.40, 0.50),  # nose
    (0.0, 0.0, 0.0, 0.5, 0.5, 0.65, 0.35),  # mouth
)


def part_mask(landmarks: tf.Tensor, size: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Where a random part of the face lies in each frame, an ellipse or a box: (H, W, T) bool.

    It moves and grows with the face. Nowhere in frames whose eyes are in one point.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    part = pick(seeds[0], _PARTS)
    centre = tf.einsum("n,tnc->tc", part[:5], landmarks)  # (T, 2)
    eyes = tf.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1)  # (T,)
    reach = eyes[:, None] * part[5:] * draw(seeds[1], 0.7, 1.3, [2])
    reach = tf.maximum(reach, 1e-3)  # (T, 2)
    height, width = size
    across = (tf.range(width, dtype=tf.float32)[:, None] - centre[:, 0]) / reach[:, 0]  # (W, T)
    along = (tf.range(height, dtype=tf.float32)[:, None] - centre[:, 1]) / reach[:, 1]  # (H, T)
    across, along = tf.square(across), tf.square(along)[:, None]
    inside = choose(
        seeds[2], [lambda: across + along <= 1.0, lambda: (across <= 1.0) & (along <= 1.0)]
    )
    return inside & (eyes > 0.0)


def erase(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Hides a part of the face behind noise, the clip's mean colour or a random colour."""
    height, width = x.shape[:2]
    seeds = tf.unstack(tf.random.split(seed, 3))
    mask = part_mask(landmarks, (height, width), seeds[0])
    fill = choose(
        seeds[1],
        [
            lambda: draw(seeds[2], 0.0, 255.0, [height, width, 1, 3]),
            lambda: tf.broadcast_to(tf.reduce_mean(x, [0, 1, 2]), [height, width, 1, 3]),
            lambda: tf.broadcast_to(draw(seeds[2], 0.0, 255.0, [3]), [height, width, 1, 3]),
        ],
    )
    return tf.where(mask[..., None], fill, x), landmarks


def blur(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Gaussian blur of sigma 0.4 to 2 px."""
    return blurred(x, draw(seed, 0.4, 2.0), radius=5), landmarks


def rescale(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Loses the detail that a side of 0.35 to 0.95 the size cannot hold."""
    seeds = tf.unstack(tf.random.split(seed, 2))
    return rescaled(x, draw(seeds[0], 0.35, 0.95), seeds[1]), landmarks


def sharpen(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Hardens edges, so that hard edges alone do not give a self-blended clip away."""
    return sharpened(x, draw(seed, 0.3, 1.5)), landmarks


def add_noise(x: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> Varied:
    """Gaussian noise of sigma 1 to 6 grey levels, new in every frame.

    It is in the brightness only: video codecs leave little of the chroma's, and it costs a third.
    """
    seeds = tf.unstack(tf.random.split(seed, 2))
    noise = tf.random.stateless_normal([*x.shape[:3], 1], seeds[0])
    return x + noise * draw(seeds[1], 1.0, 6.0), landmarks


def jpeg(clip: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Clip uint8 (T, H, W, 3) after JPEG, every frame at the same quality of 40 to 100."""
    quality = tf.random.stateless_uniform([], seed, 40, 101, tf.int32)
    return tf.map_fn(
        lambda frame: tf.image.adjust_jpeg_quality(frame, quality, "INTEGER_ACCURATE"), clip
    )


H264_PRESETS = ("ultrafast", "veryfast")


def h264(clip: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Clip uint8 (T, H, W, 3) after H.264 as one video, at 0.5 to 1 times its size: what a face
    keeps that is as large in a compressed video.

    CRF 20 to 40; the presets differ in what they look for and in whether blocks are smoothed.
    16 frames of 224 px take 10 to 20 ms of a core. What is drawn depends on the seed alone.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    scale = draw(seeds[0], 0.5, 1.0)
    crf = tf.random.stateless_uniform([], seeds[1], 20, 41, tf.int32)
    preset = tf.random.stateless_uniform([], seeds[2], 0, len(H264_PRESETS), tf.int32)
    # FFmpeg and OpenCV let go of the interpreter's lock, so clips are encoded side by side.
    inputs = [clip, scale, crf, preset]
    return tf.ensure_shape(
        tf.numpy_function(_h264_at, inputs, tf.uint8, stateful=False), clip.shape
    )


def _h264_at(clip: np.ndarray, scale: float, crf: int, preset: int) -> np.ndarray:
    height, width = clip.shape[1:3]
    small = tuple(max(2, 2 * round(side * float(scale) / 2)) for side in (width, height))
    reduced = np.stack([cv2.resize(f, small, interpolation=cv2.INTER_AREA) for f in clip])
    decoded = through_h264(reduced, int(crf), H264_PRESETS[preset])
    size = (width, height)
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_CUBIC) for f in decoded])


# How often each operation is applied.
OPERATIONS: tuple[tuple[float, Operation], ...] = (
    (0.5, flip),
    (0.4, move),
    (0.7, recolour),
    (0.15, erase),
    (0.15, blur),
    (0.25, rescale),
    (0.1, sharpen),
    (0.2, add_noise),
)
# The last: at most one of the two.
JPEG_SHARE, H264_SHARE = 0.2, 0.3


def augment_clip(clip: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Augments clip uint8 (T, H, W, 3) RGB as `seed`, two integers, says.

    landmarks: (T, 5, 2) float32, x y in px of the crop: the subject's right eye (left in the
    image), left eye, nose, right and left mouth corner. Zeros where there is no face.

    What is not drawn costs nothing. 16 frames of 224 px take about 35 ms of a core on average.
    """
    *seeds, last = tf.unstack(tf.random.split(seed, len(OPERATIONS) + 1))
    x = tf.cast(frames_last(clip), tf.float32)
    for (share, operation), own in zip(OPERATIONS, seeds, strict=True):
        coin, own = tf.unstack(tf.random.split(own, 2))
        x, landmarks = tf.cond(
            draw(coin, 0.0, 1.0) < share,
            lambda f=operation, x=x, p=landmarks, s=own: f(x, p, s),
            lambda x=x, p=landmarks: (x, p),
        )
    varied = frames_first(to_uint8(x))
    coin, last = tf.unstack(tf.random.split(last, 2))
    place = tf.searchsorted([JPEG_SHARE, JPEG_SHARE + H264_SHARE], draw(coin, 0.0, 1.0)[None])[0]
    varied = tf.switch_case(
        place, [lambda: jpeg(varied, last), lambda: h264(varied, last), lambda: varied]
    )
    return tf.ensure_shape(varied, clip.shape)

"""Self-blended images over time: pseudo-fakes made of real clips.

Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022
(arXiv:2204.08376): two copies of a real face that differ slightly are blended within a face mask.
A detector that learns to see it looks for the traces of blending, which all face swaps share, and
not for those of one generator.

Here on clips and with five landmarks in place of 81: one mask and one change for all frames,
carried along with the face, and a slow tremor of the pasted face as frame-wise swaps show it.
"""

from __future__ import annotations

import math

import tensorflow as tf

from pipelines.faces.align import TEMPLATE
from pipelines.faces.regions import (
    CANVAS_LOW,
    CANVAS_PX,
    CANVAS_STEP,
    WEIGHTS,
    distance_maps,
)
from trainer.input.draws import choose, draw, pick
from trainer.input.filters import (
    DOWN,
    colour_transform,
    convolved,
    recoloured,
    rescaled,
    sharpened,
    to_uint8,
)
from trainer.input.geometry import (
    fitted,
    frames_first,
    frames_last,
    inverse,
    pixel_grid,
    sample,
    similarity,
    smooth_noise,
    transformed,
)

BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # the paper's

TREMOR_SHARE = 0.004  # farthest a frame of the source strays, of the side: 0.9 of 224 px


def canonical_mask(seed: tf.Tensor) -> tf.Tensor:
    """A random soft face region on the template's canvas: (CANVAS_PX, CANVAS_PX), 0 to 1.

    It is bent elastically and eroded or dilated, and the width of its edge varies.
    """
    seeds = tf.unstack(tf.random.split(seed, 4))
    weights = tf.constant(WEIGHTS, tf.float32)
    place = draw(seeds[0], 0.0, 1.0) * tf.reduce_sum(weights)
    region = tf.searchsorted(tf.cumsum(weights), place[None], side="right")[0]
    maps = tf.constant(distance_maps())
    size = (CANVAS_PX, CANVAS_PX)
    bent = pixel_grid(*size) + 0.04 / CANVAS_STEP * smooth_noise(seeds[1], (5, 5), size)
    distance = sample(maps[tf.minimum(region, len(WEIGHTS) - 1)], bent)
    # Shares of how far it reaches inwards: a mouth has less to lose than a face.
    reach = tf.reduce_max(distance)
    grown = distance + draw(seeds[2], -0.15, 0.1) * reach
    edge = draw(seeds[3], 0.1, 0.6) * reach
    ramp = tf.clip_by_value(grown / edge, 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)


def face_mask(landmarks: tf.Tensor, size: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """A random face region that follows landmarks (T, 5, 2) px: (H, W, T) float32, 0 to 1.

    One region for the clip, carried into each frame by the least-squares affine of its landmarks.
    Zero in frames whose landmarks span no area.
    """
    height, width = size
    frames = landmarks.shape[0]
    # Soft as it is, the mask is carried at half the resolution in a quarter of the time.
    small = (max(height // 2, 1), max(width // 2, 1))
    shrink = tf.constant([small[1] / width, small[0] / height], tf.float32)
    on_canvas = (TEMPLATE - CANVAS_LOW) / CANVAS_STEP - 0.5  # (5, 2) px
    to_canvas = inverse(fitted(on_canvas, (landmarks + 0.5) * shrink - 0.5))  # (T, 2, 3)
    # Without an inverse all pixels show the canvas's corner, where there never is a mask.
    carried = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.tile(canonical_mask(seed)[None, ..., None], [frames, 1, 1, 1]),
        transforms=tf.pad(tf.reshape(to_canvas, [frames, 6]), [[0, 0], [0, 2]]),
        output_shape=small,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    mask = tf.image.resize(tf.transpose(carried[..., 0], [1, 2, 0]), size)
    return tf.clip_by_value(mask, 0.0, 1.0)


def tremor(seed: tf.Tensor, frames: int, reach_px: float) -> tf.Tensor:
    """Offsets x y that wander slowly, with a bend every four frames: (frames, 2) float32 px.

    At most `reach_px`, and less in most clips. Methods that swap frame by frame leave such a
    tremor between face and head.
    """
    seeds = tf.unstack(tf.random.split(seed, 2))
    path = smooth_noise(seeds[0], (max(frames // 4, 2), 1), (frames, 1))[:, 0]
    return tf.clip_by_value(path, -1.0, 1.0) * draw(seeds[1], 0.0, reach_px)


def shifted(x: tf.Tensor, offsets_px: tf.Tensor, margin: int) -> tf.Tensor:
    """x (H, W, T, 3), its frame t moved by offsets_px[t], x y, of at most `margin` px.

    Without the margin, which comes from beyond the border: (H - 2 margin, W - 2 margin, T, 3).
    """
    taps = tf.range(-margin, margin + 1.0)
    # A correlation with weights at -offset moves the picture by +offset.
    weights = tf.maximum(1.0 - tf.abs(taps[:, None, None] + offsets_px), 0.0)  # (taps, T, 2)
    return convolved(x, weights[:, None, :, 1] * weights[None, :, :, 0])


def displacement(
    size: tuple[int, int], margin: int, centre: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Where each pixel of the source and of a margin of as many px around it comes from.

    (H + 2 margin, W + 2 margin, 2) float32, x y px.

    The paper's scale of up to 5 % and shift of up to 3 % across and 1.5 % along, about `centre`,
    and an elastic deformation of up to about 1 % of the side.
    """
    height, width = size
    extent = tf.constant([width, height], tf.float32)
    seeds = tf.unstack(tf.random.split(seed, 3))
    scale = draw(seeds[0], 0.95, 1.05)
    shift = draw(seeds[1], -1.0, 1.0, [2]) * tf.constant([0.03, 0.015]) * extent
    forward = similarity(centre, tf.zeros([]), scale, shift)
    grid = pixel_grid(height + 2 * margin, width + 2 * margin) - float(margin)
    wave = 0.01 * extent * smooth_noise(seeds[2], (6, 6), grid.shape[:2])
    return transformed(grid, inverse(forward)) + wave


def restyled(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """x (H, W, T, 3) as of another source: less detail or harder edges, and often other colours."""
    seeds = tf.unstack(tf.random.split(seed, 5))
    x = tf.cond(
        draw(seeds[4], 0.0, 1.0) < 2 / 3,  # as often as at least one of the paper's three
        lambda: recoloured(x, colour_transform(seeds[0], 0.6)),
        lambda: x,
    )
    return choose(
        seeds[1],
        [
            # The paper's code takes 1/2 and 1/4, by the nearest pixel.
            lambda: rescaled(x, pick(seeds[2], (1 / 2, 1 / 4)), seeds[3], (*DOWN, "nearest")),
            lambda: rescaled(x, draw(seeds[2], 0.35, 0.8), seeds[3]),
            lambda: sharpened(x, draw(seeds[2], 0.3, 1.5)),
            lambda: sharpened(x, draw(seeds[2], 0.3, 1.5)),
        ],
    )


def face_centre(landmarks: tf.Tensor) -> tf.Tensor:
    """(2,) px: mean of the landmarks (T, 5, 2) of the frames that have a face."""
    has_face = tf.reduce_any(landmarks != 0.0, axis=[1, 2])  # (T,)
    kept = tf.where(has_face[:, None, None], landmarks, 0.0)
    count = 5.0 * tf.reduce_sum(tf.cast(has_face, tf.float32))
    return tf.math.divide_no_nan(tf.reduce_sum(kept, axis=[0, 1]), count)


def self_blend(clip: tf.Tensor, landmarks: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pseudo-fake from a real clip uint8 (T, H, W, 3) RGB: the same face, pasted onto itself.

    landmarks: (T, 5, 2) float32, x y px of the crop, zeros where there is no face. seed: two
    integers. Source and target are copies of the clip; one of them, at random, is restyled, and
    the source is moved and bent as well. Frames without a face have nothing pasted in; a clip
    without any is no fake. 16 frames of 224 px take 60 to 100 ms of a core.

    Where the target is restyled, so is all that surrounds the face. A real clip that is to be told
    from it must have been through `blend_target`, or blur and colours give the fakes away.
    """
    seeds = tf.unstack(tf.random.split(seed, 6))
    original = tf.cast(frames_last(clip), tf.float32)
    height, width, frames, _ = original.shape
    reach_px = TREMOR_SHARE * min(height, width)
    margin = math.ceil(reach_px)
    origin = displacement((height, width), margin, face_centre(landmarks), seeds[0])
    warped = shifted(sample(original, origin), tremor(seeds[1], frames, reach_px), margin)
    source, target = tf.cond(
        _restyles_target(seeds),
        lambda: (warped, restyled(original, seeds[3])),
        lambda: (restyled(warped, seeds[3]), original),
    )
    mask = face_mask(landmarks, (height, width), seeds[4]) * pick(seeds[5], BLEND_RATIOS)
    blended = target + mask[..., None] * (source - target)
    return tf.ensure_shape(frames_first(to_uint8(blended)), clip.shape)


def blend_target(clip: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The target that `self_blend` pastes onto with this seed, uint8 (T, H, W, 3): the real clip of
    the pair, as the paper's code has it."""
    seeds = tf.unstack(tf.random.split(seed, 6))
    return tf.cond(
        _restyles_target(seeds),
        lambda: _restyled_clip(clip, seeds[3]),
        lambda: clip,
    )


def _restyles_target(seeds: list[tf.Tensor]) -> tf.Tensor:
    return draw(seeds[2], 0.0, 1.0) >= 0.5


def _restyled_clip(clip: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    x = restyled(tf.cast(frames_last(clip), tf.float32), seed)
    return tf.ensure_shape(frames_first(to_uint8(x)), clip.shape)

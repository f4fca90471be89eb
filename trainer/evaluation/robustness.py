"""Robustness conditions: 7 kinds of damage that videos meet, at 5 levels, done to face crops.

The plan is that of DeeperForensics-1.0 (Jiang et al., CVPR 2020, arXiv:2001.03024), and so, nearly,
are the strengths of contrast, blur, noise and H.264. Its saturation and grey blocks give way to
brightness and true JPEG; its "JPEG" is a down-scaling, which is here under its own name.

Unlike there, the crops are damaged and not the videos that they are cut from: the face is found
and cut out as if nothing had happened, so the metrics speak of the model alone.

Done frame by frame on uint8 by OpenCV and FFmpeg: the same in TensorFlow, as the augmentation
needs it, took up to nine times as long on a CPU. Of one core a clip of 16 x 224 x 224 takes about
35 ms for H.264, 29 for noise, up to 29 for blur, up to 13 for JPEG and down-scaling, 3 for the
rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import tensorflow as tf

from pipelines.video.h264 import through_h264


@dataclasses.dataclass(frozen=True)
class Condition:
    """A kind of damage at a level from 1, the mildest, to 5; label: what it is, for people."""

    kind: str
    level: int
    label: str


# A clip (T, H, W, 3) uint8, the strength and a source of randomness -> the same, damaged.
Damage = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def jpeg(clip: np.ndarray, quality: float, random: np.random.Generator) -> np.ndarray:
    """Every frame through JPEG by libjpeg, its colour at half the resolution (4:2:0)."""

    def through(frame: np.ndarray) -> np.ndarray:
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]

    return np.stack([through(frame) for frame in clip])


def blur(clip: np.ndarray, sigma_px: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian blur, the border mirrored."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma_px) for frame in clip])


def downscale(clip: np.ndarray, factor: float, random: np.random.Generator) -> np.ndarray:
    """Smaller by averaging over areas, then bicubically as large as before."""
    height, width = clip.shape[1:3]
    small = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                (width, height),
                interpolation=cv2.INTER_CUBIC,
            )
            for frame in clip
        ]
    )


def noise(clip: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """White Gaussian noise, sigma in grey levels, in every colour of every pixel."""
    x = random.standard_normal(clip.shape, np.float32)
    x *= sigma
    x += clip
    return _to_uint8(x)


def brightness(clip: np.ndarray, gain: float, random: np.random.Generator) -> np.ndarray:
    """Darker: every value multiplied by `gain`."""
    return _looked_up(clip, gain * np.arange(256))


def contrast(clip: np.ndarray, gain: float, random: np.random.Generator) -> np.ndarray:
    """Flatter: every value's distance to mid-grey multiplied by `gain`."""
    return _looked_up(clip, 128 + gain * (np.arange(256) - 128.0))


def h264(clip: np.ndarray, crf: float, random: np.random.Generator) -> np.ndarray:
    """The frames through H.264, with libx264 as FFmpeg sets it by default (preset medium).

    FaceForensics++ was made so from whole frames, its c23 and c40 at these rate factors.
    """
    return through_h264(clip, crf)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)


def _looked_up(clip: np.ndarray, table: np.ndarray) -> np.ndarray:
    return cv2.LUT(clip.reshape(-1, 1, 3), _to_uint8(table)).reshape(clip.shape)


# Kind -> what it does, how strongly at levels 1 to 5, and what that is called.
_KINDS: dict[str, tuple[Damage, tuple[float, ...], str]] = {
    "jpeg": (jpeg, (90, 70, 50, 30, 15), "JPEG quality {:g}"),
    "blur": (blur, (0.5, 1.0, 1.5, 2.5, 3.5), "Gaussian blur, sigma {:g} px"),
    "downscale": (downscale, (0.75, 0.5, 0.35, 0.25, 0.15), "down-scaled to {:.0%}"),
    "noise": (noise, (4, 8, 12, 18, 26), "Gaussian noise, sigma {:g} of 255"),
    "h264": (h264, (23, 30, 35, 40, 45), "H.264 CRF {:g}"),
    "brightness": (brightness, (0.85, 0.7, 0.55, 0.4, 0.25), "brightness {:.0%}"),
    "contrast": (contrast, (0.85, 0.7, 0.6, 0.5, 0.35), "contrast {:.0%}"),
}
CONDITIONS: tuple[Condition, ...] = tuple(
    Condition(kind, level, label.format(strength))
    for kind, (_, strengths, label) in _KINDS.items()
    for level, strength in enumerate(strengths, 1)
)


def corrupt(clips: tf.Tensor | np.ndarray, condition: Condition, seed: int) -> tf.Tensor:
    """Clips (B, T, H, W, 3) uint8 under a condition, same shape and dtype.

    The same seed gives the same noise, for a clip at the same place of the batch. Black frames,
    which stand for missing ones, are frames like all others here: their mask stays true to them.
    Raises ValueError for another shape or dtype, or a condition that is not one of CONDITIONS.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"{condition} is not one of trainer.evaluation.robustness.CONDITIONS.")
    if len(clips.shape) != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8:
        raise ValueError(
            f"clips are {clips.dtype} {tuple(clips.shape)}; expected uint8 (B, T, H, W, 3)."
        )
    damage, strengths, _ = _KINDS[condition.kind]
    strength = strengths[condition.level - 1]
    pixels = np.asarray(clips)
    result = np.empty_like(pixels)

    def one(index: int) -> None:
        random = np.random.Generator(np.random.SFC64([seed, index]))
        result[index] = damage(pixels[index], strength, random)

    # OpenCV, FFmpeg and NumPy's noise let go of the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(len(pixels))))
    return tf.convert_to_tensor(result)

"""Face detection by MTCNN: its three networks, each run once per batch of frames.

Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks". The weights are those of the `mtcnn` package; its driver is not
used, because it runs frame by frame and loses faces when `min_face_size` is raised.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import cv2
import joblib
import numpy as np
import tensorflow as tf

from pipelines.faces.boxes import overlap

PYRAMID_FACTOR = 0.709  # the paper's
P_CELL, P_STRIDE = 12, 2  # what one P-Net output looks at, and the step between two, px

# What a network is given at once. Calls run side by side in threads of our own: so a process in
# which each operation has one thread is no slower, and memory is bounded.
P_PIXELS, PATCHES = 256 << 10, 64


@dataclasses.dataclass(frozen=True)
class Face:
    """One face in one frame, in px of that frame.

    box: (4,) float32 x1 y1 x2 y2. landmarks: (5, 2) float32 x y: eye, eye, nose, mouth
    corner, mouth corner, each pair left to right in the image. score: 0 to 1.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float

    def scaled(self, scale: np.ndarray) -> Face:
        """The face in a picture that is `scale` (2,) times as large."""
        return _face(self.box * np.tile(scale, 2), self.landmarks * scale, self.score)

    def turned_back(self, quarters: int, size: tuple[int, ...]) -> Face:
        """The face in a picture of this size (W, H), of one in that picture turned by so many
        quarters against the clock."""
        points = np.concatenate([self.box.reshape(2, 2), self.landmarks])
        for quarter in range(quarters, 0, -1):
            width = size[0] if quarter % 2 else size[1]  # of the picture before this quarter
            points = np.stack([width - 1 - points[:, 1], points[:, 0]], axis=1)
        box = np.concatenate([points[:2].min(axis=0), points[:2].max(axis=0)])
        return _face(box, points[2:], self.score)


# Frames of one size, each (H, W, 3) uint8 RGB; not one array, which would have to be copied to.
Frames = Sequence[np.ndarray]


class FaceDetector(Protocol):
    """What finds faces. Moments of a video are searched side by side, from several threads."""

    def detect(self, frames: Frames) -> list[list[Face]]:
        """Faces in each of the frames, best score first."""

    def refine(self, frames: Frames, owners: np.ndarray, boxes: np.ndarray) -> list[Face]:
        """The face that is about at each of the boxes (M, 4), in frame owners[i].

        Always M faces: a low score says that there is none.
        """


class _Network:
    """Runs one of the package's networks from its list of weights.

    SIDE: of its pictures in px, None for any.
    """

    SIDE: int | None

    def _outputs(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        raise NotImplementedError

    def __init__(self, weights: list[np.ndarray]):
        self._weights = [tf.constant(w) for w in weights]
        self._graphs: dict[int, Callable] = {}
        self._tracing = threading.Lock()  # two threads at it would mix up weights

    def __call__(self, *images: np.ndarray) -> list[list[tf.Tensor]]:
        """The outputs for each of the batches (N, h, w, 3) uint8.

        Several in one call, since a call takes most of a millisecond however small the pictures.
        """
        with self._tracing:
            if len(images) not in self._graphs:
                spec = tf.TensorSpec([None, self.SIDE, self.SIDE, 3], tf.uint8)
                graph = tf.function(self._each, input_signature=[spec] * len(images))
                graph.get_concrete_function()
                self._graphs[len(images)] = graph
        return self._graphs[len(images)](*images)

    def _each(self, *images: tf.Tensor) -> list[list[tf.Tensor]]:
        return [list(self._outputs(batch)) for batch in images]

    def _take(self) -> tf.Tensor:
        return next(self._queue)

    def _conv(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, self._take(), 1, "VALID") + self._take()

    def _prelu(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x) + self._take() * tf.minimum(x, 0.0)

    def _dense(self, x: tf.Tensor) -> tf.Tensor:
        return x @ self._take() + self._take()

    def _start(self, images: tf.Tensor) -> tf.Tensor:
        self._queue = iter(self._weights)
        return (tf.cast(images, tf.float32) - 127.5) / 128.0

    @staticmethod
    def _flatten(x: tf.Tensor) -> tf.Tensor:
        """Width before height, the order in which the dense weights were trained."""
        x = tf.transpose(x, [0, 2, 1, 3])
        return tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])


class ProposalNet(_Network):
    SIDE = None

    def _outputs(self, images):  # -> offsets (N, h, w, 4), score (N, h, w)
        x = self._prelu(self._conv(self._start(images)))
        x = tf.nn.max_pool2d(x, 2, 2, "SAME")
        x = self._prelu(self._conv(x))
        x = self._prelu(self._conv(x))
        return self._conv(x), tf.nn.softmax(self._conv(x))[..., 1]


class RefineNet(_Network):
    SIDE = 24

    def _outputs(self, patches):  # -> offsets (N, 4), score (N,)
        x = self._prelu(self._conv(self._start(patches)))
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        x = tf.nn.max_pool2d(self._prelu(self._conv(x)), 3, 2, "VALID")
        x = self._prelu(self._conv(x))
        x = self._prelu(self._dense(self._flatten(x)))
        return self._dense(x), tf.nn.softmax(self._dense(x))[:, 1]


class OutputNet(_Network):
    SIDE = 48

    def _outputs(self, patches):  # -> offsets (N, 4), landmarks (N, 10), score (N,)
        x = self._prelu(self._conv(self._start(patches)))
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        x = tf.nn.max_pool2d(self._prelu(self._conv(x)), 3, 2, "VALID")
        x = tf.nn.max_pool2d(self._prelu(self._conv(x)), 2, 2, "SAME")
        x = self._prelu(self._conv(x))
        x = self._prelu(self._dense(self._flatten(x)))
        return self._dense(x), self._dense(x), tf.nn.softmax(self._dense(x))[:, 1]


def suppress(
    boxes: np.ndarray, scores: np.ndarray, owners: np.ndarray, threshold: float
) -> np.ndarray:
    """Greedy non-maximum suppression by IoU: indices to keep, best score first.

    boxes (N, 4), scores (N,). Only boxes with the same owner (frame) suppress each other.
    """
    corner_and_size: Any = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    confidences: Any = scores.astype(np.float32)
    classes: Any = owners.astype(np.int32)
    kept = cv2.dnn.NMSBoxesBatched(corner_and_size, confidences, classes, 0.0, threshold)
    return np.array(kept, int).ravel()


def suppress_nested(
    boxes: np.ndarray, scores: np.ndarray, owners: np.ndarray, threshold: float
) -> np.ndarray:
    """As `suppress`, by the common area as a share of the smaller box."""
    waiting = np.argsort(-scores, kind="stable")
    keep = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        keep.append(best)
        common, area, areas = overlap(boxes[best], boxes[rest])
        nested = common > threshold * np.minimum(area, areas)
        waiting = rest[~nested | (owners[rest] != owners[best])]
    return np.array(keep, int)


def _square(boxes: np.ndarray) -> np.ndarray:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _adjust(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + offsets * np.tile(size, 2)


def _patches(frames: Frames, owners: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """The boxes cut out of their frames at side x side px; grey beyond the border."""
    out = np.empty((len(boxes), side, side, 3), np.uint8)
    for i, (owner, (x1, y1, x2, y2)) in enumerate(zip(owners, boxes, strict=True)):
        to_source = np.array(
            [[(x2 - x1) / (side - 1), 0, x1], [0, (y2 - y1) / (side - 1), y1]], np.float32
        )
        cv2.warpAffine(
            frames[owner],
            to_source,
            (side, side),
            dst=out[i],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(127, 127, 127),
        )
    return out


def shrink(frame: np.ndarray, side_px: int) -> np.ndarray:
    """The frame (H, W, 3) with its long side at most `side_px`."""
    scale = side_px / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = [max(1, round(side * scale)) for side in frame.shape[1::-1]]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _face(box: np.ndarray, landmarks: np.ndarray, score: float) -> Face:
    return Face(box.astype(np.float32), landmarks.astype(np.float32), float(score))


def _pyramid(frames: Frames, scale: float) -> list[list[np.ndarray]]:
    """The frames at this scale and at ever smaller ones, down to what P-Net looks at."""
    height, width = frames[0].shape[:2]
    levels: list[list[np.ndarray]] = []
    while min(height, width) * scale >= P_CELL:
        size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
        # From the level before: each is read once at little more than its own size.
        larger = levels[-1] if levels else frames
        levels.append([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in larger])
        scale *= PYRAMID_FACTOR
    return levels


class MtcnnDetector:
    """MTCNN over batches of frames. Loading takes a moment: keep one per process.

    min_face: smallest face to search for, px. threads: how many calls of a network run side by
    side; 0 for one per core. They do not change the faces.
    """

    def __init__(self, min_face: int = 24, threads: int = 0):
        folder = importlib.resources.files("mtcnn.assets.weights")
        load = lambda name: joblib.load(str(folder / f"{name}.lz4"))  # noqa: E731
        self._p, self._r, self._o = (
            ProposalNet(load("pnet")),
            RefineNet(load("rnet")),
            OutputNet(load("onet")),
        )
        self.min_face = min_face
        self._threads = ThreadPoolExecutor(threads or os.cpu_count(), "detect")

    def detect(self, frames: Frames) -> list[list[Face]]:
        kinds = {(str(frame.dtype), frame.shape) for frame in frames}
        if len(kinds) != 1 or not all(k == "uint8" and len(s) == 3 == s[-1] for k, s in kinds):
            raise ValueError(
                f"frames are {sorted(kinds)}; expected uint8 (H, W, 3) RGB, all of one size."
            )
        faces: list[list[Face]] = [[] for _ in frames]
        owners, boxes = self._propose(frames)
        if len(boxes):
            owners, boxes = self._reconsider(frames, owners, boxes)
        if not len(boxes):  # an empty batch is an error inside the networks
            return faces
        boxes, landmarks, scores = self._output(frames, owners, boxes)
        sure = np.flatnonzero(scores > 0.8)
        keep = suppress_nested(boxes[sure], scores[sure], owners[sure], 0.7)
        for i in sure[keep]:
            faces[owners[i]].append(_face(boxes[i], landmarks[i], scores[i]))
        return faces

    def refine(self, frames: Frames, owners: np.ndarray, boxes: np.ndarray) -> list[Face]:
        if not len(boxes):
            return []
        boxes, landmarks, scores = self._output(frames, owners, _square(boxes))
        return [_face(*face) for face in zip(boxes, landmarks, scores, strict=True)]

    def _propose(self, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
        all_owners, all_boxes, all_scores = [], [], []
        height, width = frames[0].shape[:2]
        levels = _pyramid(frames, P_CELL / self.min_face)
        if not levels:
            return np.empty(0, int), np.empty((0, 4))
        pixels = sum(level[0].shape[0] * level[0].shape[1] for level in levels)
        found = self._run(self._p, levels, max(1, P_PIXELS // pixels))
        for level, (offsets, scores) in zip(levels, found, strict=True):
            owner, row, column = np.nonzero(scores > 0.6)
            corner = np.stack([column, row, column, row], axis=1) * P_STRIDE
            cell = corner + np.array([0, 0, P_CELL, P_CELL])
            boxes = cell + offsets[owner, row, column] * (P_CELL - 1)
            boxes /= np.tile(np.array(level[0].shape[1::-1]) / (width, height), 2)
            score = scores[owner, row, column]
            keep = suppress(boxes, score, owner, 0.5)
            all_owners.append(owner[keep])
            all_boxes.append(boxes[keep])
            all_scores.append(score[keep])
        owners, boxes = np.concatenate(all_owners), np.concatenate(all_boxes)
        keep = suppress(boxes, np.concatenate(all_scores), owners, 0.7)
        return owners[keep], _square(boxes[keep])

    def _reconsider(self, frames, owners, boxes) -> tuple[np.ndarray, np.ndarray]:
        offsets, scores = self._look(self._r, frames, owners, boxes)
        sure = scores > 0.7
        owners, boxes, scores = owners[sure], _adjust(boxes, offsets)[sure], scores[sure]
        keep = suppress(boxes, scores, owners, 0.7)
        return owners[keep], _square(boxes[keep])

    def _output(self, frames, owners, boxes):
        """Boxes (N, 4), landmarks (N, 5, 2) and scores (N,) from square boxes about faces."""
        offsets, landmarks, scores = self._look(self._o, frames, owners, boxes)
        # x1..x5 y1..y5, as shares of the box -> (N, 5, 2) px. Less half a pixel, not the one of
        # the original: only so does a face at 1/2 to 1/8 of its size keep its place.
        size = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        points = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1) * size + boxes[:, None, :2] - 0.5
        return _adjust(boxes, offsets), points, scores

    def _look(self, network: RefineNet | OutputNet, frames, owners, boxes) -> list[np.ndarray]:
        """The network's outputs for the patches in all boxes."""
        (outputs,) = self._run(network, [_patches(frames, owners, boxes, network.SIDE)], PATCHES)
        return outputs

    def _run(
        self, network: _Network, images: Sequence[Frames | np.ndarray], at_once: int
    ) -> list[list[np.ndarray]]:
        """The network's outputs for several rows of as many images (N, h, w, 3) uint8, `at_once` of
        each row in a call."""
        count = len(images[0])

        def run(start: int) -> list[list[np.ndarray]]:
            parts = [np.asarray(row[start : start + at_once]) for row in images]
            if (number := len(parts[0])) == 1:
                # A single one would go through other instructions: a matrix times a vector.
                parts = [np.repeat(part, 2, axis=0) for part in parts]
            return [[t.numpy()[:number] for t in outputs] for outputs in network(*parts)]

        done = list(self._threads.map(run, range(0, count, at_once)))
        return [
            [np.concatenate(output) for output in zip(*of_row, strict=True)]
            for of_row in zip(*done, strict=True)
        ]

"""Boxes of faces, x1 y1 x2 y2 in px, and how much they overlap. Loads no TensorFlow."""

from __future__ import annotations

import numpy as np

LINK_IOU = 0.3  # boxes of one face in neighbouring samples overlap at least this much


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection of `box` (4,) with each of `boxes` (N, 4), over their union -> (N,)."""
    common, area, areas = overlap(box, boxes)
    return common / np.maximum(area + areas - common, 1e-9)


def overlap(box: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Areas in px: common to `box` and each of the boxes, of `box`, of each."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:4], boxes[:, 2:4])
    common = np.clip(high - low, 0, None).prod(axis=1)
    return common, (box[2:4] - box[:2]).prod(), (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1)

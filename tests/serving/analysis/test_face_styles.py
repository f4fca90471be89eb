"""Colours of faces on page and report: apart for every kind of colour vision, and from the card."""

import itertools
import re

import numpy as np
import pytest

from serving.analysis.report_html import STYLE

COLOURS = 8
# Linear RGB as seen by those with none of the cones for red, green and blue: Machado, Oliveira and
# Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009).
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def linear(colour: str) -> np.ndarray:
    """(3,) linear RGB of sRGB as #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    values = np.frombuffer(bytes.fromhex(digits), np.uint8) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """(3,) CIELAB of linear RGB."""
    ratios = XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """WCAG's."""
    low, high = sorted(XYZ[1] @ linear(colour) + 0.05 for colour in (one, other))
    return high / low


@pytest.fixture(params=["light", "dark"])
def colours(request) -> dict[str, str]:
    light, dark = STYLE.read_text().split("prefers-color-scheme: dark")[:2]
    text = light if request.param == "light" else dark.split("* {")[0]
    return dict(re.findall(r"--([\w-]+): (#\w+)", text))


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_colours_of_faces_are_apart(colours, vision):
    seen = [lab(VISIONS[vision] @ linear(colours[f"face-{n}"])) for n in range(1, COLOURS + 1)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 25


def test_lines_and_marks_of_faces_stand_out_from_the_card(colours):
    assert min(contrast(colours[f"face-{n}"], colours["card"]) for n in range(1, 9)) >= 3

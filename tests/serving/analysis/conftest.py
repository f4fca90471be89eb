"""Films of faces that were swapped for a while, and what finds and judges the faces."""

import dataclasses

import cv2
import numpy as np
import pytest

from pipelines.faces.extract import FaceExtractor
from tests.fixtures.films import GreenIsFake, film, swapped


@pytest.fixture(scope="session")
def head(astronaut) -> np.ndarray:
    """(128, 128, 3) uint8: a face of 50 px."""
    return cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def model(small_config) -> GreenIsFake:
    return GreenIsFake(dataclasses.replace(small_config, faces="all"))


@pytest.fixture(scope="session")
def faces(model) -> FaceExtractor:
    return FaceExtractor(model.config().preprocess)


@pytest.fixture(scope="module")
def films(tmp_path_factory, head) -> dict[str, str]:
    """60 s each: fake at the start, fake at the end, real."""
    root, fake = tmp_path_factory.mktemp("films"), swapped(head)
    return {
        "start": film(root / "start.mp4", (15, fake), (45, head), fps=10),
        "end": film(root / "end.mp4", (45, head), (15, fake), fps=10),
        "real": film(root / "real.mp4", (60, head), fps=10),
        "stream": film(root / "stream.ts", (30, head), (8, fake), (22, head), fps=10),
    }

"""The picture that is judged is the one that a player shows."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.video.decode import read_frames
from pipelines.video.picture import oriented
from pipelines.video.probe import probe

PATCHES = np.array(
    [
        [[200, 30, 30], [30, 180, 60], [40, 60, 210], [220, 200, 40]],
        [[128, 128, 128], [235, 235, 235], [20, 20, 20], [180, 90, 160]],
    ],
    np.uint8,
)
PATCHWORK = PATCHES.repeat(32, axis=0).repeat(
    32, axis=1
)  # (64, 128, 3)
UNIT = 1 << 16  # 1.0 in a display matrix


def write(path: Path, image: np.ndarray, frames: int = 3, codec: str = "libx264", prepare=None):
    """A video of equal frames. prepare: called with the stream before the first of them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "4"}
        if prepare:
            prepare(stream)
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def read(path: Path) -> np.ndarray:
    (image,) = read_frames(probe(str(path)), [1])
    assert image is not None and image.flags.c_contiguous
    return image


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# --- display matrices -----------------------------------------------------------------------------

# a, b, c, d of the matrix -> the same by the filters that FFmpeg's player puts in for it.
ORIENTATIONS = {
    (1, 0, 0, 1): (),
    (-1, 0, 0, 1): ("hflip",),
    (1, 0, 0, -1): ("vflip",),
    (-1, 0, 0, -1): ("hflip", "vflip"),
    (0, 1, -1, 0): ("transpose=clock",),
    (0, -1, 1, 0): ("transpose=cclock",),
    (0, 1, 1, 0): ("transpose=cclock_flip",),
    (0, -1, -1, 0): ("transpose=clock_flip",),
}


def by_filters(image: np.ndarray, filters) -> np.ndarray:
    graph = av.filter.Graph()
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    size = {"width": frame.width, "height": frame.height, "format": frame.format}
    nodes = [graph.add_buffer(**size, time_base=Fraction(1, 25))]
    nodes += [graph.add(*name.split("=")) for name in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull().to_ndarray(format="rgb24")


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("terms", ORIENTATIONS)
def test_a_display_matrix_turns_and_mirrors_as_in_a_player(tmp_path, terms, container):
    a, b, c, d = (UNIT * term for term in terms)
    plain = read(write(tmp_path / f"plain.{container}", PATCHWORK))
    path = write(
        tmp_path / f"turned.{container}",
        PATCHWORK,
        prepare=lambda s: s.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]),
    )
    np.testing.assert_array_equal(read(path), by_filters(plain, ORIENTATIONS[terms]))


@given(
    terms=st.sampled_from(list(ORIENTATIONS)),
    scales=st.tuples(*[st.integers(1 << 10, 1 << 20)] * 2),
    lean=st.floats(-0.4, 0.4),
    width=st.integers(1, 5),
    height=st.integers(1, 5),
)
def test_each_pixel_goes_where_the_matrix_says(terms, scales, lean, width, height):
    a, b, c, d = terms
    image = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    # Scaled, and leaning a little to one side, which orientation leaves alone.
    own, other = (int(lean * s) for s in scales)
    matrix = [scales[0] * a or own, scales[0] * b or own, 0]
    matrix += [scales[1] * c or other, scales[1] * d or other, 0, 7 << 16, -9 << 16, 1 << 30]
    shown = oriented(image, np.array(matrix))
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    right, down = a * x + c * y, b * x + d * y
    np.testing.assert_array_equal(shown[down - down.min(), right - right.min()], image)


@pytest.mark.parametrize("matrix", [None, [0] * 9, [UNIT, 0, 0, 0, UNIT, 0, 0, 0, 1 << 30]])
def test_an_upright_picture_is_not_touched(matrix):
    matrix = None if matrix is None else np.array(matrix)
    assert np.shares_memory(oriented(PATCHWORK, matrix), PATCHWORK)

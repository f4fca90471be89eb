"""The picture that is judged is the one that a player shows."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.video.decode import read_frames
from pipelines.video.picture import (
    MAX_PIXELS,
    MAX_SIDE_PX,
    oriented,
    pixel_aspect,
    square_size,
    squared,
    wide_colours,
)
from pipelines.video.probe import probe

PATCHES = np.array(
    [
        [[200, 30, 30], [30, 180, 60], [40, 60, 210], [220, 200, 40]],
        [[128, 128, 128], [235, 235, 235], [20, 20, 20], [180, 90, 160]],
    ],
    np.uint8,
)
PATCHWORK = PATCHES.repeat(32, axis=0).repeat(32, axis=1)  # (64, 128, 3)
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


# --- pixels that are not square -------------------------------------------------------------------

# Size as coded of a picture whose pixels are so many times as wide as high.
ANAMORPHIC = {
    "4:3 on DVD": (720, 576, Fraction(16, 15)),
    "4:3 on NTSC": (720, 480, Fraction(8, 9)),
    "16:9 on DVD": (720, 576, Fraction(64, 45)),
    "16:9 on NTSC": (720, 480, Fraction(32, 27)),
    "16:9 on SVCD": (480, 576, Fraction(32, 15)),
    "HDV": (1440, 1080, Fraction(4, 3)),
    "2:1": (320, 640, Fraction(2, 1)),
    "2:3": (480, 320, Fraction(2, 3)),
    "1:2": (640, 320, Fraction(1, 2)),
}
# File name -> its encoder.
CONTAINERS = {
    "h264.mp4": "libx264",
    "h264.mov": "libx264",
    "h264.mkv": "libx264",
    "h264.ts": "libx264",
    "h264.h264": "libx264",
    "mpeg2.mpg": "mpeg2video",
    "mpeg2.ts": "mpeg2video",
    "mpeg4.avi": "mpeg4",
}


def write_anamorphic(path, square, width, height, aspect, codec="libx264") -> Path:
    """A video of a picture in square pixels, squeezed into others."""
    squeezed = cv2.resize(square, (width, height), interpolation=cv2.INTER_AREA)

    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = aspect
        if codec != "libx264":
            stream.codec_context.bit_rate = 20_000_000

    return write(path, squeezed, codec=codec, prepare=prepare)


def square_master(astronaut, width: int, height: int, aspect: Fraction) -> np.ndarray:
    """The astronaut on a picture that covers the same area in square pixels."""
    size = square_size(width, height, float(aspect))
    side = min(size)
    out = np.full((size[1], size[0], 3), 90, np.uint8)
    top, left = (size[1] - side) // 2, (size[0] - side) // 2
    out[top : top + side, left : left + side] = cv2.resize(astronaut, (side, side))
    return out


@pytest.mark.parametrize("name", ANAMORPHIC)
def test_an_anamorphic_picture_is_as_its_square_master(tmp_path, astronaut, name):
    width, height, aspect = ANAMORPHIC[name]
    master = square_master(astronaut, width, height, aspect)
    shown = read(write_anamorphic(tmp_path / "a.mp4", master, width, height, aspect))
    assert shown.shape == master.shape
    assert shown.shape[1] / shown.shape[0] == pytest.approx(width / height * aspect, rel=0.003)
    assert correlation(shown, master) >= 0.99


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_shape_of_pixels_is_read_from_every_container(tmp_path, astronaut, name):
    size = 352, 288, Fraction(16, 11)
    master = square_master(astronaut, *size)
    path = write_anamorphic(tmp_path / name, master, *size, CONTAINERS[name])
    assert read(path).shape == master.shape and correlation(read(path), master) >= 0.99


def test_pixels_are_made_square_before_the_picture_is_turned(tmp_path, astronaut):
    master = square_master(astronaut, 240, 320, Fraction(2))
    squeezed = cv2.resize(master, (240, 320), interpolation=cv2.INTER_AREA)

    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        stream.set_display_matrix([0, UNIT, 0, -UNIT, 0, 0, 0, 0, 1 << 30])

    shown = read(write(tmp_path / "turned.mp4", squeezed, prepare=prepare))
    assert correlation(shown, np.rot90(master, -1)) >= 0.99


def test_pixels_that_change_their_shape_on_the_way_are_square_before_and_after(tmp_path, astronaut):
    parts = []
    for i, aspect in enumerate((Fraction(16, 15), Fraction(64, 45))):
        part = tmp_path / f"{i}.mpg"
        picture = square_master(astronaut, 720, 576, aspect)
        write_anamorphic(part, picture, 720, 576, aspect, "mpeg2video")
        with av.open(str(part)) as container:
            stream = container.streams.video[0]
            parts += [bytes(packet) for packet in container.demux(stream) if packet.size]
    path = tmp_path / "both.m2v"
    path.write_bytes(b"".join(parts))
    info = probe(str(path))
    shapes = [image.shape for image in read_frames(info, range(info.frames)) if image is not None]
    assert shapes[0] == (576, 768, 3) and shapes[-1] == (576, 1024, 3)


@given(
    width=st.integers(1, MAX_SIDE_PX),
    height=st.integers(1, MAX_SIDE_PX),
    ratio=st.floats(0, 1e6, allow_subnormal=False) | st.none(),
)
def test_any_named_shape_gives_a_picture_that_fits_and_loses_nothing(width, height, ratio):
    aspect = pixel_aspect(ratio)
    wide, high = square_size(width, height, aspect)
    if width * height <= MAX_PIXELS:
        assert wide * high <= MAX_PIXELS and 1 <= min(wide, high) and max(wide, high) <= MAX_SIDE_PX
    if aspect == 1.0:
        assert (wide, high) == (width, height)
    elif min(width, height, wide, high) > 100:
        assert wide / high == pytest.approx(width / height * aspect, rel=0.02)


@pytest.mark.parametrize("ratio", [None, 0, 1, Fraction(1, 1), 0.991, 1.009, 1e-6, 1e6, -1])
def test_square_pixels_and_nonsense_are_left_alone(ratio):
    assert pixel_aspect(ratio) == 1.0
    assert squared(PATCHWORK, pixel_aspect(ratio)) is PATCHWORK


# --- colours beyond SDR ---------------------------------------------------------------------------

WHITE = 203  # cd/m2 of SDR's white in HDR: ITU-R BT.2408-7, table 1
# ITU-R BT.2087-0, and the same for Display P3 (SMPTE EG 432-1): linear RGB from BT.709's.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1775, 0], [0.0332, 0.9668, 0], [0.0171, 0.0724, 0.9105]])


def pq(light: np.ndarray) -> np.ndarray:
    """The signal of light in cd/m2: ITU-R BT.2100-2, table 4."""
    y = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def hlg(light: np.ndarray) -> np.ndarray:
    """The signal of light in cd/m2 on a display of 1,000: ITU-R BT.2100-2, table 5."""
    shown = light / 1000
    luminance = np.maximum(shown @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None]
    scene = shown * luminance ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


# Name in the note -> the signal of an SDR master's linear light; transfer, primaries, matrix.
COLOURS = {
    "HDR (PQ, BT.2020)": (lambda light: pq(WHITE * light @ TO_BT2020.T), 16, 9, 9),
    "HDR (HLG, BT.2020)": (lambda light: hlg(WHITE * light @ TO_BT2020.T), 18, 9, 9),
    "wide gamut (BT.2020)": (lambda light: (light @ TO_BT2020.T) ** (1 / 2.4), 14, 9, 9),
    "wide gamut (Display P3)": (lambda light: (light @ TO_P3.T) ** (1 / 2.4), 1, 12, 1),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_beyond_sdr_are_those_of_the_sdr_master(tmp_path, astronaut, name):
    signal, transfer, primaries, matrix = COLOURS[name]
    coded = np.clip(signal((astronaut / 255) ** 2.4), 0, 1)  # BT.1886
    frame = av.VideoFrame.from_ndarray((65535 * coded).round().astype(np.uint16), "rgb48le")
    frame = frame.reformat(format="yuv420p10le", dst_colorspace=matrix, dst_color_range=1)
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.options = {"crf": "8", "x265-params": "log-level=none"}
        stream.height, stream.width = astronaut.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        for thing in (frame, stream.codec_context):
            thing.color_trc, thing.color_primaries = transfer, primaries
            thing.colorspace, thing.color_range = matrix, 1
        for _ in range(3):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    shown = read(path)
    assert correlation(shown, astronaut) >= 0.995
    apart = shown.astype(int) - astronaut
    assert np.abs(apart).mean() < 4
    skin = apart[70:150, 110:160].reshape(-1, 3).mean(axis=0)  # cheeks and nose
    assert np.abs(skin).max() < 5
    assert probe(str(path)).notes == (f"Its colours are {name}; they were judged as SDR (BT.709).",)


@pytest.mark.parametrize("primaries", [1, 2, 5, 6])
@pytest.mark.parametrize("transfer", [1, 2, 6, 13])
def test_colours_of_ordinary_videos_are_none_beyond_sdr(transfer, primaries):
    assert wide_colours(transfer, primaries) == ""


def test_hdr_that_names_no_primaries_has_those_of_bt2020():
    assert wide_colours(18, 2) == "HDR (HLG, BT.2020)"

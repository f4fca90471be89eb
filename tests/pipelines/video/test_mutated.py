"""Damaged videos, by the thousand: each gives clips or a reason, never a crash."""

import time

import cv2
import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.clip import VideoError
from pipelines.shards.open import read_info
from tests.fixtures.hostile_videos import claiming

REASONS = {"unreadable", "unsupported", "no_video_stream", "truncated", "damaged", "no_face"}
REASONS |= {"timeout"}

# file name -> encoder and the options of its container
WRITTEN = {
    "front.mp4": ("libx264", {"movflags": "faststart"}),
    "end.mp4": ("libx264", {}),
    "fragments.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "hevc.mp4": ("libx265", {}),
    "h264.avi": ("libx264", {}),
    "mjpeg.avi": ("mjpeg", {}),
    "h264.mkv": ("libx264", {}),
    "vp8.webm": ("libvpx", {}),
    "vp9.webm": ("libvpx-vp9", {}),
    "animated.gif": ("gif", {}),
    "h264.ts": ("libx264", {}),
    "mpeg4.avi": ("mpeg4", {}),
}


def flip_bits(data: bytearray, random, _) -> bytearray:
    for place in random.integers(0, len(data), random.integers(1, 40)):
        data[place] ^= 1 << random.integers(8)
    return data


def truncate(data: bytearray, random, _) -> bytearray:
    return data[: random.integers(1, len(data))]


def zero_a_range(data: bytearray, random, _) -> bytearray:
    start, end = _range(data, random)
    data[start:end] = bytes(end - start)
    return data


def repeat_a_range(data: bytearray, random, _) -> bytearray:
    start, end = _range(data, random)
    return data[:end] + data[start:]


def drop_a_range(data: bytearray, random, _) -> bytearray:
    start, end = _range(data, random)
    return data[:start] + data[end:]


def overwrite_a_range(data: bytearray, random, _) -> bytearray:
    start, end = _range(data, random)
    data[start:end] = random.integers(0, 256, end - start, np.uint8).tobytes()
    return data


def raise_a_number(data: bytearray, random, _) -> bytearray:
    """Sets four bytes in a row to the greatest number: counts, sizes and offsets in headers."""
    place = random.integers(0, min(len(data), 2000) - 4)
    data[place : place + 4] = random.choice([b"\x7f\xff\xff\xff", b"\xff" * 4, b"\0\0\xff\xff"])
    return data


def splice_a_header(data: bytearray, random, other: bytes) -> bytearray:
    end = random.integers(16, min(len(other), len(data), 4000))
    return bytearray(other[:end]) + data[end:]


def _range(data: bytearray, random) -> tuple[int, int]:
    start = int(random.integers(len(data) - 1))
    return start, min(len(data), start + int(2 ** random.uniform(0, 12)))


MUTATIONS = [
    flip_bits,
    truncate,
    zero_a_range,
    repeat_a_range,
    drop_a_range,
    overwrite_a_range,
    raise_a_number,
    splice_a_header,
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory, encode, astronaut) -> dict[str, bytes]:
    """The bytes of one short face video per container."""
    face = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    frames = np.stack([np.roll(face, i, axis=1) for i in range(30)])
    folder = tmp_path_factory.mktemp("originals")
    return {
        name: encode(folder / name, frames, codec, muxer=options).read_bytes()
        for name, (codec, options) in WRITTEN.items()
    }


def mutate(originals: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """(file name, contents) of a damaged video; the same for the same seed."""
    random = np.random.default_rng(seed)
    name, other = (str(n) for n in random.choice(list(originals), 2, replace=False))
    data = bytearray(originals[name])
    for mutation in random.choice(MUTATIONS, random.integers(1, 3)):
        if len(data) > 64:
            data = mutation(data, random, originals[other])
    return name, bytes(data)


def outcome(extractor, path) -> str:
    """ "clips", or the reason why there are none."""
    try:
        clips = extractor.extract(str(path))
    except VideoError as error:
        assert error.stage in ("decode", "faces")
        assert str(path) in error.detail
        return error.reason
    assert clips
    for clip in clips:
        assert clip.has_crop.any() and len(clip.images) == len(clip.times_s)
        assert np.isfinite(clip.times_s).all() and (np.diff(clip.times_s) > 0).all()
    return "clips"


@pytest.fixture
def assert_clips_or_a_reason(originals, extractor, tmp_path):
    def check(seed: int) -> None:
        name, data = mutate(originals, seed)
        path = tmp_path / name
        path.write_bytes(data)
        began_s = time.monotonic()
        assert outcome(extractor, path) in {"clips", *REASONS}
        assert time.monotonic() - began_s < 20  # usually 0.03

    return check


@pytest.mark.parametrize("name", WRITTEN)
def test_the_originals_give_clips(originals, extractor, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(originals[name])
    assert outcome(extractor, path) == "clips"


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_video_gives_clips_or_a_reason(assert_clips_or_a_reason, seed):
    assert_clips_or_a_reason(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_a_thousand_damaged_videos_give_clips_or_a_reason(assert_clips_or_a_reason, seed):
    assert_clips_or_a_reason(seed)


def test_a_job_over_damaged_videos_loses_none_and_repeats_itself_with_other_threads(
    originals, tmp_path
):
    root = tmp_path / "set"
    for seed in range(24):
        name, data = mutate(originals, seed)
        path = root / ("real" if seed % 2 else "fake") / f"{seed}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "real" / "hostile.mp4").write_bytes(claiming(10_000_000))
    shards = []
    for threads in ("1", "3"):
        out = tmp_path / threads
        argv = ["--input", str(root), "--output", str(out), "--threads", threads, "--shards", "1"]
        flags = ["--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40"]
        assert main(["preprocess", *argv, *flags]) == 0
        info = read_info(out)
        kept = sum(part["videos"] for part in info["splits"].values())
        assert kept > 0 and kept + sum(info["rejects"].values()) == 25
        assert set(info["rejects"]) <= REASONS
        shards.append({path.name: path.read_bytes() for path in out.glob("*.tfrecord")})
    assert shards[0] == shards[1]

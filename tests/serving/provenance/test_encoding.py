"""Encoding of streams, read without decoding, against what the decoder says."""

from collections import Counter

import av
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st

from pipelines.video.probe import open_video
from serving.provenance.encoding import gop_lengths, read_encoding
from tests.fixtures.signed_videos import write_video

SLICES = {"x264-params": "slices=4"}


def read(path):
    with open_video(str(path)) as (container, stream):
        return read_encoding(container, stream)


def decoded_types(path) -> dict[str, int]:
    with av.open(str(path)) as container:
        types = Counter(PictureType(frame.pict_type).name for frame in container.decode(video=0))
    return dict(types)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {}),
        ("clip.mp4", "libx264", {"bf": "0"}),
        ("clip.mp4", "libx264", SLICES),
        ("clip.ts", "libx264", {}),
        ("clip.mkv", "libx264", {}),
        ("clip.mp4", "libx265", {}),
        ("clip.ts", "libx265", {}),
    ],
)
def test_types_of_frames_are_those_that_the_decoder_sees(tmp_path, name, codec, options):
    path = write_video(tmp_path / name, codec, options=options)
    told = read(path)
    assert told.frame_types == decoded_types(path) and told.frames == 30


def test_gop_lengths_and_the_encoder_are_told(video):
    told = read(video)
    assert (told.keyframes, told.gop.number, told.gop.shortest, told.gop.longest) == (3, 3, 10, 10)
    assert told.codec.startswith("H.264") and told.pixel_format == "yuv420p"
    assert told.encoder.startswith("x264 - core ")
    assert told.bit_rate > 0


def test_of_other_codecs_the_types_are_left_out(tmp_path):
    told = read(write_video(tmp_path / "clip.avi", "mjpeg", frames=5))
    assert told.frame_types == {} and told.gop.longest == 1 and told.encoder == ""
    assert (told.frames, told.keyframes) == (5, 5)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_gop_lengths_are_the_distances_of_keyframes(lengths):
    keyframes = [sum(lengths[:n]) for n in range(len(lengths))]
    told = gop_lengths(keyframes, sum(lengths))
    whole = lengths[:-1] or lengths
    assert told.number == len(lengths)
    assert (told.shortest, told.longest) == (min(whole), max(whole))
    assert told.shortest <= told.median <= told.longest


def test_without_a_keyframe_there_are_no_gop_lengths():
    assert gop_lengths([], 20) is None

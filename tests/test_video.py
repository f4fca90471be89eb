"""Reading videos: the right frames, the right colours, a reason where it cannot be done."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import VideoError
from pipelines.video import probe, read_frames, sample_clips


@pytest.fixture(scope="module")
def counting_video(tmp_path_factory, write_video):
    """40 frames whose grey level tells their number."""
    frames = np.stack([np.full((64, 96, 3), 20 + 5 * i, np.uint8) for i in range(40)])
    return write_video(tmp_path_factory.mktemp("v") / "count.mp4", frames, gop=10, crf="1")


def test_probe_tells_size_rate_and_number_of_frames(counting_video):
    info = probe(str(counting_video))
    assert (info.width, info.height, info.fps, info.frames, info.codec) == (96, 64, 25, 40, "h264")
    assert info.time_s(25) == pytest.approx(1.0)


@pytest.mark.parametrize("indices", [[0], [39], [0, 1, 2], [3, 17, 18, 35], [9, 10, 11, 39]])
def test_frames_at_any_indices_are_those_asked_for(counting_video, indices):
    frames = read_frames(probe(str(counting_video)), indices)
    assert frames.mean((1, 2, 3)) == pytest.approx([20 + 5 * i for i in indices], abs=1.5)


def test_seeking_gives_the_same_pixels_as_reading_all_frames(face_video):
    info = probe(str(face_video))
    every = read_frames(info, range(info.frames))
    np.testing.assert_array_equal(read_frames(info, [5, 20, 29]), every[[5, 20, 29]])


def test_colours_equal_opencv(face_video):
    capture = cv2.VideoCapture(str(face_video))
    theirs = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
    ours = read_frames(probe(str(face_video)), [0])[0]
    assert np.abs(ours.astype(int) - theirs).mean() < 1.0


@given(
    frames=st.integers(1, 500),
    clips=st.integers(1, 6),
    length=st.integers(1, 20),
    stride=st.integers(1, 5),
)
def test_clips_lie_within_the_video_and_do_not_overlap(frames, clips, length, stride):
    sampled = sample_clips(frames, clips, length, stride)
    assert 1 <= len(sampled) <= clips
    joined = np.concatenate(sampled)
    assert joined.min() >= 0 and joined.max() < frames
    assert (np.diff(joined) > 0).all()
    if frames >= (length - 1) * stride + 1:
        assert all(len(clip) == length for clip in sampled)


def test_clips_are_spread_over_the_whole_video():
    first, last = sample_clips(1000, 2, 16, 2)
    assert 200 < first.mean() < 300 and 700 < last.mean() < 800


def test_sampling_refuses_a_count_below_one():
    with pytest.raises(ValueError, match="each must be at least 1"):
        sample_clips(10, 0, 4, 1)


def _cut(path, face_video):
    path.write_bytes(face_video.read_bytes()[:-3000])


BAD = {
    "empty.mp4": (lambda path, _: path.touch(), "unreadable", "0 bytes"),
    "text.mp4": (lambda path, _: path.write_text("no video\n"), "unreadable", "not a video"),
    "cut.mp4": (_cut, "unreadable", "cut off"),
    "missing.mp4": (lambda path, _: None, "unreadable", "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_gives_a_reason(tmp_path, face_video, name):
    make, reason, detail = BAD[name]
    make(tmp_path / name, face_video)
    with pytest.raises(VideoError, match=detail) as caught:
        probe(str(tmp_path / name))
    assert caught.value.reason == reason


def test_a_file_cut_after_its_header_is_truncated(tmp_path, write_video, astronaut):
    import av

    # An index at the front survives the cut, so the file opens and promises all frames.
    frames = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    path = tmp_path / "front.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="promises 20 frames") as caught:
        probe(str(path))
    assert caught.value.reason == "truncated"


def test_a_file_with_sound_only_has_no_video_stream(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError) as caught:
        probe(str(path))
    assert caught.value.reason == "no_video_stream"

"""What counts as a video by its name, in every command: one table of containers and suffixes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.beam.job import JobError
from pipelines.datasets.base import SUFFIXES, VIDEO_SUFFIXES
from pipelines.datasets.scan import folders_named, is_video, video_files
from pipelines.video.probe import CONTAINERS, probe
from serving.batch.score import find_files
from serving.predict.inputs import find_videos

# Container -> (FFmpeg's muxer, an encoder for it). Of the others no encoder is in PyAV's wheel.
WRITTEN = {
    "mov": ("mp4", "libx264"),
    "matroska": ("matroska", "libx264"),
    "avi": ("avi", "mpeg4"),
    "mpegts": ("mpegts", "libx264"),
    "mpeg": ("mpeg", "mpeg2video"),
    "mpegvideo": ("mpeg2video", "mpeg2video"),
    "flv": ("flv", "flv"),
    "asf": ("asf", "wmv2"),
    "ogg": ("ogg", "libvpx"),
    "gif": ("gif", "gif"),
    "apng": ("apng", "apng"),
    "mxf": ("mxf", "mpeg2video"),
    "nut": ("nut", "mpeg4"),
    "ivf": ("ivf", "libvpx"),
    "obu": ("obu", "libsvtav1"),
    "h264": ("h264", "libx264"),
    "hevc": ("hevc", "libx265"),
    "m4v": ("m4v", "mpeg4"),
    "mjpeg": ("mjpeg", "mjpeg"),
    "yuv4mpegpipe": ("yuv4mpegpipe", "rawvideo"),
    "dv": ("dv", "dvvideo"),
    "rm": ("rm", "rv20"),
    "wtv": ("wtv", "mpeg2video"),
}
PIXELS = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}


def test_every_container_that_may_be_opened_has_its_suffixes_and_no_other():
    assert list(SUFFIXES) == CONTAINERS.split(",")
    assert all(SUFFIXES.values())


@pytest.mark.parametrize("container", WRITTEN)
def test_a_video_of_every_suffix_opens(tmp_path, container):
    muxer, encoder = WRITTEN[container]
    path = tmp_path / "video"
    with av.open(str(path), "w", format=muxer) as out:
        stream = out.add_stream(encoder, rate=25)
        stream.width, stream.height = (720, 576) if container == "dv" else (176, 144)
        stream.pix_fmt = PIXELS.get(container, "yuv420p")
        for level in range(0, 200, 25):
            picture = np.full((stream.height, stream.width, 3), level, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    for suffix in SUFFIXES[container].split():
        name = path.rename(path.with_name(f"video{suffix}"))
        assert container in probe(str(name)).container.split(",")
        assert probe(str(name)).frames == 8
        path = name


suffixes = st.sampled_from(VIDEO_SUFFIXES)
stems = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=9)


@given(stem=stems, suffix=suffixes, cased=st.sampled_from([str.lower, str.upper, str.title]))
def test_a_name_is_a_video_s_by_its_suffix_in_any_letter_case(stem, suffix, cased):
    assert is_video(f"folder/x{stem}{cased(suffix)}")
    assert not is_video(f"folder/._{stem}{cased(suffix)}")
    assert not is_video(f"folder/x{stem}{cased(suffix)}.part")


@pytest.mark.parametrize("folder", ["__MACOSX", ".Trashes", "$RECYCLE.BIN", "@eaDir", "a/__MacOSX"])
def test_what_systems_leave_behind_is_ignored_by_name(tmp_path, folder):
    for name in (f"{folder}/b.mp4", "sub/._b.mp4", "sub/.DS_Store", "sub/b.mp4", "sub/.hidden.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert video_files(tmp_path) == ["sub/.hidden.mp4", "sub/b.mp4"]


def test_predict_and_score_know_the_same_suffixes_as_the_data_sets(tmp_path):
    names = {f"video{suffix}" for suffix in VIDEO_SUFFIXES} | {"VIDEO.VOB", "b.ReAl.RmVb"}
    for name in (*names, "._video.mp4", "notes.txt", "sound.ogg"):
        (tmp_path / name).touch()
    assert set(video_files(tmp_path)) == names
    assert {Path(path).name for path in find_videos([str(tmp_path)]).videos} == names
    assert {Path(file.path).name for file in find_files([str(tmp_path)])} == names
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "._video.mp4").touch()
    with pytest.raises(JobError, match="no video there"):
        find_files([str(tmp_path / "empty")])


def test_folders_are_found_in_any_letter_case_as_published_first(tmp_path):
    for name in ("Real/A", "real/a", "REAL", "other"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    assert folders_named(tmp_path, "real") == ["real", "REAL", "Real"]
    assert folders_named(tmp_path, "real/a") == ["real/a", "Real/A"]
    assert folders_named(tmp_path, "fake") == []

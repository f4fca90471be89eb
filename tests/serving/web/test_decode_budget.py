"""Decode budget of an upload, frames times pixels, which is told before any is decoded."""

import dataclasses

import pytest

from dfdetect.commands import web as command
from pipelines.clip import VideoError
from pipelines.video.probe import VideoMetadata, probe
from serving.web.limits import VideoLimits
from serving.web.settings import DECODE_GIGAPIXELS, Settings
from tests.fixtures.hostile_videos import honest_mp4, small_gif_of_many_pixels

LIMITS = VideoLimits(600.0, 3840 * 2160, 100_000, DECODE_GIGAPIXELS)


def opened(path):
    info = probe(str(path))
    return VideoMetadata.of(info), info.frame_times


def test_a_small_gif_of_large_frames_is_refused_with_figures_before_it_is_decoded(tmp_path):
    path = tmp_path / "small.gif"
    path.write_bytes(small_gif_of_many_pixels(frames=14_000, side=2880))
    assert path.stat().st_size < 400_000
    metadata, frame_times = opened(path)
    limits = dataclasses.replace(LIMITS, max_seconds=1e6)
    with pytest.raises(VideoError) as caught:
        limits.check(metadata, frame_times)
    assert caught.value.reason == "too_much_to_decode"
    assert "all of its 14000 frames of 2880x2880 px" in caught.value.detail
    assert "116.1 gigapixels; 100 are allowed" in caught.value.detail


def test_what_has_an_index_is_counted_by_where_the_scan_looks(tmp_path):
    (tmp_path / "v.mp4").write_bytes(honest_mp4())
    metadata, frame_times = opened(tmp_path / "v.mp4")
    assert frame_times.seekable
    dataclasses.replace(LIMITS, max_gigapixels=1e-6).check(metadata, frame_times)


@pytest.mark.parametrize(
    ("width", "height", "frames"),
    [(1920, 1080, 600 * 30), (3840, 2160, 180 * 60), (3840, 2160, 300 * 30), (640, 480, 600 * 60)],
)
def test_honest_videos_without_an_index_are_within_the_budget(tmp_path, width, height, frames):
    path = tmp_path / "v.gif"
    path.write_bytes(small_gif_of_many_pixels(frames=3, side=8))
    metadata, frame_times = opened(path)
    honest = dataclasses.replace(metadata, width=width, height=height, frames=frames)
    LIMITS.check(honest, frame_times)
    without = dataclasses.replace(LIMITS, max_gigapixels=0.0)
    without.check(
        dataclasses.replace(metadata, frames=90_000, width=2880, height=2880), frame_times
    )


def test_the_command_has_the_budget_of_the_settings(monkeypatch, capsys):
    assert Settings(model=("x",)).scan.max_gigapixels == DECODE_GIGAPIXELS
    with pytest.raises(SystemExit):
        command.main(["--help"])
    helped = " ".join(capsys.readouterr().out.split())
    assert f"frames x 10^9 px; 0 for no limit (default: {DECODE_GIGAPIXELS:g}" in helped

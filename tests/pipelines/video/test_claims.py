"""Claims of a container's tables: what no such file holds is refused before it costs memory."""

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import VideoError
from pipelines.video.claims import PER_BYTE, check_claims
from pipelines.video.confined import ConfinedReader
from pipelines.video.probe import probe
from pipelines.video.source import VideoFile
from tests.fixtures import hostile_videos as hostile

SAMPLES = 10_000_000
HOSTILE = {
    "samples of a byte": lambda: hostile.claiming(SAMPLES),
    "samples of a frame's size": lambda: hostile.claiming(SAMPLES, 1600),
    "durations": lambda: hostile.with_tables({b"stts": hostile.table(1, SAMPLES, 1)}),
    "many entries of durations": lambda: hostile.with_tables(
        {b"stts": hostile.table(500, *[SAMPLES // 500, 1] * 500)}
    ),
    "offsets of composition": lambda: hostile.with_tables(
        {b"stss": b"", b"stts": hostile.table(1, 12, 1), b"sdtp": b""}
        | {b"stsc": hostile.table(1, 1, SAMPLES, 1)}
    ),
    "a fragment": lambda: hostile.claiming_fragments(SAMPLES),
    "runs of a fragment": lambda: hostile.claiming_fragments(SAMPLES, 500),
    "edits": lambda: hostile.claiming_edits(9000),
    "a compressed header": lambda: hostile.claiming_in_a_compressed_header(SAMPLES),
}
MUXERS = ("mp4", "mov", "matroska", "avi", "mpegts", "flv", "gif", "asf", "mxf", "nut")


def check(data: bytes, folder: Path) -> None:
    path = folder / "v.mp4"
    path.write_bytes(data)
    with VideoFile(str(path)) as file:
        check_claims(file)


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_tables_that_claim_more_than_the_file_could_hold_are_refused(make, tmp_path):
    data = make()
    assert len(data) < 200_000
    with pytest.raises(VideoError, match=r"v\.mp4: its tables \(\w+\) claim \d+ samples") as caught:
        check(data, tmp_path)
    assert caught.value.reason == "unreadable" and f"{len(data)} bytes" in caught.value.detail
    with pytest.raises(VideoError, match="claim"):
        probe(str(tmp_path / "v.mp4"))


def test_a_table_says_as_many_as_the_file_could_hold(tmp_path):
    size = len(hostile.claiming(1))
    check(hostile.claiming(PER_BYTE * size), tmp_path)
    with pytest.raises(VideoError, match="claim"):
        check(hostile.claiming(PER_BYTE * size + 1), tmp_path)


def encoded(muxer: str, frames: int) -> bytes:
    codec = {"gif": "gif", "flv": "flv", "mxf": "mpeg2video"}.get(muxer, "mpeg4")
    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "rgb8" if muxer == "gif" else "yuv420p"
        for _ in range(frames):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize("muxer", MUXERS)
def test_files_that_hold_what_they_claim_pass(muxer, tmp_path):
    check(encoded(muxer, 300), tmp_path)  # of black frames: a few bytes each


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov", "frag_every_frame"])
def test_honest_mp4s_of_any_shape_pass(flags, tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w", options={"movflags": flags}) as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        for _ in range(100):
            black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            container.mux(video.encode(black))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 32_000), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux((*video.encode(), *sound.encode()))
    with VideoFile(str(path)) as file:
        check_claims(file)
    assert probe(str(path)).frames


@given(data=st.binary(max_size=200), kind=st.sampled_from([b"moov", b"trak", b"cmov", b"free"]))
def test_any_bytes_are_checked_without_a_crash(data, kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    for content in (data or b"x", hostile.packed([(kind, data), (b"mdat", b"")])):
        try:
            check(content, folder)
        except VideoError as error:
            assert error.reason == "unreadable"


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_no_claim_costs_the_process_that_decodes_memory(make, tmp_path, confined):
    path = tmp_path / "v.mp4"
    path.write_bytes(hostile.honest_mp4())
    confined.probe(str(path))
    (process,) = confined._idle
    before_mb = peak_mb(process.pid)
    path.write_bytes(make())
    with pytest.raises(VideoError, match="claim"):
        confined.probe(str(path))
    assert peak_mb(process.pid) < before_mb + 30


@pytest.fixture(scope="module")
def confined():
    reader = ConfinedReader()
    yield reader
    reader.close()


def test_what_a_large_file_may_claim_is_bounded_by_the_memory_of_the_process(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(hostile.claiming(60_000_000, 1600))
    with open(path, "ab") as file:  # sparse: it takes no place
        file.truncate(20_000_000)
    reader = ConfinedReader(memory_bytes=300_000_000)
    try:
        with pytest.raises(VideoError):
            reader.probe(str(path))
        (process,) = reader._idle
        assert peak_mb(process.pid) < 500  # 1.5 GB without the limit
    finally:
        reader.close()


def test_a_file_of_countless_boxes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.video.claims.MAX_BOXES", 1000)
    with pytest.raises(VideoError, match="it has more than 1000 boxes"):
        check(hostile.packed([(b"free", b"")] * 1001), tmp_path)


def test_no_library_for_faces_is_loaded_to_decode():
    code = "import sys, pipelines.video.decoder_process; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

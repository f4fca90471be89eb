"""Confined decoding: what it gives and refuses, and what a process may do once it is confined."""

import contextlib
import dataclasses
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.clip import VideoError
from pipelines.video import decode
from pipelines.video.child import environment
from pipelines.video.confined import ConfinedReader, LocalReader, _warn_of
from pipelines.video.pixel_ring import PixelRing
from pipelines.video.probe import probe
from tests.fixtures.hostile_videos import honest_mp4

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def reader():
    opened = ConfinedReader()
    yield opened
    opened.close()


@pytest.fixture
def video(tmp_path) -> str:
    (tmp_path / "honest.mp4").write_bytes(honest_mp4())
    return str(tmp_path / "honest.mp4")


def process_of(reader: ConfinedReader) -> int:
    """The id of the one process, which waits."""
    (idle,) = reader._idle
    return idle.pid


def test_a_confined_process_gives_what_this_one_gives(reader, video):
    info = reader.probe(video)
    assert info == probe(video)
    indices = [0, 3, 4, 11]
    here = LocalReader().read_frames(info, indices)
    for one, other in zip(reader.read_frames(info, indices), here, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(reader.read_frames(info, [])) == []


def growing_video(path: Path) -> str:
    """Ten frames of 64x48 px, then ten of 640x480: raw H.264, whose stream may change its size."""
    parts = []
    for width, height in ((64, 48), (640, 480)):
        part = io.BytesIO()
        with av.open(part, "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for level in range(10):
                grey = np.full((height, width, 3), 20 * level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey)))
            container.mux(stream.encode())
        parts.append(part.getvalue())
    path.write_bytes(b"".join(parts))
    return str(path)


@pytest.mark.parametrize("threads", [0, 1])
def test_a_bound_on_pixels_holds_for_every_frame(tmp_path, threads):
    video = growing_video(tmp_path / "growing.h264")
    info = probe(video)
    assert (info.width, info.height) == (64, 48) and len(info.pts) == 20
    for wanted in ([0, 15], [0, 19]):  # the frames between are decoded as well
        with contextlib.closing(ConfinedReader(max_pixels=200_000)) as bounded:
            frames = bounded.read_frames(info, wanted, threads)
            with pytest.raises(VideoError, match="640x480 px, 307200 in all; 200000") as refused:
                list(frames)
        assert refused.value.reason == "too_many_pixels"
    sizes = {image.shape for image in decode.read_frames(info, range(20), threads)}
    assert sizes == {(48, 64, 3), (480, 640, 3)}


def test_stills_and_names_of_any_bytes_are_read(reader, tmp_path):
    path = os.path.join(str(tmp_path), os.fsdecode(b"a \xff=\n.png"))
    Image.new("RGB", (40, 30), (1, 2, 3)).save(path, "PNG")
    info = reader.probe(path, stills=True)
    assert info == probe(path, stills=True)
    (image,) = reader.read_frames(info, [0])
    assert image.shape == (30, 40, 3) and (image == (1, 2, 3)).all()


def test_one_process_serves_one_video_after_the_other(reader, video):
    reader.probe(video)
    pid = process_of(reader)
    with pytest.raises(VideoError, match="no such file"):
        reader.probe(video + "x")
    bad = Path(video).with_name("bad.mp4")
    bad.write_bytes(b"no video at all")
    with pytest.raises(VideoError, match="not a video of a format that is read") as caught:
        reader.probe(str(bad))
    assert caught.value.reason == "unreadable" and str(bad) in caught.value.detail
    assert len(list(reader.read_frames(reader.probe(video), range(12)))) == 12
    assert process_of(reader) == pid


def test_a_default_time_limit_of_sockets_ends_no_process(video):
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.001)
    try:
        with contextlib.closing(ConfinedReader()) as started:
            info = started.probe(video)
            pid = process_of(started)
            assert len(list(started.read_frames(info, range(12)))) == 12
            assert process_of(started) == pid
    finally:
        socket.setdefaulttimeout(before)


def test_what_is_left_in_the_middle_ends_its_process_and_the_next_video_gets_another(reader, video):
    info = reader.probe(video)
    pid = process_of(reader)
    frames = reader.read_frames(info, range(12))
    next(frames)
    frames.close()
    assert not os.path.exists(f"/proc/{pid}")
    assert reader.probe(video) == info


@pytest.mark.parametrize("on_purpose", [False, True])
def test_a_process_that_dies_is_one_videos_error(reader, video, caplog, on_purpose):
    info = reader.probe(video)
    frames = reader.read_frames(info, [0] * 500)  # more than shared memory holds
    next(frames)
    if on_purpose:
        reader.interrupt(video)
    else:
        os.kill(reader._at_work[video].pid, signal.SIGKILL)
    with pytest.raises(VideoError, match="came to an end") as caught:
        list(frames)
    assert caught.value.reason == "decoder_failed" and video in caught.value.detail
    assert ("a decoding process failed" in caplog.text) is not on_purpose
    assert reader.probe(video) == info


def test_threads_have_processes_of_their_own(reader, video):
    info = reader.probe(video)
    held = reader.read_frames(info, range(12))
    next(held)
    got: list = []
    thread = threading.Thread(target=lambda: got.extend(reader.read_frames(info, [0, 1])))
    thread.start()
    thread.join()
    assert len(got) == 2 and len(list(held)) == 11


@pytest.mark.usefixtures("confinable")
def test_every_thread_of_the_process_is_confined_and_knows_no_secret(video, monkeypatch):
    monkeypatch.setenv("DFDETECT_TEST_SECRET", "s3cret")
    reader = ConfinedReader()
    try:
        reader.probe(video)
        process = Path(f"/proc/{process_of(reader)}")
        for thread in (process / "task").iterdir():
            status = dict(
                line.split(":\t", 1) for line in (thread / "status").read_text().splitlines()
            )
            assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), thread
        assert b"s3cret" not in (process / "environ").read_bytes()
        assert len(list((process / "fd").iterdir())) == 4  # standard streams and the socket
    finally:
        reader.close()


# Each is tried by a process that has loaded what decodes, and says what became of it.
ATTEMPTS = {
    "read a file": "open('/etc/passwd')",
    "read another upload": "open(other)",
    "open its upload's folder": "os.listdir(os.path.dirname(other))",
    "write a file": "open(other + '.new', 'w')",
    "remove a file": "os.remove(other)",
    "connect": "socket.create_connection(('127.0.0.1', port))",
    "have a socket": "socket.socket(socket.AF_UNIX)",
    "run a program": "subprocess.run(['/bin/true'])",
    "fork": "os.fork()",
    "become a program": "os.execv('/bin/true', ['true'])",
    "end a process": "os.kill(os.getppid(), 0)",
    "read its parent's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "read its parent's environment": "open(f'/proc/{os.getppid()}/environ')",
    "look at a file": "os.stat('/etc/passwd')",
    "raise its limits": "resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))",
    "leave the filter": "prctl(22, 0, 0, 0, 0)",
    "mount": "libc('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
    "trace": "libc('ptrace', 16, os.getppid(), 0, 0)",
}
TRIED = """
import ctypes, json, os, resource, socket, subprocess, sys, threading
from pipelines.video.confine import confine
from pipelines.video.decoder_process import warm_up

def libc(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def prctl(*arguments):
    libc("prctl", *arguments)

def attempt(source):
    try:
        eval(source)
    except OSError as error:
        return error.errno
    return 0

other, port, attempts = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
"x".encode("idna"), warm_up()
held, go, said = os.open(other, os.O_RDONLY), threading.Event(), []
before = threading.Thread(target=lambda: (go.wait(), said.append(attempt("open(other)"))))
before.start()
unconfined = confine()
results = {name: attempt(source) for name, source in attempts.items()}
go.set(), before.join()
print(json.dumps([unconfined, results, said, os.pread(held, 4, 0).decode(), dict(os.environ)]))
"""
REFUSED = (1, 13, 38)  # EPERM, EACCES, ENOSYS


@pytest.mark.usefixtures("confinable")
def test_a_confined_process_is_refused_all_but_its_upload(tmp_path):
    (tmp_path / "another").write_text("upload")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        arguments = [str(tmp_path / "another"), str(port), json.dumps(ATTEMPTS)]
        done = subprocess.run(
            [sys.executable, "-c", TRIED, *arguments],
            env=environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    unconfined, results, earlier_thread, held, environ = json.loads(done.stdout)
    assert unconfined == ""
    assert {name: code for name, code in results.items() if code not in REFUSED} == {}
    assert set(results) == set(ATTEMPTS)
    assert earlier_thread == [13], "a thread that was there before"
    assert held == "uplo"  # what is open already is read
    assert not {name for name in environ if "TOKEN" in name or "SECRET" in name}
    assert sorted(os.listdir(tmp_path)) == ["another"]


def test_where_nothing_confines_it_is_told_once(caplog):
    _warn_of.cache_clear()
    for _ in range(2):
        _warn_of("the system takes no seccomp filter")
    (record,) = caplog.records
    assert "not confined: the system takes no seccomp filter" in record.getMessage()
    _warn_of("")
    assert len(caplog.records) == 1


def test_a_frame_for_which_there_is_no_memory_is_no_damage(video, monkeypatch):
    def starved(container, *streams):
        raise av.error.MemoryError(12, "Cannot allocate memory")
        yield

    info = probe(video)
    monkeypatch.setattr(decode, "demux", starved)
    with pytest.raises(VideoError) as caught:
        list(decode.read_frames(info, [0]))
    assert isinstance(caught.value.__cause__, MemoryError)


def test_pictures_in_shared_memory_come_back_the_same_and_only_where_they_fit(reader, video):
    info = probe(video)
    with contextlib.closing(PixelRing.of(info)) as ring:
        images = np.random.default_rng(0).integers(0, 255, (ring.slots + 3, 64, 64, 3), np.uint8)
        for number, image in enumerate(images):
            ring.put(number, image)
            np.testing.assert_array_equal(ring.get(number, 64, 64), image)
        assert not ring.fits(np.zeros((65, 64, 3), np.uint8))
        for height, width in ((65, 64), (0, 64), (-1, -64)):
            with pytest.raises(ValueError, match="a picture of"):
                ring.get(0, height, width)
        with pytest.raises(OSError):  # whoever shares it cannot take it away
            os.ftruncate(ring.descriptor, 1)


def test_frames_that_do_not_fit_come_all_the_same(reader, video, monkeypatch):
    info, of = probe(video), PixelRing.of
    small = dataclasses.replace(info, width=2, height=2)
    monkeypatch.setattr(PixelRing, "of", lambda _: of(small))
    here = LocalReader().read_frames(info, [0, 5, 11])
    for one, other in zip(reader.read_frames(info, [0, 5, 11]), here, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_module_is_taken_from_the_folder_where_the_command_runs(video, tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("raise SystemExit('taken over')\n")
    monkeypatch.chdir(tmp_path)
    reader = ConfinedReader()
    try:
        assert reader.probe(video).frames == 12
    finally:
        reader.close()

"""Reading videos: the right frames, the right colours, a reason where it cannot be done."""

import contextlib
import functools
import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.clip import VideoError
from pipelines.names import escape
from pipelines.video import decode as frames_module
from pipelines.video.decode import read_frames
from pipelines.video.probe import FrameTimes, probe
from pipelines.video.sampling import sample_clips

FRAMES = 40
B_FRAMES = {"g": "12", "bf": "3", "x264-params": "b-adapt=0:scenecut=0"}
OPEN_GOP = {"g": "12", "bf": "3", "x264-params": "open-gop=1:b-adapt=0:scenecut=0"}
ONE_GOP = {"g": "250", "bf": "3", "x264-params": "b-pyramid=strict:b-adapt=0:scenecut=0"}
# Refreshed bit by bit: one real keyframe, and others that only claim to be.
REFRESH = {"x264-params": "intra-refresh=1:bframes=0"}
HEVC = {"x265-params": "log-level=none:keyint=12:bframes=3:open-gop=0"}
HEVC_OPEN = {"x265-params": "log-level=none:keyint=12:min-keyint=12:bframes=3:b-adapt=0:open-gop=1"}
SHARP = {"g": "12", "b": "4M"}

# file name -> encoder, pixel format, options of the encoder and, as "muxer", of the container
FORMATS = {
    "b_frames.mp4": ("libx264", "yuv420p", B_FRAMES),
    "open_gop.mp4": ("libx264", "yuv420p", OPEN_GOP),
    "one_gop.mp4": ("libx264", "yuv420p", ONE_GOP),
    "refreshed_by_8.mp4": ("libx264", "yuv420p", {**REFRESH, "g": "8"}),
    "refreshed_by_12.mp4": ("libx264", "yuv420p", {**REFRESH, "g": "12"}),
    "ten_bits.mp4": ("libx264", "yuv420p10le", B_FRAMES),
    "fragments.mp4": ("libx264", "yuv420p", {**B_FRAMES, "muxer": {"movflags": "frag_keyframe"}}),
    "b_frames.mkv": ("libx264", "yuv420p", B_FRAMES),
    "no_index.mkv": ("libx264", "yuv420p", {**B_FRAMES, "muxer": {"live": "1"}}),
    "b_frames.ts": ("libx264", "yuv420p", B_FRAMES),
    "b_frames.flv": ("libx264", "yuv420p", B_FRAMES),
    "b_frames.avi": ("libx264", "yuv420p", B_FRAMES),
    "no_b_frames.avi": ("libx264", "yuv420p", {"g": "12", "bf": "0"}),
    "bare.h264": ("libx264", "yuv420p", B_FRAMES),
    "hevc.mp4": ("libx265", "yuv420p", HEVC),
    "hevc_open_gop.mp4": ("libx265", "yuv420p", HEVC_OPEN),
    "hevc_open_gop.ts": ("libx265", "yuv420p", HEVC_OPEN),
    "bare.hevc": ("libx265", "yuv420p", HEVC),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {**SHARP, "bf": "2"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {**SHARP, "bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {**SHARP, "bf": "2"}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {**SHARP, "bf": "2"}),
    "wmv.asf": ("wmv2", "yuv420p", SHARP),
    "mjpeg.avi": ("mjpeg", "yuvj420p", SHARP),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
    "lossless.mkv": ("ffv1", "yuv444p", {"g": "12"}),
    "vp8.webm": ("libvpx", "yuv420p", SHARP),
    "vp9.webm": ("libvpx-vp9", "yuv420p", SHARP),
    "av1.mp4": ("libsvtav1", "yuv420p", {"g": "12", "preset": "12"}),
    "animated.gif": ("gif", "rgb8", {}),
}


@pytest.fixture(scope="module")
def numbered() -> np.ndarray:
    """(40, 64, 96, 3): a drifting texture whose mean grey, 20 + 5 i, tells the frame's number."""
    texture = np.random.default_rng(0).integers(-8, 9, (64, 96, 1))
    texture -= round(texture.mean())
    moving = [np.roll(texture, i, axis=1) + 20 + 5 * i for i in range(FRAMES)]
    return np.stack(moving).astype(np.uint8).repeat(3, axis=3)


@pytest.fixture(scope="module")
def make(tmp_path_factory, numbered, encode):
    """A function that encodes the numbered frames as one of FORMATS."""
    folder = tmp_path_factory.mktemp("formats")

    @functools.cache
    def make(name):
        codec, pixels, options = FORMATS[name]
        return encode(folder / name, numbered, codec, pixels, **options)

    return make


@pytest.fixture(scope="module", params=FORMATS)
def video(request, make) -> Path:
    return make(request.param)


@pytest.fixture(scope="module")
def b_frames(make) -> Path:
    return make("b_frames.mp4")


@functools.lru_cache(maxsize=4)
def decode_all(path) -> list[np.ndarray]:
    """Every frame, in the plainest way."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _write(path, frames, times: Iterable[int], rate: int = 1000) -> None:
    """H.264 with B-frames, shown at these times, in units of 1/rate seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options=B_FRAMES)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read(path, indices, **options) -> list[np.ndarray | None]:
    return list(read_frames(probe(str(path)), indices, **options))


def assert_same(got, expected) -> None:
    assert len(got) == len(expected)
    for image, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(image, other)


def assert_rejected(path, reason: str, detail: str) -> None:
    with pytest.raises(VideoError, match=detail) as caught:
        probe(str(path))
    assert (caught.value.reason, caught.value.stage) == (reason, "decode")
    assert escape(str(path)) in caught.value.detail


# --- which frames ---------------------------------------------------------------------------------


def test_probe_tells_size_rate_and_codec(b_frames):
    info = probe(str(b_frames))
    assert (info.width, info.height, info.fps, info.codec) == (96, 64, 25, "h264")


def test_every_frame_is_counted_and_has_its_time(video):
    info = probe(str(video))
    assert info.frames == FRAMES
    np.testing.assert_allclose(info.times_s, np.arange(FRAMES) / 25, atol=1e-3)


@pytest.mark.parametrize(
    "indices",
    [[0], [39], [0, 1, 2], [17], [3, 17, 18, 35], [11, 12, 13], [23, 24, 36, 39], range(40)],
    ids=str,
)
def test_frames_at_any_indices_are_those_asked_for(video, indices):
    got = read(video, indices)
    assert [round((image.mean() - 20) / 5) for image in got] == list(indices)
    every = decode_all(video)
    assert_same(got, [every[i] for i in indices])


@pytest.mark.parametrize("name", ["b_frames.mp4", "open_gop.mp4", "hevc_open_gop.mp4"])
@given(indices=st.sets(st.integers(0, FRAMES - 1), min_size=1), threads=st.integers(0, 4))
@settings(deadline=None)
def test_any_frames_are_the_pixels_of_decoding_all(make, name, indices, threads):
    every, wanted = decode_all(make(name)), sorted(indices)
    assert_same(read(make(name), wanted, threads=threads), [every[i] for i in wanted])


def test_a_frame_asked_for_twice_comes_twice(b_frames):
    first, second, other = read(b_frames, [5, 5, 20])
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(second, other)


def test_no_frames_asked_for_gives_none(b_frames):
    assert read(b_frames, []) == []


@pytest.fixture
def demuxed(monkeypatch) -> list[int]:
    """The times of the packets that are read."""
    times: list[int] = []

    def noted(container, stream):
        for packet in container.demux(stream):
            times.append(packet.pts)
            yield packet

    monkeypatch.setattr("pipelines.video.decode.demux", noted)
    return times


def test_decoding_starts_at_the_nearest_keyframe(b_frames, demuxed):
    info = probe(str(b_frames))
    assert [info.pts.index(when) for when in info.keyframes] == [0, 12, 24, 36]
    demuxed.clear()
    list(read_frames(info, [1, 36]))
    assert {info.pts[1], info.pts[36]} < set(demuxed)
    assert not {info.pts[i] for i in range(13, 36)} & set(demuxed)


# Encoded with no reordering, and with keyframes this far apart.
IN_ORDER = {f"gop_{gop}.mp4": gop for gop in (1, 5, 12, 40)}


@pytest.fixture(scope="module", params=IN_ORDER)
def in_order(request, tmp_path_factory, numbered, encode) -> Path:
    options = {"g": str(IN_ORDER[request.param]), "bf": "0", "x264-params": "scenecut=0"}
    folder = tmp_path_factory.mktemp("in_order")
    return encode(folder / request.param, numbered, "libx264", **options)


@pytest.mark.parametrize("indices", [[0], [39], [3, 17, 18, 35], [11, 12, 13], range(40)], ids=str)
def test_as_many_frames_go_through_the_decoder_as_was_foreseen(in_order, demuxed, indices):
    info = probe(str(in_order))
    demuxed.clear()
    list(read_frames(info, indices, threads=1))
    assert len(demuxed) == info.frame_times.frames_to_decode(indices)


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.mkv", "vp8.webm", "vp9.webm"])
@pytest.mark.parametrize("indices", [[1], [20], [1, 30], [3, 17, 18, 35]], ids=str)
def test_where_frames_are_reordered_a_few_more_go_through_the_decoder(make, demuxed, name, indices):
    info = probe(str(make(name)))
    demuxed.clear()
    list(read_frames(info, indices, threads=1))
    foreseen = info.frame_times.frames_to_decode(indices)
    assert info.frame_times.seekable
    assert foreseen <= len(demuxed) <= foreseen + 5 * len(info.frame_times.runs(indices))


@pytest.mark.parametrize("name", ["b_frames.ts", "b_frames.avi", "bare.h264"])
def test_without_an_index_all_frames_to_the_last_wanted_go_through_the_decoder(make, name):
    times = probe(str(make(name))).frame_times
    assert not times.seekable
    assert times.frames_to_decode([3, 30]) == 31


@given(st.sets(st.integers(0, 99), min_size=1), st.sets(st.integers(0, 99)), st.booleans())
def test_runs_hold_all_wanted_frames_and_never_cost_more_than_decoding_on(wanted, keyframes, first):
    keys = np.array(sorted(keyframes | ({0} if first else set())), np.int64)
    times, indices = FrameTimes(np.arange(100) / 25, keys), sorted(wanted)
    runs = times.runs(indices)
    assert [index for _, run in runs for index in run] == indices
    assert all(start == 0 or start in keys for start, _ in runs)
    assert all(start <= run[0] for start, run in runs)
    assert len(indices) <= times.frames_to_decode(indices) <= indices[-1] + 1


def test_frames_that_no_other_needs_are_left_out(b_frames, monkeypatch):
    shown = []

    def noted(frames, start):
        for when, frame in frames:
            shown.append(when)
            yield when, frame

    monkeypatch.setattr("pipelines.video.decode._from_keyframe", noted)
    info = probe(str(b_frames))
    list(read_frames(info, [23]))
    # Others refer to 12, 16 and 20 and to the middle one of the three B-frames between them.
    assert [info.pts.index(when) for when in shown][:5] == [12, 14, 16, 18, 20]
    assert info.pts.index(shown[-1]) == 23


def test_where_seeking_fails_decoding_starts_at_the_first_frame(b_frames, monkeypatch):
    class Unseekable:
        def __init__(self, container):
            self.demux = container.demux

        def seek(self, *_, **__):
            raise av.error.PermissionError(1, "Operation not permitted")

    @contextlib.contextmanager
    def opened(*arguments):
        with whole_open(*arguments) as (container, stream):
            yield Unseekable(container), stream

    info, every = probe(str(b_frames)), decode_all(b_frames)
    whole_open = frames_module.open_video
    monkeypatch.setattr(frames_module, "open_video", opened)
    assert_same(list(read_frames(info, [1, 30])), [every[1], every[30]])


def test_times_follow_the_frames_where_their_rate_varies(tmp_path, numbered):
    durations_ms = np.random.default_rng(1).integers(10, 200, FRAMES)
    times_ms = np.cumsum(durations_ms) - durations_ms[0]
    path = tmp_path / "variable.mp4"
    _write(path, numbered, [int(t) for t in times_ms])
    info = probe(str(path))
    np.testing.assert_allclose(info.times_s, times_ms / 1000, atol=1e-3)
    every = decode_all(path)
    assert_same(read(path, [3, 30, 31]), [every[i] for i in (3, 30, 31)])


def test_frames_with_absurd_times_are_counted_instead(tmp_path, numbered):
    path = tmp_path / "centuries.mkv"
    _write(path, numbered[:3], [0, 40, 2**31])
    info = probe(str(path))
    assert not info.timed
    np.testing.assert_allclose(info.times_s, np.arange(3) / info.fps)
    assert_same(read(path, [0, 2]), [decode_all(path)[i] for i in (0, 2)])


def test_an_absurd_rate_is_taken_as_25(tmp_path, numbered):
    path = tmp_path / "fast.mp4"
    _write(path, numbered, range(FRAMES), rate=90_000)
    assert probe(str(path)).fps == 25


def test_a_file_that_begins_between_keyframes_gives_the_frames_to_be_shown(tmp_path, b_frames):
    # Cut without encoding anew: what comes before the cut is kept to decode from, not shown.
    path = tmp_path / "cut.mp4"
    with av.open(str(b_frames)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = packet.pts - 5 * 512, packet.dts - 5 * 512
                packet.stream = stream
                container.mux(packet)
    info = probe(str(path))
    assert info.frames == FRAMES - 5
    assert_same(read(path, range(FRAMES - 5)), decode_all(b_frames)[5:])
    assert_same(read(path, [2, 30]), [decode_all(b_frames)[i] for i in (7, 35)])


def test_streams_that_come_up_on_the_way_do_no_harm(tmp_path, numbered, encode):
    first = encode(tmp_path / "first.ts", numbered, "libx264")
    joined = first.read_bytes()
    for i in range(1, 40):  # so many that PyAV 18.1 stumbles over them
        numbers = ("mpegts_start_pid", 256 + i), ("mpegts_pmt_start_pid", 4096 + i)
        muxer = {name: str(number) for name, number in (*numbers, ("mpegts_service_id", 1 + i))}
        part = encode(tmp_path / "part.ts", numbered[:1], "mpeg2video", muxer=muxer)
        joined += part.read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(joined)
    assert_same(read(path, [0, 39]), [decode_all(first)[i] for i in (0, 39)])


def test_a_video_of_one_frame_is_read(tmp_path, numbered, encode):
    path = encode(tmp_path / "one.mp4", numbered[:1], "libx264")
    assert probe(str(path)).times_s.tolist() == [0.0]
    assert_same(read(path, [0]), decode_all(path))


def test_4k_frames_are_read(tmp_path, encode):
    frames = np.zeros((3, 2160, 3840, 3), np.uint8)
    frames[:, :, 1920:] = 200
    image = read(encode(tmp_path / "4k.mp4", frames, "libx264", preset="ultrafast"), [2])[0]
    assert image.shape == (2160, 3840, 3)
    assert image[0, 10].max() <= 2 and abs(int(image[-1, -10, 0]) - 200) <= 2


@pytest.mark.parametrize(
    "name, codec, pixels",
    [("odd.mp4", "libx264", "yuv444p"), ("odd.webm", "libvpx-vp9", "yuv420p")],
)
@pytest.mark.parametrize("width, height", [(97, 63), (64, 63), (97, 64)])
def test_odd_sizes_are_read_to_the_last_pixel(
    tmp_path, astronaut, encode, name, codec, pixels, width, height
):
    face = cv2.resize(astronaut, (width, height), interpolation=cv2.INTER_AREA)
    path = encode(tmp_path / name, np.stack([face] * 3), codec, pixels, crf="4", b="4M")
    image = read(path, [1])[0]
    assert image.shape == (height, width, 3)
    edges = [np.s_[-1], np.s_[:, -1], np.s_[:]]
    assert all(np.abs(image[e].astype(int) - face[e]).mean() < 8 for e in edges)


def test_sampled_frames_of_real_videos_are_the_pixels_of_decoding_all(real_clips):
    for clip in real_clips:
        info, every = probe(str(clip)), decode_all(clip)
        assert info.frames == len(every)
        for sampling in ("consecutive", "uniform", "all"):
            indices = np.concatenate(sample_clips(info.times_s, 4, 16, 2, sampling))
            assert_same(list(read_frames(info, indices)), [every[i] for i in indices])


# --- damage ---------------------------------------------------------------------------------------


def _packets(path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_a_damaged_frame_is_none_and_all_others_come(tmp_path, numbered, encode):
    # Every frame is a picture of its own, so that damage does not spread.
    path = encode(tmp_path / "damaged.mov", numbered, "mjpeg", b="4M")
    every, hit = decode_all(path), _packets(path)[17]
    data = bytearray(path.read_bytes())
    data[hit.pos : hit.pos + hit.size] = b"\xa5" * hit.size
    path.write_bytes(data)
    assert_same(read(path, [3, 16, 18, 39]), [every[i] for i in (3, 16, 18, 39)])
    got = read(path, range(FRAMES))
    assert [i for i, image in enumerate(got) if image is None] == [17]


@pytest.fixture(scope="module")
def moving(tmp_path_factory, encode, astronaut) -> Path:
    """A face that wanders, 120 frames with B-frames and few keyframes."""
    frames = [np.roll(astronaut, (2 * t, int(20 * np.sin(t / 9))), (1, 0)) for t in range(120)]
    path = tmp_path_factory.mktemp("moving") / "moving.mp4"
    options = {"movflags": "faststart"}
    return encode(path, np.stack(frames), "libx264", g="60", bf="3", crf="23", muxer=options)


@pytest.mark.parametrize("seed", range(6))
def test_the_number_of_threads_does_not_change_what_is_made_of_damage(tmp_path, moving, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(moving.read_bytes())
    for _ in range(12):
        data[rng.integers(len(data) // 4, len(data))] ^= 1 << int(rng.integers(8))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    indices = [*range(20, 50, 2), *range(70, 110, 3)]
    alone = read(path, indices, threads=1)
    healthy = read(moving, indices)
    same = [a is not None and np.array_equal(a, b) for a, b in zip(alone, healthy, strict=True)]
    assert not all(same)  # the damage shows
    for threads in (2, 3, 3, 0):
        assert_same(read(path, indices, threads=threads), alone)


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.ts", "hevc.mp4", "vp9.webm"])
def test_damage_ends_with_the_next_keyframe(tmp_path, make, name):
    every, hit = decode_all(make(name)), _packets(make(name))[15]
    data = bytearray(make(name).read_bytes())
    data[hit.pos + hit.size // 2 : hit.pos + hit.size] = bytes(hit.size - hit.size // 2)
    path = tmp_path / name
    path.write_bytes(data)
    got = read(path, range(FRAMES))
    assert_same(got[:10] + got[24:], every[:10] + every[24:])


def test_a_frame_that_the_decoder_patched_up_is_none(tmp_path, make):
    original = make("mpeg4.mp4")
    info, hit = probe(str(original)), _packets(original)[15]
    path = tmp_path / "patched.mp4"
    data = bytearray(original.read_bytes())
    data[hit.pos + hit.size // 2 : hit.pos + hit.size] = bytes(hit.size - hit.size // 2)
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert [f.pts for f in container.decode(video=0) if f.is_corrupt] == [hit.pts]
    assert read(path, [info.pts.index(hit.pts)]) == [None]


def test_a_frame_that_claims_to_be_huge_is_none(tmp_path, numbered, encode):
    path = encode(tmp_path / "claims.webm", numbered, "libvpx", g="10")
    hit, data = _packets(path)[20], bytearray(path.read_bytes())
    place = data.index(b"\x9d\x01\x2a", hit.pos) + 3  # where a keyframe of VP8 gives its size
    assert struct.unpack_from("<HH", data, place) == (96, 64)
    struct.pack_into("<HH", data, place, 8000, 8000)
    path.write_bytes(data)
    assert [image is None for image in read(path, [19, 20, 30])] == [False, True, False]


def test_more_frames_than_any_video_has_are_not_listed(b_frames, monkeypatch):
    monkeypatch.setattr("pipelines.video.probe.MAX_FRAMES", 39)
    assert_rejected(b_frames, "unreadable", "more than 39 frames")


def _cut_in_packet(tmp_path, make_front, index):
    data = make_front.read_bytes()
    hit = _packets(make_front)[index]
    path = tmp_path / f"cut_at_{index}.mp4"
    path.write_bytes(data[: hit.pos + hit.size // 2])
    return path


@pytest.fixture
def front(tmp_path, numbered, encode):
    """A video whose index is in front, so that it opens and promises 40 frames after any cut."""
    options = {"muxer": {"movflags": "faststart"}, "g": "12"}
    return encode(tmp_path / "front.mp4", numbered, "libx264", **options)


def test_a_video_that_lost_little_of_its_end_is_read(tmp_path, front):
    path = _cut_in_packet(tmp_path, front, 38)
    every, whole = read(path, range(probe(str(path)).frames)), decode_all(front)
    assert 36 <= len(every) <= 39
    assert_same(every[:36], whole[:36])


@pytest.mark.parametrize("index", [1, 20, 34])
def test_a_video_that_lost_more_than_a_tenth_is_truncated(tmp_path, front, index):
    path = _cut_in_packet(tmp_path, front, index)
    assert_rejected(path, "truncated", "promises 40 frames, .* get the file again")


def test_a_container_that_breaks_off_in_the_middle_is_truncated(tmp_path, numbered, encode):
    path = encode(tmp_path / "broken.y4m", numbered, "wrapped_avframe")
    header, *frames = path.read_bytes().split(b"FRAME\n")
    path.write_bytes(b"FRAME\n".join([header, *frames[:20]]) + b"no frame" + frames[20])
    assert_rejected(path, "truncated", "promises more frames, 20 can be read")


def test_a_video_whose_index_is_gone_is_unreadable(tmp_path, b_frames):
    path = tmp_path / "cut.mp4"
    path.write_bytes(b_frames.read_bytes()[:-1500])
    assert_rejected(path, "unreadable", "cut off")


# --- files that are no videos ---------------------------------------------------------------------

NO_VIDEOS = {
    "empty.mp4": (b"", "0 bytes"),
    "text.mp4": (b"no video\n" * 99, "not a video"),
    "text.txt": (b"no video\n" * 99, "not a video"),
    "subtitles.srt": (b"1\n00:00:00,000 --> 00:00:01,000\nhello\n", "not a video"),
    "picture.png": (
        cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes(),
        "not a video",
    ),
    # Playlists would have us read other files than the one that was handed in.
    "list.m3u8": (b"#EXTM3U\n#EXTINF:5,\nb_frames.ts\n#EXT-X-ENDLIST\n", "not a video"),
    "list.mp4": (b"ffconcat version 1.0\nfile b_frames.ts\n", "not a video"),
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_a_file_that_is_no_video_is_unreadable(tmp_path, make, name):
    contents, detail = NO_VIDEOS[name]
    (tmp_path / "b_frames.ts").write_bytes(make("b_frames.ts").read_bytes())
    (tmp_path / name).write_bytes(contents)
    assert_rejected(tmp_path / name, "unreadable", detail)


@pytest.mark.parametrize("name", ["missing.mp4", "", "a" * 300, "nul\0byte.mp4"])
def test_a_file_that_is_not_there_is_unreadable(tmp_path, name):
    assert_rejected(f"{tmp_path}/none/{name}", "unreadable", "no such file")


def test_a_folder_is_unreadable(tmp_path):
    assert_rejected(tmp_path, "unreadable", "not a file")


def test_a_video_that_vanished_after_the_probe_is_unreadable(tmp_path, numbered, encode):
    path = encode(tmp_path / "gone.mp4", numbered, "libx264")
    info = probe(str(path))
    path.unlink()
    with pytest.raises(VideoError, match="no such file"):
        next(read_frames(info, [0]))


@pytest.mark.parametrize("name", ["with:colon.mp4", "per%03dcent.mp4", "späces and #.mp4"])
def test_any_file_name_will_do(tmp_path, b_frames, monkeypatch, name):
    (tmp_path / name).write_bytes(b_frames.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe(name).frames == probe(str(tmp_path / name)).frames == FRAMES


def test_tags_in_another_encoding_do_no_harm(tmp_path, b_frames):
    path = tmp_path / "tagged.mp4"
    with av.open(str(b_frames)) as source, av.open(str(path), "w") as container:
        container.metadata["title"] = "caf__"
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    data = path.read_bytes()
    assert b"caf__" in data
    path.write_bytes(data.replace(b"caf__", b"caf\xe9\xe9"))
    assert probe(str(path)).frames == FRAMES


def _write_sound(container) -> None:
    stream = container.add_stream("aac", rate=44100)
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    frame.sample_rate = 44100
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


# File name -> for each of two streams (frames, whether it is the default), which one is judged.
SEVERAL_STREAMS = {
    "default_last.mp4": ([(5, False), (20, True)], 1),
    "default_short.mp4": ([(20, False), (5, True)], 1),
    "default_first.mov": ([(5, True), (20, False)], 0),
    "two_defaults.mkv": ([(5, True), (20, True)], 1),
    "two_equal.mkv": ([(20, True), (20, True)], 0),
    "no_default.mkv": ([(20, False), (5, False)], 0),
    "longer_last.ts": ([(5, False), (20, False)], 1),
    "longer_last.avi": ([(5, False), (20, False)], 1),
}


@pytest.mark.parametrize("name", SEVERAL_STREAMS)
def test_of_several_video_streams_the_default_or_else_the_longest_is_judged(tmp_path, name):
    described, judged = SEVERAL_STREAMS[name]
    images = [np.full((64, 96, 3), grey, np.uint8) for grey in (60, 180)]
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        streams = []
        for image, (frames, default) in zip(images, described, strict=True):
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
            stream.disposition = Disposition.default if default else 0
            streams.append((stream, image, frames))
        for stream, image, frames in streams:
            for _ in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    info = probe(str(path))
    assert (info.stream, info.frames) == (judged, described[judged][0])
    assert abs(int(np.mean(read(path, [1])[0])) - images[judged].mean()) < 5
    (note,) = info.notes
    why = "its default" if described[judged][1] else "the longest"
    assert note == f"It holds 2 video streams; number {judged}, {why}, was judged."


def test_an_encrypted_video_is_refused_as_such(tmp_path, encode, numbered):
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 32}
    muxer = {**key, "encryption_kid": "1" * 32}
    path = encode(tmp_path / "locked.mp4", numbered, "libx264", muxer=muxer)
    assert_rejected(path, "unsupported", "its frames are encrypted .DRM., and there is no key")


def test_a_transport_stream_without_a_keyframe_says_so(tmp_path, encode, numbered):
    data = encode(tmp_path / "whole.ts", numbered, "libx264", g="1000").read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]  # ISO/IEC 13818-1, 2.4.3.2
    kept, frames = [], 0
    for packet in packets:
        of_video = (packet[1] & 31, packet[2]) == (1, 0)
        frames += of_video and bool(packet[1] & 64)
        if not of_video or frames > 1:
            kept.append(packet)
    path = tmp_path / "late.ts"
    path.write_bytes(b"".join(kept))
    assert_rejected(path, "unreadable", "how large its picture is: it lacks a keyframe, or is scra")


def test_a_file_with_sound_only_has_no_video_stream(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        _write_sound(container)
    assert_rejected(path, "no_video_stream", "holds no video stream")


@pytest.mark.parametrize("with_video", [True, False])
def test_a_cover_picture_is_no_video(tmp_path, numbered, with_video):
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("png", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "rgb24"
        cover.disposition = Disposition.attached_pic
        streams = {cover: numbered[:1]}
        if with_video:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
            streams[stream] = numbered
        for stream, frames in streams.items():
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
    if with_video:
        assert probe(str(path)).codec == "mpeg4"
    else:
        assert_rejected(path, "no_video_stream", "holds no video stream")


@pytest.mark.parametrize("width, height", [(9000, 64), (64, 9000), (8000, 8000)])
def test_a_header_that_claims_huge_frames_is_unreadable(tmp_path, make, width, height):
    data = bytearray(make("animated.gif").read_bytes())
    data[6:10] = struct.pack("<HH", width, height)
    path = tmp_path / "huge.gif"
    path.write_bytes(data)
    assert_rejected(path, "unreadable", f"a frame is {width}x{height} px; sides of 1 to 8192 px")


# --- colours --------------------------------------------------------------------------------------

PATCH_PX = 32
PATCHES = np.array(
    [
        [[200, 30, 30], [30, 180, 60], [40, 60, 210], [220, 200, 40]],
        [[128, 128, 128], [235, 235, 235], [20, 20, 20], [180, 90, 160]],
    ],
    np.uint8,
)
RANGES = {"limited": 1, "full": 2}
# Name -> as a stream names it (ITU-T H.273), as swscale does.
MATRICES = {"unspecified": (2, 5), "bt601": (5, 5), "bt709": (1, 1), "bt2020": (9, 9)}


def _patchwork() -> np.ndarray:
    return PATCHES.repeat(PATCH_PX, axis=0).repeat(PATCH_PX, axis=1)


def _middles(image: np.ndarray) -> np.ndarray:
    """(2, 4, 16, 16, 3) int: the middles of the patches, away from blurred edges."""
    rows, columns = PATCHES.shape[:2]
    patches = image.reshape(rows, PATCH_PX, columns, PATCH_PX, 3).swapaxes(1, 2).astype(int)
    return patches[:, :, 8:24, 8:24]


def _write_colours(path, image, pixels: str, matrix: tuple[int, int], range_: int):
    """A video of three equal frames, converted to, and marked with, this matrix and range."""
    named, converted = matrix
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
        format=pixels, dst_colorspace=converted, dst_color_range=range_
    )
    frame.colorspace, frame.color_range = named, range_
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = pixels if pixels != "gray" else "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = named, range_
        for _ in range(3):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _opencv(path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    return cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(
    "pixels",
    ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le", "gray"],
)
def test_colours_come_back_as_they_were_and_as_opencv_sees_them(tmp_path, pixels, matrix, range_):
    image = _patchwork()
    if pixels == "gray":
        image = image[:, :, :1].repeat(3, axis=2)
    path = _write_colours(tmp_path / "colours.mp4", image, pixels, MATRICES[matrix], RANGES[range_])
    got = read(path, [1])[0]
    assert np.abs(_middles(got) - _middles(image)).max() <= 4
    tolerance = 4 if pixels == "yuv420p10le" else 0  # OpenCV rounds ten bits in another way
    assert np.abs(_middles(got) - _middles(_opencv(path))).max() <= tolerance


def test_colours_of_a_gif_come_back_as_its_palette_has_them(tmp_path, encode):
    image = np.array([[0, 85, 170, 255]], np.uint8).repeat(64, 0).repeat(16, 1)[..., None]
    path = encode(tmp_path / "grey.gif", np.stack([image.repeat(3, axis=2)] * 3), "gif", "gray")
    np.testing.assert_array_equal(read(path, [1])[0], image.repeat(3, axis=2))
    np.testing.assert_array_equal(read(path, [1])[0], _opencv(path))


@pytest.fixture
def with_matrix(tmp_path, encode):
    """A function that writes the patches with any matrix named in the frames' headers."""

    def write(number: int) -> Path:
        path = encode(
            tmp_path / "matrix.mov", np.stack([_patchwork()] * 3), "prores_ks", "yuv422p10le"
        )
        data = bytearray(path.read_bytes())
        for packet in _packets(path):
            data[packet.pos + 24] = number
        path.write_bytes(data)
        return path

    return write


def test_a_matrix_that_means_nothing_is_taken_as_none(with_matrix):
    reserved = read(with_matrix(3), [1])
    assert_same(reserved, read(with_matrix(2), [1]))
    assert np.abs(_middles(reserved[0]) - _middles(_patchwork())).max() <= 4


def test_a_matrix_that_ffmpeg_cannot_convert_is_unreadable(with_matrix):
    path = with_matrix(8)  # YCgCo
    with pytest.raises(VideoError, match="matrix.mov: its colours cannot be shown") as caught:
        read(path, [0])
    assert caught.value.reason == "unreadable"


# Degrees to turn clockwise for display -> a, b, c, d of the matrix in an mp4's track header.
TURNS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("degrees", TURNS)
def test_a_turned_recording_comes_upright(tmp_path, degrees):
    upright = _patchwork()
    lying = np.rot90(upright, degrees // 90)
    path = _write_colours(tmp_path / "turned.mp4", lying, "yuv444p", MATRICES["bt601"], 1)
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in TURNS[degrees])
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    got = read(path, [1])[0]
    assert got.flags.c_contiguous
    assert np.abs(_middles(got) - _middles(upright)).max() <= 4
    np.testing.assert_array_equal(got, _opencv(path))


# --- sampling -------------------------------------------------------------------------------------

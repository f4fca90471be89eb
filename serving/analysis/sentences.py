"""Sentences on a verdict for people: where a video is fake, and how much of it was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.coverage import Coverage

MAX_PARTS = 3  # that are named
# A rest that is no longer, or a smaller share of the video, is no reason to speak of a part.
REST_S, REST_SHARE = 1.0, 0.05
SHORT_S = 5.0  # of shorter parts and videos tenths of seconds are told

# What people call FFmpeg's formats and codecs.
CONTAINERS = {
    "mov": "MP4 or QuickTime",
    "matroska": "Matroska or WebM",
    "avi": "AVI",
    "asf": "Windows Media",
    "flv": "Flash Video",
    "mpegts": "MPEG transport stream",
    "mpeg": "MPEG program stream",
    "mpegvideo": "MPEG",
    "ogg": "Ogg",
    "gif": "GIF",
    "mxf": "MXF",
    "rm": "RealMedia",
    "image2": "Still picture",
}
CODECS = {
    "av1": "AV1",
    "flv1": "Sorenson Spark",
    "gif": "",  # has the name of its container
    "h263": "H.263",
    "h264": "H.264",
    "hevc": "H.265 (HEVC)",
    "mjpeg": "Motion JPEG",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4 Part 2",
    "prores": "Apple ProRes",
    "theora": "Theora",
    "vp8": "VP8",
    "vp9": "VP9",
}


def file_format(container: str, codec: str) -> str:
    """As "MP4 or QuickTime, video in H.264", from FFmpeg's names; "" where neither is known."""
    first = container.partition(",")[0]
    named, video = CONTAINERS.get(first, first), CODECS.get(codec, codec)
    return ", ".join(part for part in (named, f"video in {video}" if video else "") if part)


def clock(seconds: float, tenths: bool = False) -> str:
    """A time in the video as 4:12 or 1:04:12, with tenths as 4:12.3."""
    count = round(10 * seconds) if tenths else 10 * round(seconds)
    minutes, rest = divmod(count // 10, 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest:02d}" + (f".{count % 10}" if tenths else "")


def looked_at(coverage: Coverage, with_frames: bool = False) -> str:
    """As "looked at 64 moments of 9:50 (14 % of the video), largest gap 9 s".

    with_frames: with the share of the frames too, which is smaller where a moment skips some.
    """
    length = clock(coverage.duration_s, coverage.duration_s < SHORT_S)
    moments = f"{coverage.moments} moment{'' if coverage.moments == 1 else 's'}"
    if not coverage.gaps:
        return f"looked at all of {length} ({moments})"
    shares = f"{100 * coverage.share:.0f} % of the video"
    if with_frames:
        shares += f", {100 * coverage.frames / coverage.frames_total:.0f} % of the frames"
    gap = coverage.largest_gap_s
    return (
        f"looked at {moments} of {length} ({shares}), "
        f"largest gap {gap:.{0 if gap >= SHORT_S else 1}f} s"
    )


def fake_parts(segments: Iterable[tuple[float, float]], duration_s: float) -> str:
    """Where a video that is FAKE is fake, of all faces; "" without a segment.

    segments: (start, end) of each of them, in seconds, in any order.
    """
    parts: list[tuple[float, float]] = []
    for start, end in sorted(segments):
        if parts and start <= parts[-1][1]:
            start, last = parts.pop()
            end = max(end, last)
        parts.append((start, end))
    if not parts:
        return ""
    if _rest(parts, duration_s) <= max(REST_S, REST_SHARE * duration_s):
        return "Likely FAKE throughout."
    tenths = any(end - start < SHORT_S for start, end in parts)
    named = [f"between {clock(a, tenths)} and {clock(b, tenths)}" for a, b in parts[:MAX_PARTS]]
    if (more := len(parts) - MAX_PARTS) > 0:
        named.append(f"in {more} more part{'' if more == 1 else 's'}")
    where = ", ".join(named[:-1]) + " and " + named[-1] if len(named) > 1 else named[0]
    return f"Likely FAKE {where}; nothing else reached the threshold."


def _rest(parts: Sequence[tuple[float, float]], duration_s: float) -> float:
    """The longest part of the video that is in none of these."""
    ends = [0.0, *(end for _, end in parts)]
    starts = [*(start for start, _ in parts), duration_s]
    return max(start - end for end, start in zip(ends, starts, strict=True))

"""Contact sheet of crops: a captioned row per clip, as one picture."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from pipelines.atomic import replacing
from pipelines.clip import FAKE, LABEL_NAMES, REAL, Clip, Video

T = TypeVar("T")

SIDE_PX = 128  # of a cell
CAPTION_PX = 24
LEAST_PX = 800  # width of a sheet, for its captions
GAP_PX = 2
BACKGROUND, CELL, LINE = (24, 24, 27), (52, 52, 58), (96, 96, 104)
TEXT, DIM = (236, 236, 240), (165, 165, 175)
TAG = {REAL: (28, 120, 70), FAKE: (176, 40, 48)}


def spread(groups: Mapping[tuple, Sequence[T]], most: int) -> list[T]:
    """At most `most` members: as many for each value of the keys' first part, among them of the
    second, and so on, and evenly spaced within a group."""
    if list(groups) == [()]:
        members, taken = groups[()], min(most, len(groups[()]))
        return [members[int((i + 0.5) * len(members) / taken)] for i in range(taken)]
    parts: dict[Any, dict[tuple, Sequence[T]]] = {}
    for (first, *rest), members in groups.items():
        parts.setdefault(first, {})[tuple(rest)] = members
    sizes = {first: sum(map(len, part.values())) for first, part in parts.items()}
    quotas = dict.fromkeys(parts, 0)
    for _ in range(min(most, sum(sizes.values()))):
        quotas[min((k for k in parts if quotas[k] < sizes[k]), key=quotas.__getitem__)] += 1
    return [member for first, part in parts.items() for member in spread(part, quotas[first])]


def contact_sheet(
    clips: Sequence[tuple[Video, Clip]], title: str, frames: int = 8, side_px: int = SIDE_PX
) -> Image.Image:
    """A row per clip: a caption, and below it up to `frames` crops, evenly over the clip.

    A frame without a face is a crossed-out cell; the rest of a shorter clip's row is empty.
    """
    columns = min(frames, max(len(clip.images) for _, clip in clips))
    width = max(columns * (side_px + GAP_PX) + GAP_PX, LEAST_PX)
    row_px = CAPTION_PX + side_px + 2 * GAP_PX
    sheet = Image.new("RGB", (width, CAPTION_PX + len(clips) * row_px), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((6, CAPTION_PX // 2), title, DIM, _font(13), "lm")
    captions = [caption(video, clip) for video, clip in clips]
    widths = [max(map(_font(13).getlength, column)) for column in zip(*captions, strict=True)]
    starts = width - np.cumsum([w + 14 for w in reversed(widths)])[::-1]  # of caption columns
    for row, (video, clip) in enumerate(clips):
        y = CAPTION_PX + row * row_px
        _write_caption(draw, y, video, captions[row], starts.tolist())
        last = len(clip.images) - 1
        chosen = np.unique(np.linspace(0, last, min(columns, last + 1)).round().astype(int))
        for column, t in enumerate(chosen):
            corner = (GAP_PX + column * (side_px + GAP_PX), y + CAPTION_PX)
            sheet.paste(_cell(clip.images[t], side_px), corner)
    return sheet


def write_contact_sheet(
    path: str | Path, clips: Sequence[tuple[Video, Clip]], title: str = ""
) -> None:
    """Writes the sheet as a PNG file."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with replacing(path) as temporary:
        contact_sheet(clips, title).save(temporary, "PNG")


def caption(video: Video, clip: Clip) -> tuple[str, ...]:
    """The cells beside the video's name."""
    scores = clip.confidence[clip.has_crop]
    return (
        video.split,
        f"clip {clip.index}",
        f"track {clip.track}",
        f"{clip.times_s[0]:.2f} to {clip.times_s[-1]:.2f} s",
        f"{len(scores)} of {len(clip.images)} faces",
        f"score {scores.min():.2f} to {scores.max():.2f}" if len(scores) else "no score",
    )


def _write_caption(
    draw: ImageDraw.ImageDraw, y: int, video: Video, cells: Sequence[str], starts: Sequence[float]
) -> None:
    middle, font = y + CAPTION_PX // 2, _font(13)
    draw.rectangle((GAP_PX, y + 4, 46, y + CAPTION_PX - 4), TAG[video.label])
    draw.text((24, middle), LABEL_NAMES[video.label].upper(), TEXT, _font(11), "mm")
    for start, cell in zip(starts, cells, strict=True):
        draw.text((start, middle), cell, DIM, font, "lm")
    name = cut = video.key
    while cut and font.getlength(name) > starts[0] - 54 - 14:
        cut = cut[1:]  # the end of a name tells more than its start
        name = "\N{HORIZONTAL ELLIPSIS}" + cut
    draw.text((54, middle), name, TEXT, font, "lm")


def _cell(encoded: bytes, side_px: int) -> Image.Image:
    if encoded:
        try:
            crop = Image.open(io.BytesIO(encoded)).convert("RGB")
            return crop.resize((side_px, side_px), Image.Resampling.LANCZOS)
        except (UnidentifiedImageError, OSError):
            return _crossed(side_px, "unreadable", TAG[FAKE])
    return _crossed(side_px, "no face", LINE)


def _crossed(side_px: int, word: str, colour: tuple[int, int, int]) -> Image.Image:
    cell, far = Image.new("RGB", (side_px, side_px), CELL), side_px - 1
    draw = ImageDraw.Draw(cell)
    for ends in ((0, 0, far, far), (0, far, far, 0), (0, 0, far, 0, far, far, 0, far, 0, 0)):
        draw.line(ends, colour, 1)
    middle, font = (side_px / 2, side_px / 2), _font(12)
    left, top, right, bottom = draw.textbbox(middle, word, font, "mm")
    draw.rectangle((left - 5, top - 4, right + 5, bottom + 4), CELL)
    draw.text(middle, word, TEXT, font, "mm")
    return cell


def _font(size: int) -> ImageFont.FreeTypeFont:
    # Matplotlib brings a font with it, so that a sheet looks the same on every machine.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)

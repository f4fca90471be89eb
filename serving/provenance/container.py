"""Metadata of a container: what the file says of its making, which anyone can write.

Tags are read by FFmpeg, under its names; edit lists from the boxes themselves.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.video.mp4_boxes import Readable
from serving.provenance.edit_lists import EditList, read_edit_lists
from serving.provenance.printable import MOST, printable

# The first of each that is there. FFmpeg gives QuickTime's keys as they are (Apple, QuickTime File
# Format: Metadata), those of `udta` by names of its own.
CREATED = ("com.apple.quicktime.creationdate", "creation_time", "date", "date_recorded")
MAKE = ("com.apple.quicktime.make", "com.android.manufacturer", "make")
MODEL = ("com.apple.quicktime.model", "com.android.model", "model")
SOFTWARE = ("com.apple.quicktime.software", "com.android.version", "software", "encoded_by")
PLACE = re.compile(r"location|gps|latitude|longitude|geo", re.I)
# ISO 6709, annex H: +27.5916+086.5640+8850/
ISO_6709 = re.compile(r"[+-]\d{2,7}(\.\d+)?[+-]\d{3,8}(\.\d+)?([+-]\d+(\.\d+)?)?(CRS.*)?/?")


@dataclasses.dataclass(frozen=True)
class ContainerMetadata:
    """What a container says of itself; "" where it says nothing.

    brands: of an MP4 or QuickTime file, the major one first. created: as it is written. encoder:
    what wrote the container. software: other programs that are named. tags: all others, in order
    of their names, which for those of streams begin with the stream's kind. edit_lists: those of
    its tracks. has_location: whether a place is given. location: that place; "" where it was not
    asked for.
    """

    brands: str = ""
    created: str = ""
    make: str = ""
    model: str = ""
    encoder: str = ""
    software: tuple[str, ...] = ()
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    edit_lists: tuple[EditList, ...] = ()
    has_location: bool = False
    location: str = ""

    def without_location(self) -> ContainerMetadata:
        return dataclasses.replace(self, location="")


def read_container(container: Any, file: Readable) -> ContainerMetadata:
    """container: the file, opened by PyAV. Raises ValueError for boxes that are cut off."""
    tags = dict(_tags(container))
    places = {name: tags.pop(name) for name in list(tags) if _is_place(name, tags[name])}
    brands = [tags.pop("major_brand", "").strip(), _brands(tags.pop("compatible_brands", ""))]
    tags.pop("minor_version", None)
    return ContainerMetadata(
        brands=printable(" ".join(filter(None, brands))),
        created=_first(tags, CREATED),
        make=_first(tags, MAKE),
        model=_first(tags, MODEL),
        encoder=_first(tags, ("encoder",)),
        software=tuple(filter(None, (_first(tags, (name,)) for name in SOFTWARE))),
        tags=dict(sorted(tags.items())[:MOST]),
        edit_lists=read_edit_lists(file)[:MOST],
        has_location=bool(places),
        location=printable(", ".join(dict.fromkeys(places.values()))),
    )


def _tags(container: Any) -> Iterator[tuple[str, str]]:
    """Those of the container by their names, those of streams as video.NAME, each once."""
    yield from _printable(container.metadata, "")
    for stream in container.streams:
        prefix = f"{stream.type}." if stream.type else ""
        yield from _printable(stream.metadata, prefix)


def _printable(metadata: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in metadata.items():
        if text := printable(value):
            yield prefix + printable(name.lower(), 60), text


def _is_place(name: str, value: str) -> bool:
    return bool(PLACE.search(name) or ISO_6709.fullmatch(value))


def _brands(compatible: str) -> str:
    """Of four characters each, one behind the other."""
    return " ".join(compatible[i : i + 4].strip() for i in range(0, len(compatible), 4))


def _first(tags: dict[str, str], names: tuple[str, ...]) -> str:
    """The first of these that is there, which is taken out."""
    return next((tags.pop(name) for name in names if name in tags), "")

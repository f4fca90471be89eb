"""What containers say of themselves: tags, devices, places, edit lists."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.video.probe import open_video
from serving.provenance.container import read_container
from serving.provenance.edit_lists import read_edit_lists
from tests.fixtures.signed_videos import write_video

PLACE = "+52.3702+004.8952/"


def read(path):
    with open_video(str(path)) as (container, _), open(path, "rb") as file:
        return read_container(container, file)


def box(kind: bytes, *contents: bytes) -> bytes:
    inside = b"".join(contents)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def movie(edits, media_s: float, long: bool = False) -> io.BytesIO:
    """Boxes of a movie of 1,000 units a second with one track of 600 a second.

    edits: (duration, media time, rate * 65536) in these units.
    """
    version = bytes([long, 0, 0, 0])
    times = bytes(16 if long else 8)
    header = ">IQ" if long else ">II"
    entry = ">Qqi" if long else ">Iii"
    elst = version + struct.pack(">I", len(edits)) + b"".join(struct.pack(entry, *e) for e in edits)
    mdhd = version + times + struct.pack(header, 600, round(600 * media_s))
    track = box(
        b"trak",
        box(b"edts", box(b"elst", elst)),
        box(b"mdia", box(b"mdhd", mdhd), box(b"hdlr", bytes(8), b"vide", bytes(12))),
    )
    mvhd = version + times + struct.pack(header, 1000, 10_000)
    return io.BytesIO(
        box(b"ftyp", b"isom", bytes(4))
        + box(b"free", bytes(40))
        + box(b"moov", box(b"mvhd", mvhd), track)
    )


def test_device_software_and_time_are_told(tmp_path):
    tags = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15 Pro",
        "com.apple.quicktime.software": "17.5.1",
        "com.apple.quicktime.creationdate": "2026-01-30T09:12:44+0100",
    }
    told = read(write_video(tmp_path / "phone.mov", frames=3, tags=tags))
    assert (told.make, told.model, told.software) == ("Apple", "iPhone 15 Pro", ("17.5.1",))
    assert told.created == "2026-01-30T09:12:44+0100"
    assert told.encoder.startswith("Lavf") and told.brands.startswith("qt")
    assert not set(tags) & set(told.tags)


def test_other_tags_are_told_as_they_are(tmp_path):
    told = read(write_video(tmp_path / "clip.mkv", frames=3, tags={"comment": "Cut\u202e 3"}))
    assert told.tags["comment"] == "Cut\\u202e 3" and not told.has_location


@pytest.mark.parametrize(
    "tag", ["com.apple.quicktime.location.ISO6709", "location", "gps_position", "note"]
)
def test_a_place_is_told_apart_under_whatever_name(tmp_path, tag):
    told = read(write_video(tmp_path / "clip.mp4", frames=3, tags={tag: PLACE}))
    assert told.has_location and told.location == PLACE
    rest = told.without_location()
    assert rest.has_location and PLACE not in repr(rest)


def test_a_trimmed_track_shows_how_much_is_hidden():
    (edit_list,) = read_edit_lists(movie([(2_000, 3 * 600, 65536)], media_s=10))
    assert (edit_list.kind, edit_list.media_s, edit_list.hidden_s) == ("vide", 10, 8)
    (edit,) = edit_list.edits
    assert (edit.start_s, edit.duration_s, edit.rate) == (3, 2, 1)


def test_what_two_edits_show_counts_once():
    edits = [(2_000, 0, 65536), (2_000, 600, 65536), (1_000, -1, 65536)]
    (edit_list,) = read_edit_lists(movie(edits, media_s=4))
    assert edit_list.hidden_s == 1 and edit_list.edits[2].start_s is None


def test_an_edit_without_a_duration_lasts_to_the_end():
    (edit_list,) = read_edit_lists(movie([(0, 600, 65536)], media_s=4))
    assert edit_list.hidden_s == 1


def test_long_boxes_say_the_same_as_short_ones():
    edits = [(2_000, 1_800, 65536)]
    assert read_edit_lists(movie(edits, 10, long=True)) == read_edit_lists(movie(edits, 10))


def test_b_frames_hide_nothing(video):
    (edit_list,) = read(video).edit_lists
    assert edit_list.edits[0].start_s > 0 and edit_list.hidden_s == 0


def test_another_format_has_no_edit_lists():
    assert read_edit_lists(io.BytesIO(b"\x1aE\xdf\xa3" + bytes(100))) == ()


def test_many_boxes_are_refused():
    with pytest.raises(ValueError, match="over 10000 boxes"):
        read_edit_lists(io.BytesIO(box(b"free") * 10_001))


@given(st.binary(max_size=60), st.integers(0, 250))
def test_damage_is_an_error_that_says_so_or_nothing(noise, at):
    data = bytearray(movie([(2_000, 1_800, 65536)], 10).getvalue())
    data[at : at + len(noise)] = noise
    try:
        read_edit_lists(io.BytesIO(data))
    except ValueError as error:
        assert "box" in str(error)

"""dfdetect inspect: what is wrong is found and named, what is right is shown and handed out."""

import contextlib
import csv
import dataclasses
import io
import json
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dfdetect.__main__ import main
from pipelines import inspect
from pipelines.clip import FAKE, REAL, SPLITS, Clip, Video
from pipelines.inspect import contact_sheet, export_frames, records, statistics, terminal, verify
from pipelines.shards.framing import frame
from pipelines.shards.write import write_records


@pytest.fixture
def folder(sample_shards, tmp_path) -> Path:
    """A copy of the sample shards, to be damaged."""
    return Path(shutil.copytree(sample_shards, tmp_path / "data"))


@pytest.fixture
def shard(folder) -> Path:
    """The largest shard of the copy: it has several records."""
    return max(folder.glob("*.tfrecord"), key=lambda path: path.stat().st_size)


def problems(folder: Path, quick: bool = False) -> list[str]:
    info = inspect.load_info(folder)
    return verify.verify(folder, info, None if quick else verify.Contents(folder, info))


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


@contextlib.contextmanager
def edited(path: Path):
    """A JSON file's contents, written back at the end."""
    value = json.loads(path.read_text())
    yield value
    path.write_text(json.dumps(value))


def rewrite(shard: Path, change) -> None:
    """Writes a shard anew, its records as `change` makes them, with the checksums to it."""
    from pipelines.shards.schema import parse, serialize

    parsed = [parse(record.data) for record in records.read_records(shard)]
    piece = write_records(str(shard), [serialize(*record) for record in change(parsed)])
    with edited(shard.parent / "dataset_info.json") as info:
        info["shards"][shard.name].update(bytes=piece.bytes, sha256=piece.sha256)


def clip_of(*confidence: float, side_px: float = 50) -> Clip:
    """A clip of grey crops, one per score; 0 for no face."""
    png = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 200, 200)).save(png, "PNG")
    n = len(confidence)
    found = np.array(confidence) > 0
    return Clip(
        index=0,
        track=0,
        fps=25.0,
        images=[png.getvalue() if seen else b"" for seen in found],
        times_s=np.arange(n, dtype=np.float32) / 4,
        boxes=np.array([[0, 0, side_px, side_px / 2]] * n, np.float32) * found[:, None],
        landmarks=np.zeros((n, 5, 2), np.float32),
        confidence=np.array(confidence, np.float32),
        transforms=np.zeros((n, 2, 3), np.float32),
    )


def a_video(name: str = "a", label: int = REAL, split: str = "train", method: str = "") -> Video:
    return Video(name, "", label, "set", method or ("x" if label else "original"), split=split)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


# Framing.


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.data())
def test_any_flipped_bit_is_found_in_its_record_and_the_others_are_read(tmp_path_factory, xs, data):
    path = tmp_path_factory.getbasetemp() / "flipped.tfrecord"
    path.write_bytes(b"".join(map(frame, xs)))
    byte = data.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, byte, data.draw(st.integers(0, 7)))
    ends = np.cumsum([len(frame(x)) for x in xs])
    victim = int(np.searchsorted(ends, byte, side="right"))
    found = list(records.read_records(path))
    assert [bool(record.damage) for record in found] == [i == victim for i in range(len(xs))]
    assert [r.data for r in found if not r.damage] == [x for i, x in enumerate(xs) if i != victim]
    assert [record.offset for record in found] == [0, *ends[:-1]]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.data())
def test_a_file_cut_off_anywhere_gives_its_whole_records(tmp_path_factory, xs, data):
    path = tmp_path_factory.getbasetemp() / "cut.tfrecord"
    whole = b"".join(map(frame, xs))
    size = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:size])
    ends = np.cumsum([len(frame(x)) for x in xs]).tolist()
    left = sum(end <= size for end in ends)
    found = list(records.read_records(path))
    assert [record.data for record in found if not record.damage] == xs[:left]
    assert len(found) == left + (size not in (0, *ends))
    assert all("is cut off" in record.damage for record in found[left:])


def test_a_length_that_no_flipped_bit_explains_ends_the_reading(tmp_path):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(frame(b"a") + b"\xff" * 40 + frame(b"b"))
    first, second = records.read_records(path)
    assert not first.damage and "nor any record after it" in second.damage


def test_no_more_is_read_than_the_file_holds(tmp_path):
    length = struct.pack("<Q", 1 << 40)
    path = tmp_path / "x.tfrecord"
    path.write_bytes(length + frame(length)[-4:] + b"data")
    (record,) = records.read_records(path)
    assert record.damage == "is cut off: 16 of its 1099511627792 bytes are there"


def test_records_are_read_one_at_a_time(tmp_path):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(frame(b"a") + b"\xff" * 40)
    assert next(records.read_records(path)).data == b"a"


def test_reading_clips_stops_at_a_damaged_record(shard):
    flip(shard, 100)
    with pytest.raises(ValueError, match=f"{shard.name}: record 0 at byte 0 was changed"):
        list(inspect.read_clips(shard.parent, shard.name.split("-")[0]))


# Verification.


def test_an_intact_set_has_no_problems(sample_shards, capsys):
    assert problems(sample_shards) == problems(sample_shards, quick=True) == []
    assert main(["inspect", str(sample_shards)]) == 0
    out, err = capsys.readouterr()
    assert "nothing wrong" in out and "dfdetect inspect:" not in err
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("quick", [False, True])
def test_a_flipped_bit_is_named_by_file_record_and_byte(shard, quick):
    _, second, *_ = records.read_records(shard)
    flip(shard, second.offset + 12 + len(second.data) // 2)
    checksum, damage = problems(shard.parent, quick)
    assert f"{shard}: its SHA-256 is " in checksum and "Copy the file again" in checksum
    assert f"{shard}: record 1 at byte {second.offset}" in damage
    assert "its data does not match the checksum" in damage


def test_a_damaged_record_is_named_by_its_video(shard):
    _, second, *_ = records.read_records(shard)
    video, clip, _ = records.parse_record(second.data)
    flip(shard, second.offset + 3)
    (_, damage) = problems(shard.parent)
    assert f"(it says {video.key}, clip {clip.index}, track {clip.track})" in damage
    assert "a flipped bit in its length" in damage


def test_a_damaged_record_that_cannot_be_parsed_is_named_by_the_one_before(shard):
    first, second, *_ = records.read_records(shard)
    video, _, _ = records.parse_record(first.data)
    flip(shard, second.offset + 12, bit=2)
    (_, damage) = problems(shard.parent)
    assert f"(after {video.key}, clip 0, track 0)" in damage


def test_a_shard_cut_off_is_named_with_its_sizes(shard):
    size = shard.stat().st_size
    with shard.open("r+b") as handle:
        handle.truncate(size - 5)
    length, damage = problems(shard.parent)
    assert f"{shard}: has {size - 5} bytes, dataset_info.json says {size}." in length
    assert "is cut off" in damage


def test_a_shard_cut_off_between_records_lacks_records(shard):
    *kept, last = records.read_records(shard)
    with shard.open("r+b") as handle:
        handle.truncate(last.offset)
    _, count = problems(shard.parent)
    assert f"holds {len(kept)} records, dataset_info.json says {len(kept) + 1}" in count


def test_a_missing_shard_is_named(shard):
    shard.unlink()
    (missing,) = problems(shard.parent)
    assert f"{shard}: is missing" in missing and "run `dfdetect preprocess` again" in missing


@pytest.mark.parametrize("name", ["train-00000-of-00009.tfrecord", "old.tfrecord.gz"])
def test_a_shard_that_is_not_listed_is_named(folder, name):
    (folder / name).touch()
    (stray,) = problems(folder)
    assert f"{folder / name}: is not listed" in stray and "Move it away" in stray


def test_a_listed_name_that_is_no_shards_is_not_opened(folder):
    with edited(folder / "dataset_info.json") as info:
        info["shards"]["../x"] = {"bytes": 0, "records": 0, "sha256": ""}
    (odd,) = problems(folder)
    assert "lists '../x', no name of a shard" in odd


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda video, clip, mark: (video, clip, "f00"),
            "has fingerprint 'f00', dataset_info.json",
        ),
        (
            lambda video, clip, mark: (dataclasses.replace(video, split="none"), clip, mark),
            "has split 'none', the file's name says",
        ),
        (
            lambda video, clip, mark: (
                dataclasses.replace(video, label=1 - video.label),
                clip,
                mark,
            ),
            "has label [01], manifest.csv says [01]",
        ),
        (
            lambda video, clip, mark: (dataclasses.replace(video, method="?"), clip, mark),
            "has method '\\?', manifest.csv says",
        ),
        (
            lambda video, clip, mark: (dataclasses.replace(video, id="?"), clip, mark),
            "is of a video that manifest.csv does not list",
        ),
        (
            lambda video, clip, mark: (video, dataclasses.replace(clip, images=[b""] * 5), mark),
            r"has lists of \[5, 4, 4, 4, 4, 4\] entries; 1 to 4 were expected",
        ),
    ],
)
def test_a_record_that_says_something_else_is_named(shard, change, said):
    rewrite(shard, lambda parsed: [change(*parsed[0]), *parsed[1:]])
    found = problems(shard.parent)
    with pytest.raises(ValueError, match=f"{shard}: record 0 at byte 0 .*{said}"):
        raise ValueError("\n".join(found))


def test_without_a_manifest_the_label_must_go_with_the_method(shard):
    (shard.parent / "manifest.csv").unlink()
    rewrite(
        shard,
        lambda parsed: [(dataclasses.replace(v, label=1 - v.label), c, f) for v, c, f in parsed],
    )
    assert "does not go with method" in problems(shard.parent)[0]


def test_a_record_of_another_schema_version_is_named(shard, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.shards.schema.VERSION", 99)
        from pipelines.shards.schema import serialize

        parsed = [(a_video(), clip_of(1.0), "f00")]
        piece = write_records(str(shard), [serialize(*record) for record in parsed])
    with edited(shard.parent / "dataset_info.json") as info:
        info["shards"][shard.name].update(bytes=piece.bytes, sha256=piece.sha256, records=1)
    assert "schema version 99" in problems(shard.parent)[0]


def test_a_record_that_is_there_twice_is_named(shard):
    rewrite(shard, lambda parsed: [parsed[0], *parsed])
    twice, count = problems(shard.parent)
    assert "record 1 at byte" in twice and "is there twice" in twice
    assert "records, dataset_info.json says" in count


def test_of_many_problems_in_one_file_a_few_are_told(shard):
    rewrite(shard, lambda parsed: [(v, c, "f00") for v, c, _ in parsed * 3])
    found = problems(shard.parent)
    assert len(found) == verify.MOST + 1
    assert f"{shard}: has " in found[-1] and "more problems" in found[-1]


@pytest.mark.parametrize("what", ["videos", "clips", "identities", "sources"])
def test_an_info_that_counts_otherwise_than_the_records_is_named(folder, what):
    with edited(folder / "dataset_info.json") as info:
        right = info["splits"]["val"][what]
        info["splits"]["val"][what] += 1
    (wrong,) = problems(folder)
    assert f"split val has {what} {right + 1}, its records have {right}" in wrong


def test_an_info_that_counts_too_many_records_is_named(shard):
    with edited(shard.parent / "dataset_info.json") as info:
        info["shards"][shard.name]["records"] += 1
    count, total = problems(shard.parent)
    assert f"{shard}: holds " in count and "clips, but its shards " in total


@pytest.mark.parametrize(("what", "labels"), [("videos", "labels"), ("clips", "clip_labels")])
def test_labels_that_do_not_add_up_are_named_without_a_look_at_records(folder, what, labels):
    with edited(folder / "dataset_info.json") as info:
        info["splits"]["test"][labels]["real"] += 2
        count = info["splits"]["test"][what]
    (wrong,) = problems(folder, quick=True)
    assert f"split test has {count} {what}, but its {labels} add up to {count + 2}" in wrong


def test_crops_of_another_version_of_the_package_are_named(folder, monkeypatch):
    monkeypatch.setattr("pipelines.config.CROP_ALGORITHM", "next")
    (other,) = problems(folder)
    assert "will not train on them" in other


def test_settings_of_a_newer_version_are_named(folder):
    with edited(folder / "dataset_info.json") as info:
        info["config"]["colour"] = "red"
    (unknown,) = problems(folder)
    assert "Unknown preprocessing settings ['colour']" in unknown


@pytest.mark.parametrize("line", ['{"reason": "no_face", "video": "set/a"}', "half a li"])
def test_rejects_that_the_info_does_not_count_are_named(folder, line):
    (folder / "rejects.jsonl").write_text(line + "\n")
    (wrong,) = problems(folder)
    assert f"{folder / 'rejects.jsonl'}: has rejects {{" in wrong


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is no JSON object"), ("[]", "is no JSON object"), ("{}", "'config'")]
)
def test_a_damaged_info_is_refused(folder, text, said, capsys):
    (folder / "dataset_info.json").write_text(text)
    assert main(["inspect", str(folder)]) == 1
    err = capsys.readouterr().err
    assert f"{folder / 'dataset_info.json'}: " in err and said in err


def test_a_folder_without_a_data_set_says_what_to_do(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 1
    assert "Run `dfdetect preprocess`" in capsys.readouterr().err


def test_a_remote_folder_is_refused_with_what_to_do(capsys):
    assert main(["inspect", "gs://bucket/data"]) == 1
    assert "gs://bucket/data: is remote" in capsys.readouterr().err


def test_problems_go_to_stderr_and_the_exit_code_is_1(shard, capsys):
    shard.unlink()
    assert main(["inspect", str(shard.parent), "--quick"]) == 1
    out, err = capsys.readouterr()
    assert (
        "1 problem, named below" in out
        and err == f"dfdetect inspect: {shard}: is missing, " + (err.split("is missing, ")[1])
    )


# Numbers.


def test_statistics_are_those_of_the_records(sample_shards, capsys):
    assert main(["inspect", str(sample_shards), "--json"]) == 0
    splits = json.loads(capsys.readouterr().out)["statistics"]["splits"]
    for split in SPLITS:
        clips = [clip for _, clip in inspect.read_clips(sample_shards, split)]
        boxes = np.concatenate([clip.boxes[clip.has_crop] for clip in clips])
        sides = np.rint(np.maximum(*(boxes[:, 2:] - boxes[:, :2]).T))
        size = sum(path.stat().st_size for path in sample_shards.glob(f"{split}-*"))
        assert splits[split]["bytes"] == size
        assert splits[split]["bytes_per_clip"] == size / len(clips)
        assert splits[split]["frames_per_clip"] == {"min": 4, "median": 4, "max": 4}
        assert splits[split]["found_share"] == np.mean([clip.has_crop for clip in clips])
        for name, share in (("p10", 0.1), ("median", 0.5), ("p90", 0.9)):
            expected = np.quantile(sides, share, method="inverted_cdf")
            assert splits[split]["face_side_px"][name] == expected


@given(st.lists(st.integers(0, 9), min_size=1), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
def test_quantiles_of_counts_are_those_of_the_counted(values, share):
    expected = np.quantile(values, share, method="inverted_cdf")
    assert statistics.quantiles(Counter(values), it=share) == {"it": expected}


def test_quantiles_of_nothing_are_none():
    assert statistics.quantiles(Counter(), median=0.5) == {"median": None}


def test_a_tally_leaves_out_frames_without_a_face():
    tally = statistics.Tally()
    tally.add(a_video(), clip_of(0.9, 0.0, 0.8, 0.0, side_px=60))
    assert tally.statistics() == {
        "frames_per_clip": {"min": 4, "median": 4, "max": 4},
        "found_share": 0.5,
        "face_side_px": {"p10": 60, "median": 60, "p90": 60},
    }


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        (0, 0, "split val is empty"),
        (0, 4, "split val: 0 of 4 videos are real (0%); it needs both classes. Add real videos."),
        (91, 9, "split val: 9 of 100 videos are fake (9%)"),
        (90, 10, None),
    ],
)
def test_a_split_that_lacks_a_class_is_warned_of(real, fake, said):
    fine = {"videos": 2, "labels": {"real": 1, "fake": 1}}
    part = {"videos": real + fake, "labels": {"real": real, "fake": fake}}
    warnings = list(statistics.imbalances({"splits": {"train": fine, "val": part, "test": fine}}))
    assert len(warnings) == bool(said) and all(said in warning for warning in warnings)


def test_rejects_are_shown_by_reason_with_the_first_names_and_the_file(folder, capsys):
    lines = [{"reason": "no_face", "video": f"set/{name}"} for name in "abcde"]
    (folder / "rejects.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with edited(folder / "dataset_info.json") as info:
        info["rejects"] = {"no_face": 5}
    assert main(["inspect", str(folder), "--quick"]) == 0
    out = capsys.readouterr().out
    assert "5 no_face: set/a, set/b, set/c and 2 more" in out
    assert str(folder / "rejects.jsonl") in out.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (
            {"crossings": []},
            "no people or sources in more than one split; near-duplicates were not",
        ),
        (
            {"crossings": [{"official": True}, {}], "duplicates": {"pairs": [{}, {}]}},
            "1 people or sources in more than one split; 1 more by the data set's own lists; "
            "2 pairs of near-duplicates across splits",
        ),
        ({"missing": {"a": ["x"], "b": ["y", "z"]}}, "3 listed videos missing"),
    ],
)
def test_the_audit_is_shown_in_short(tmp_path, audit, said):
    path = tmp_path / "split_audit.json"
    path.write_text(json.dumps(audit))
    assert said in terminal._audit_words(tmp_path, statistics._audit(path))


def test_a_set_without_an_audit_says_so(folder, capsys):
    (folder / "split_audit.json").unlink()
    assert main(["inspect", str(folder), "--quick"]) == 0
    assert "no split_audit.json" in capsys.readouterr().out


# The command.


@pytest.mark.parametrize("flags", [["--quick"], []])
def test_json_is_one_object_and_all_there_is_on_stdout(shard, flags, capsys):
    flip(shard, 50)
    assert main(["inspect", str(shard.parent), "--json", *flags]) == 1
    out, err = capsys.readouterr()
    said = json.loads(out)
    info = inspect.load_info(shard.parent)
    assert said["problems"] == [
        line.split(": ", 1)[1] for line in err.splitlines() if "dfd" in line
    ]
    assert said["notes"] == info["problems"]
    assert all(said[name] == info[name] for name in info.keys() - {"problems"})


def test_quick_loads_neither_tensorflow_nor_what_draws(sample_shards):
    code = (
        "import sys; from dfdetect.__main__ import main; code = main(['inspect', *sys.argv[1:]]); "
    )
    code += "bad = [m for m in ('tensorflow', 'matplotlib', 'PIL') if m in sys.modules]; "
    code += "print(bad, file=sys.stderr); sys.exit(code)"
    command = [sys.executable, "-c", code, str(sample_shards), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--quick", "--contact-sheet", "x.png"], "--quick does not look into the records"),
        (["--quick", "--export-frames", "x"], "--quick does not look into the records"),
        (["--label", "fake"], "need --contact-sheet or --export-frames"),
        (["--overwrite"], "--overwrite needs --export-frames"),
        (["--contact-sheet", "x.jpg"], "name it .png"),
        (["--contact-sheet", "x.png", "--rows", "0"], "--rows is 0"),
        (["--split", "dev"], "invalid choice"),
    ],
)
def test_wrong_usage_exits_2(sample_shards, flags, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(sample_shards), *flags])
    assert caught.value.code == 2 and said in capsys.readouterr().err


# The contact sheet.


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(SPLITS), st.sampled_from([REAL, FAKE]), st.sampled_from("xyz")),
        st.integers(1, 9),
        min_size=1,
    ),
    st.integers(1, 40),
)
def test_clips_are_spread_evenly_over_splits_labels_and_methods(sizes, most):
    groups = {key: [(key, i) for i in range(size)] for key, size in sizes.items()}
    chosen = contact_sheet.spread(groups, most)
    assert len(set(chosen)) == len(chosen) == min(most, sum(sizes.values()))
    for depth in range(3):  # of two values of a part, only one that is exhausted may lag behind
        taken, total = Counter(), Counter()
        for key, size in sizes.items():
            total[key[: depth + 1]] += size
            taken[key[: depth + 1]] += sum(k == key for k, _ in chosen)
        for one in total:
            for other in total:
                if one[:-1] == other[:-1] and taken[one] < taken[other] - 1:
                    assert taken[one] == total[one]


def test_within_a_group_clips_are_evenly_spaced():
    assert contact_sheet.spread({("train",): list(range(10))}, 2) == [2, 7]


def test_a_sheet_has_a_tagged_row_per_clip_and_crossed_cells_where_no_face_is():
    clips = [
        (a_video(label=REAL), clip_of(0.9, 0.0, 0.9)),
        (a_video(label=FAKE), clip_of(0.9)),
    ]
    sheet = contact_sheet.contact_sheet(clips, "title", side_px=300)
    row = contact_sheet.CAPTION_PX + 300 + 2 * contact_sheet.GAP_PX
    assert sheet.size == (3 * 302 + 2, contact_sheet.CAPTION_PX + 2 * row)
    tags = [sheet.getpixel((4, contact_sheet.CAPTION_PX + i * row + 6)) for i in range(2)]
    assert tags == [contact_sheet.TAG[REAL], contact_sheet.TAG[FAKE]]
    grid = [
        [sheet.getpixel((2 + 302 * x + 40, 48 + row * y + 20)) for x in range(3)] for y in range(2)
    ]
    face, none, rest = (200, 200, 200), contact_sheet.CELL, contact_sheet.BACKGROUND
    assert grid == [[face, none, face], [face, rest, rest]]


def test_a_crop_that_cannot_be_decoded_is_marked_not_fatal():
    clip = dataclasses.replace(clip_of(0.9), images=[b"junk"])
    sheet = contact_sheet.contact_sheet([(a_video(), clip)], "")
    assert sheet.getpixel((2, 48)) == contact_sheet.TAG[FAKE]


def test_a_caption_gives_times_and_scores():
    assert contact_sheet.caption(a_video(), clip_of(0.5, 0.0, 0.75)) == (
        *("train", "clip 0", "track 0", "0.00 to 0.50 s", "2 of 3 faces", "score 0.50 to 0.75"),
    )
    assert contact_sheet.caption(a_video(), clip_of(0.0))[-2:] == ("0 of 1 faces", "no score")


def test_a_long_name_leaves_room_for_the_facts():
    clips = [(a_video("very long " * 40), clip_of(0.9))]
    short = [(a_video("short"), clip_of(0.9))]
    long, short = (contact_sheet.contact_sheet(x, "") for x in (clips, short))
    facts = (430, contact_sheet.CAPTION_PX, 800, 2 * contact_sheet.CAPTION_PX)
    assert long.crop(facts).tobytes() == short.crop(facts).tobytes()


def test_the_command_draws_as_many_rows_as_asked_for(sample_shards, tmp_path, capsys):
    path = tmp_path / "new" / "sheet.png"
    assert main(["inspect", str(sample_shards), "--contact-sheet", str(path), "--rows", "5"]) == 0
    side = contact_sheet.SIDE_PX
    height = contact_sheet.CAPTION_PX + 5 * (contact_sheet.CAPTION_PX + side + 4)
    assert size_of(path) == (contact_sheet.LEAST_PX, height)  # four frames are less wide
    assert [path.name for path in path.parent.iterdir()] == ["sheet.png"]
    assert "5 of " in " ".join(capsys.readouterr().out.split())  # however long the path


def test_a_damaged_record_is_left_out_of_the_sheet(shard, tmp_path, capsys):
    flip(shard, 200)
    sheet = tmp_path / "sheet.png"
    flags = ["--contact-sheet", str(sheet), "--rows", "99"]
    assert main(["inspect", str(shard.parent), *flags]) == 1
    clips = sum(part["clips"] for part in inspect.load_info(shard.parent)["splits"].values())
    row = contact_sheet.CAPTION_PX + contact_sheet.SIDE_PX + 4
    assert size_of(sheet)[1] == contact_sheet.CAPTION_PX + (clips - 1) * row


# Frames as files.


def export(folder: Path, out: Path, *flags: str) -> int:
    return main(["inspect", str(folder), "--export-frames", str(out), *flags])


def test_exported_frames_are_the_bytes_in_the_shards(sample_shards, tmp_path, capsys):
    out = tmp_path / "frames"
    assert export(sample_shards, out) == 0
    with (out / "index.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(list(out.rglob("*.jpg")))
    expected = {
        (video.dataset, video.id, clip.index, clip.track, t): (video, clip)
        for split in SPLITS
        for video, clip in inspect.read_clips(sample_shards, split)
        for t in np.flatnonzero(clip.has_crop)
    }
    assert len(rows) == len(expected)
    for row in rows:
        numbers = tuple(int(row[name]) for name in ("clip", "track", "frame"))
        video, clip = expected[(row["dataset"], row["video"], *numbers)]
        t = numbers[-1]
        assert (out / row["path"]).read_bytes() == clip.images[t]
        assert (row["split"], row["method"]) == (video.split, video.method)
        assert row["label"] == ("fake" if video.label else "real")
        written = [
            np.float32(row[name]) for name in ("time_s", "x1", "y1", "x2", "y2", "confidence")
        ]
        assert written == [clip.times_s[t], *clip.boxes[t], clip.confidence[t]]


def test_exported_frames_lie_by_split_method_and_video(tmp_path):
    clips = [
        (a_video("a/b"), clip_of(0.9, 0.0, 0.9)),
        (a_video("c", FAKE, "val", "Face/Swap"), clip_of(0.9)),
        (a_video("d", FAKE, "val", "Deepfakes"), clip_of(0.9)),
    ]
    assert export_frames.export_frames(clips, tmp_path / "out") == 4
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("*.png"))
    patterns = [
        "train/real/a_b-????????/clip0_track0_frame0.png",
        "train/real/a_b-????????/clip0_track0_frame2.png",
        "val/Deepfakes/d-????????/clip0_track0_frame0.png",
        "val/Face_Swap-????????/c-????????/clip0_track0_frame0.png",
    ]
    assert all(Path(name).match(pattern) for name, pattern in zip(found, patterns, strict=True))


@pytest.mark.parametrize(
    "twins",
    [
        (a_video("a/b"), a_video("a_b")),
        (a_video("A"), a_video("a")),
        (a_video(".."), a_video(".")),
        (a_video("n" * 300 + "1"), a_video("m" * 300 + "1")),
        (a_video("a"), dataclasses.replace(a_video("a"), dataset="other")),
        (a_video("a"), a_video("a", FAKE, method="real")),
    ],
)
def test_videos_of_like_names_do_not_share_a_folder(tmp_path, twins):
    export_frames.export_frames([(video, clip_of(0.9)) for video in twins], tmp_path / "out")
    first, second = (tmp_path / "out").rglob("*.png")
    assert str(first.parent).lower() != str(second.parent).lower()


def test_only_what_is_asked_for_is_exported(sample_shards, tmp_path, capsys):
    out = tmp_path / "frames"
    assert export(sample_shards, out, "--split", "val", "--label", "fake") == 0
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["val"]
    methods = {path.name for path in (out / "val").iterdir()}
    assert "real" not in methods and len(methods) > 1
    assert export(sample_shards, tmp_path / "one", "--method", min(methods)) == 0
    assert {p.name for p in (tmp_path / "one").glob("*/*")} == {min(methods)}


def test_nothing_asked_for_is_a_problem_and_nothing_is_written(sample_shards, tmp_path, capsys):
    assert export(sample_shards, tmp_path / "frames", "--method", "Nonesuch") == 1
    out, err = capsys.readouterr()
    assert "none of its clips without a problem is asked for" in err and "Face clips" in out
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_only_when_told_to(sample_shards, tmp_path, capsys):
    out = tmp_path / "frames"
    out.mkdir()  # an empty folder is no obstacle
    assert export(sample_shards, out, "--split", "val") == 0
    before = sorted(out.rglob("*"))
    assert export(sample_shards, out, "--split", "test") == 1
    assert "--overwrite" in capsys.readouterr().err and sorted(out.rglob("*")) == before
    assert export(sample_shards, out, "--split", "test", "--overwrite") == 0
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["test"]
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_a_folder_that_is_no_export_is_never_replaced(folder, capsys):
    (folder / "index.csv").write_text("name,age\n")  # an index of something else
    before = sorted(folder.iterdir())
    assert export(folder, folder, "--overwrite") == 1
    assert "no earlier export" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_an_export_that_fails_leaves_nothing(tmp_path):
    def clips():
        yield a_video("a"), clip_of(0.9)
        yield a_video("b"), dataclasses.replace(clip_of(0.9), images=[b"junk"])

    with pytest.raises(ValueError, match="begins with the bytes 6a756e6b"):
        export_frames.export_frames(clips(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []

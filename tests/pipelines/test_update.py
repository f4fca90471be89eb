"""Update of an earlier result: only what must change is touched."""

import json
import shutil
from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from dfdetect.__main__ import main
from pipelines import inspect
from pipelines.beam import transforms
from pipelines.beam.output import PARTS
from pipelines.inspect.verify import verify
from pipelines.shards import layout
from pipelines.shards.layout import INDEX
from pipelines.shards.open import read_info
from pipelines.shards.write import Piece, read_part, write_records, write_shard

FLAGS = ["--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40", "--shards", "4"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, face_video) -> Path:
    """Six real videos and their shards, in data/ and out/."""
    root = tmp_path_factory.mktemp("untouched")
    (root / "data" / "real").mkdir(parents=True)
    for name in "abcdef":
        shutil.copy(face_video, root / "data" / "real" / f"{name}.mp4")
    assert run(root) == 0
    return root


@pytest.fixture
def data(tmp_path, untouched) -> Path:
    """A copy of them for this test alone."""
    return shutil.copytree(untouched, tmp_path, dirs_exist_ok=True)


def run(folder: Path, *flags: str) -> int:
    argv = ["--input", str(folder / "data"), "--output", str(folder / "out"), *FLAGS, *flags]
    return main(["preprocess", *argv])


@pytest.fixture
def extracted(monkeypatch) -> list[str]:
    """The keys of the videos that were decoded since."""
    keys: list[str] = []
    original = transforms.ExtractFaces._records

    def records(self, video, watch):
        keys.append(video.key)
        return original(self, video, watch)

    monkeypatch.setattr(transforms.ExtractFaces, "_records", records)
    return keys


def contents(out: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.glob("*.tfrecord")}


def test_a_new_video_is_the_only_one_decoded_and_its_shard_the_only_one_rewritten(data, extracted):
    before = contents(data / "out")
    shutil.copy(data / "data/real/a.mp4", data / "data/real/new.mp4")
    assert run(data, "--update") == 0
    assert extracted == ["folder/real/new.mp4"]
    after = contents(data / "out")
    changed = [name for name in after if after[name] != before[name]]
    (video,) = (
        video
        for split in ("train", "val", "test")
        for video, clip in inspect.read_clips(data / "out", split)
        if video.id == "real/new.mp4" and clip.index == 0
    )
    place = layout.shard_name(video.split, layout.shard_of(video.key, 4), 4)
    assert changed == [place] and after.keys() == before.keys()


def test_a_grown_data_set_is_what_making_it_all_at_once_gives(data, tmp_path):
    shutil.copy(data / "data/real/a.mp4", data / "data/real/new.mp4")
    assert run(data, "--update") == 0
    argv = ["--input", str(data / "out" / "manifest.csv"), "--output", str(data / "whole")]
    assert main(["preprocess", *argv, *FLAGS]) == 0
    grown, whole = contents(data / "out"), contents(data / "whole")
    assert {name: data for name, (data, _) in grown.items()} == {
        name: data for name, (data, _) in whole.items()
    }
    assert verify(data / "out", read_info(data / "out")) == []


def test_a_video_that_is_gone_or_changed_leaves_the_shards_as_it_was(data, extracted):
    (data / "data/real/a.mp4").unlink()
    with open(data / "data/real/b.mp4", "ab") as handle:
        handle.write(bytes(8))
    assert run(data, "--update") == 0
    assert extracted == ["folder/real/b.mp4"]
    ids = {
        video.id
        for split in ("train", "val", "test")
        for video, _ in inspect.read_clips(data / "out", split)
    }
    assert ids == {f"real/{name}.mp4" for name in "bcdef"}


def test_another_shard_count_deals_out_what_is_there_without_decoding(data, extracted):
    assert run(data, "--update", "--shards", "2") == 0
    assert extracted == []
    assert len(list((data / "out").glob("*.tfrecord"))) == 6
    assert len(list((data / "out" / INDEX).glob("*.json"))) == 6
    assert verify(data / "out", read_info(data / "out")) == []


def test_other_settings_make_everything_anew(data, extracted):
    assert run(data, "--update", "--crop-size", "64") == 0
    assert len(extracted) == 6


def test_overwriting_makes_everything_anew(data, extracted):
    assert run(data, "--overwrite") == 0
    assert len(extracted) == 6


def test_folders_may_have_names_that_would_be_patterns(tmp_path, face_video):
    odd = tmp_path / "faces [1080p]*?"
    (odd / "data" / "real").mkdir(parents=True)
    shutil.copy(face_video, odd / "data" / "real" / "a [x].mp4")
    assert run(odd) == 0
    shutil.copy(face_video, odd / "data" / "real" / "b [y].mp4")
    assert run(odd, "--update", "--shards", "1") == 0
    assert len(list((odd / "out").iterdir())) == 3 + 4 + 1  # shards, lists, job/
    assert verify(odd / "out", read_info(odd / "out")) == []
    assert run(odd, "--overwrite") == 0
    assert sorted(p.name for p in (odd / "out" / "job").iterdir()) == [
        "index",
        "metrics.json",
        "options.json",
    ]


def test_updating_what_is_not_there_yet_makes_it(tmp_path, face_video):
    (tmp_path / "data" / "real").mkdir(parents=True)
    shutil.copy(face_video, tmp_path / "data" / "real")
    assert run(tmp_path, "--update") == 0


def test_after_a_crash_among_the_shards_only_the_unfinished_are_written(
    data, extracted, monkeypatch, capsys
):
    """A rename that fails stands for any end between one shard and the next."""
    whole = contents(data / "out")
    shutil.rmtree(data / "out")
    rename, done = FileSystems.rename, []

    def rename_some(sources, targets):
        if targets[0].endswith("-of-00004.tfrecord"):
            if len(done) == 5:
                raise OSError("the network is gone")
            done.append(targets[0])
        return rename(sources, targets)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystems, "rename", rename_some)
        assert run(data) == 1
    assert "the network is gone" in capsys.readouterr().err
    assert not (data / "out" / "dataset_info.json").exists()
    assert not list((data / "out").glob("**/*.tmp"))
    finished = contents(data / "out")
    assert len(finished) == 5
    extracted.clear()
    assert run(data) == 0
    assert extracted == []
    after = contents(data / "out")
    assert {name: after[name] for name in finished} == finished  # not even written again
    assert {n: b for n, (b, _) in after.items()} == {n: b for n, (b, _) in whole.items()}
    assert not (data / "out" / PARTS).exists()


def test_a_shard_that_was_replaced_without_its_index_is_not_gone_on_from(data, extracted):
    """As after a crash between the two: the index is gone."""
    index = next(p for p in (data / "out" / INDEX).iterdir() if json.loads(p.read_text())["bytes"])
    held = len(json.loads(index.read_text())["pieces"])
    index.unlink()
    before = contents(data / "out")
    assert run(data, "--update") == 0
    assert len(extracted) == held > 0
    assert {n: b for n, (b, _) in contents(data / "out").items()} == {
        n: b for n, (b, _) in before.items()
    }


def test_a_shard_of_another_size_than_its_index_says_is_not_gone_on_from(data, extracted):
    shard = max((data / "out").glob("*.tfrecord"), key=lambda p: p.stat().st_size)
    before = shard.read_bytes()
    shard.write_bytes(before[:-1])
    assert run(data, "--update") == 0
    assert extracted and shard.read_bytes() == before


def test_a_piece_that_is_not_what_was_written_stops_the_shard_and_keeps_the_old_one(tmp_path):
    (tmp_path / INDEX).mkdir(parents=True)
    (tmp_path / "s.tfrecord").write_bytes(b"old")
    piece = write_records(str(tmp_path / "part"), [b"one", b"two"])
    (tmp_path / "part").write_bytes((tmp_path / "part").read_bytes().replace(b"one", b"ONE"))
    with pytest.raises(ValueError, match="part: the 38 bytes from 0 on are not those"):
        write_shard(str(tmp_path), "s.tfrecord", {"p": piece})
    assert (tmp_path / "s.tfrecord").read_bytes() == b"old"
    assert [p.name for p in tmp_path.glob("*.tmp")] == []


def test_a_second_attempt_at_a_shard_finds_the_first_ones_work(tmp_path):
    """As when a runner did not hear of the end of a step: its input may be gone already."""
    (tmp_path / INDEX).mkdir(parents=True)
    piece = write_records(str(tmp_path / "part"), [b"one"])
    first = write_shard(str(tmp_path), "s.tfrecord", {"p": piece})
    (tmp_path / "part").unlink()
    assert write_shard(str(tmp_path), "s.tfrecord", {"p": piece}) == first


def test_a_shard_is_its_pieces_wherever_they_lie(tmp_path):
    (tmp_path / INDEX).mkdir(parents=True)
    a = write_records(str(tmp_path / "a"), [b"one", b"two"])
    both = tmp_path / "both"
    b = write_records(str(tmp_path / "b"), [b"three"])
    both.write_bytes(b"junk" + (tmp_path / "b").read_bytes())
    moved = Piece(str(both), 4, b.bytes, b.sha256, b.records)
    write_shard(str(tmp_path), "s.tfrecord", {"b": moved, "a": a})
    whole = (tmp_path / "s.tfrecord").read_bytes()
    assert whole == (tmp_path / "b").read_bytes() + (tmp_path / "a").read_bytes()
    assert read_part(str(tmp_path / "s.tfrecord")).records == 3


def test_a_record_over_the_stated_size_rejects_its_video(data, monkeypatch):
    monkeypatch.setattr(transforms, "MAX_RECORD_BYTES", 1000)
    assert run(data, "--overwrite") == 1
    line = json.loads((data / "out" / "rejects.jsonl").read_text().splitlines()[0])
    assert line["reason"] == "oversized" and "Lower --frames-per-clip" in line["detail"]

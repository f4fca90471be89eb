"""The Beam job: the same bytes every time, and no video lost without a word."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from apache_beam.io.localfilesystem import LocalFileSystem

from pipelines import inspect, preprocess
from pipelines.datasets import DatasetError, find_videos
from pipelines.transforms import local_copy

FLAGS = ["--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40", "--shards", "2"]


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory, face_video) -> Path:
    """Four good videos of four people and four files that are no use."""
    root = tmp_path_factory.mktemp("own")
    for name in ("real/a", "real/b", "fake/c", "fake/a_b"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(face_video, root / f"{name}.mp4")
    (root / "real/empty.mp4").touch()
    (root / "real/text.mp4").write_text("no video\n")
    (root / "fake/cut.mp4").write_bytes(face_video.read_bytes()[:-3000])
    return root


@pytest.fixture(scope="module")
def faceless(own_folder, write_video):
    import numpy as np

    frames = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    return write_video(own_folder / "real" / "noise.mp4", frames)


@pytest.fixture(scope="module")
def shards(own_folder, faceless, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "data"
    assert preprocess.main(["--input", str(own_folder), "--output", str(out), *FLAGS]) == 0
    return out


def checksums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_every_video_is_in_a_shard_or_in_the_rejects(shards, own_folder):
    info = inspect.load_info(shards)
    rejects = [json.loads(line) for line in (shards / "rejects.jsonl").read_text().splitlines()]
    reasons = {Path(r["video"]).name: r["reason"] for r in rejects}
    assert reasons == {
        "empty.mp4": "unreadable",
        "text.mp4": "unreadable",
        "cut.mp4": "unreadable",
        "noise.mp4": "no_face",
    }
    assert info["rejects"] == {"unreadable": 3, "no_face": 1}
    kept = sum(split["videos"] for split in info["splits"].values())
    assert kept + len(rejects) == len(list(own_folder.rglob("*.mp4")))


def test_the_info_counts_what_the_shards_hold(shards):
    info = inspect.load_info(shards)
    for split, counts in info["splits"].items():
        clips = list(inspect.read_clips(shards, split))
        assert len(clips) == counts["clips"]
        assert len({video.key for video, _ in clips}) == counts["videos"]
        assert all(video.split == split for video, _ in clips)
    assert len(info["shards"]) == 6 and inspect.verify(shards, info) == []


def test_a_fake_is_in_the_split_of_the_people_it_was_made_from(shards):
    where = {
        Path(video.id).stem: split
        for split in ("train", "val", "test")
        for video, _ in inspect.read_clips(shards, split)
    }
    assert where["a"] == where["b"] == where["a_b"]


def test_another_run_gives_the_same_bytes(shards, own_folder, tmp_path):
    again = tmp_path / "again"
    assert preprocess.main(["--input", str(own_folder), "--output", str(again), *FLAGS]) == 0
    assert checksums(again) == checksums(shards)


def test_two_worker_processes_give_the_same_bytes(shards, own_folder, tmp_path):
    again = tmp_path / "two"
    argv = ["--input", str(own_folder), "--output", str(again), *FLAGS]
    assert preprocess.main([*argv, "--", "@multiprocess", "--direct_num_workers=2"]) == 0
    assert checksums(again) == checksums(shards)


def test_a_finished_data_set_is_not_overwritten_unasked(shards, own_folder, capsys):
    argv = ["--input", str(own_folder), "--output", str(shards), *FLAGS]
    before = checksums(shards)
    assert preprocess.main(argv) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert checksums(shards) == before


def test_overwriting_with_fewer_shards_leaves_no_old_one(shards, own_folder, tmp_path):
    out = tmp_path / "data"
    shutil.copytree(shards, out)
    argv = ["--input", str(own_folder), "--output", str(out), *FLAGS, "--overwrite"]
    assert preprocess.main([*argv, "--shards", "1"]) == 0
    assert sorted(p.name for p in out.glob("*.tfrecord")) == [
        f"{split}-00000-of-00001.tfrecord" for split in ("test", "train", "val")
    ]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--colour", "red"], "unrecognized arguments"),
        (["--shards", "0"], "must be at least 1"),
        (["--jpeg-quality", "0"], "--jpeg-quality is 0; it must be from 1 to 100"),
        (["--", "@nowhere"], "@nowhere: no such set of Beam flags"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(extra, message, own_folder, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        preprocess.main(["--input", str(own_folder), "--output", str(out), *extra])
    assert caught.value.code == 2 and message in capsys.readouterr().err
    assert not out.exists()


def test_an_input_that_is_no_data_set_says_what_was_found_and_expected(tmp_path, capsys):
    (tmp_path / "holiday").mkdir()
    argv = ["--input", str(tmp_path), "--output", str(tmp_path / "out")]
    assert preprocess.main(argv) == 1
    error = capsys.readouterr().err
    assert "holds holiday" in error and "real/ and fake/" in error


def test_a_run_without_any_face_fails_and_names_the_reasons_file(tmp_path, capsys):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    argv = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), *FLAGS]
    assert preprocess.main(argv) == 1
    assert "rejects.jsonl" in capsys.readouterr().err


def test_inspect_finds_and_names_a_flipped_bit(shards, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    victim = max(copy.glob("*.tfrecord"), key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    assert inspect.main([str(copy)]) == 1
    assert victim.name in capsys.readouterr().err


def test_inspect_draws_a_contact_sheet(shards, tmp_path, capsys):
    import cv2

    assert inspect.main([str(shards), "--contact-sheet", str(tmp_path / "sheet.png")]) == 0
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] == 8 * 96
    assert "fingerprint" in capsys.readouterr().out


def test_inspect_of_a_folder_without_a_data_set_says_what_to_do(tmp_path, capsys):
    assert inspect.main([str(tmp_path)]) == 1
    assert "Run `dfdetect preprocess`" in capsys.readouterr().err


class OtherScheme(LocalFileSystem):
    """The local disk under other://, standing for any remote file system."""

    @classmethod
    def scheme(cls):
        return "other"

    def open(self, path, *args, **kwargs):
        return super().open(path.removeprefix("other:/"), *args, **kwargs)


def test_a_remote_file_is_copied_for_reading_and_removed_even_after_an_error(tmp_path):
    source = tmp_path / "a.mp4"
    source.write_bytes(b"data")
    with pytest.raises(RuntimeError), local_copy(f"other:/{source}") as path:
        assert Path(path).read_bytes() == b"data"
        raise RuntimeError
    assert not Path(path).exists() and source.exists()


def _plus_plus(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_faceforensics_is_read_as_published(tmp_path):
    _plus_plus(
        tmp_path,
        [
            "original_sequences/youtube/c23/videos/000.mp4",
            "original_sequences/youtube/c23/videos/003.mp4",
            "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
            "manipulated_sequences/Deepfakes/c23/videos/odd.mp4",
        ],
    )
    (tmp_path / "splits").mkdir()
    for split, pairs in (("train", [["000", "003"]]), ("val", []), ("test", [["007", "008"]])):
        (tmp_path / "splits" / f"{split}.json").write_text(json.dumps(pairs))
    dataset = find_videos(tmp_path)
    fake = next(v for v in dataset.videos if v.label == 1)
    assert (fake.method, fake.compression, fake.identities) == ("Deepfakes", "c23", ("000", "003"))
    assert dataset.official == {"000": "train", "003": "train", "007": "test", "008": "test"}
    assert len(dataset.videos) == 3
    assert any("odd.mp4" in problem for problem in dataset.problems)
    assert any("2 listed real videos" in problem for problem in dataset.problems)


def test_an_official_list_with_an_id_in_two_splits_is_refused(tmp_path):
    _plus_plus(tmp_path, ["original_sequences/youtube/c23/videos/000.mp4"])
    (tmp_path / "splits").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / "splits" / f"{split}.json").write_text('[["000", "003"]]')
    with pytest.raises(DatasetError, match="000 is in train as well"):
        find_videos(tmp_path)

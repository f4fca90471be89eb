"""The Beam job: the same bytes every time, and no video lost without a word."""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from dfdetect.__main__ import main
from pipelines import inspect, preprocess
from pipelines.beam import progress, transforms
from pipelines.beam.output import PARTS
from pipelines.beam.settings import PreprocessSettings
from pipelines.clip import SPLITS
from pipelines.config import PreprocessConfig
from pipelines.inspect.records import read_clips
from pipelines.inspect.verify import verify
from pipelines.names import escape, unescape
from pipelines.shards.open import read_info
from pipelines.shards.write import read_part

FLAGS = ["--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40", "--shards", "2"]


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory, face_video) -> Path:
    """Four good videos of four people and four files that are no use."""
    root = tmp_path_factory.mktemp("ai-generated")  # a word that says nothing
    for name in ("real/a", "real/b", "fake/c", "fake/a_b"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(face_video, root / f"{name}.mp4")
    (root / "real/empty.mp4").touch()
    (root / "real/text.mp4").write_text("no video\n")
    (root / "fake/cut.mp4").write_bytes(face_video.read_bytes()[:-3000])
    return root


@pytest.fixture(scope="module")
def faceless(own_folder, write_video):
    frames = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    return write_video(own_folder / "real" / "noise.mp4", frames)


@pytest.fixture(scope="module")
def shards(own_folder, faceless, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "data"
    assert main(["preprocess", "--input", str(own_folder), "--output", str(out), *FLAGS]) == 0
    return out


def checksums(folder: Path, pattern: str = "*") -> dict[str, str]:
    """Of all that two runs must agree in: not of what job/ says of the run itself."""
    files = (path for path in folder.glob(pattern) if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_only_the_sample_data_are_called_generated(shards, sample_shards):
    assert [read_info(folder)["generated"] for folder in (shards, sample_shards)] == [False, True]


def test_every_video_is_in_a_shard_or_in_the_rejects(shards, own_folder):
    info = read_info(shards)
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
    info = read_info(shards)
    for split, counts in info["splits"].items():
        clips = list(inspect.read_clips(shards, split))
        assert len(clips) == counts["clips"]
        assert len({video.key for video, _ in clips}) == counts["videos"]
        assert all(video.split == split for video, _ in clips)
    assert len(info["shards"]) == 6 and verify(shards, info) == []


def test_a_fake_is_in_the_split_of_the_people_it_was_made_from(shards):
    where = {
        Path(video.id).stem: split
        for split in ("train", "val", "test")
        for video, _ in inspect.read_clips(shards, split)
    }
    assert where["a"] == where["b"] == where["a_b"]


def test_another_run_gives_the_same_bytes(shards, own_folder, tmp_path):
    again = tmp_path / "again"
    assert main(["preprocess", "--input", str(own_folder), "--output", str(again), *FLAGS]) == 0
    assert checksums(again) == checksums(shards)


def test_all_moments_of_two_splits_are_those_of_the_same_videos(shards, own_folder, tmp_path):
    """What a model that was trained on `shards` is measured on as it will be served."""
    out = tmp_path / "moments"
    argv = ["--input", str(own_folder), "--output", str(out), *FLAGS, "--sampling", "all"]
    assert main(["preprocess", *argv, "--splits", "val,test"]) == 0
    assert read_info(out)["fingerprint"] == read_info(shards)["fingerprint"]
    assert read_info(out)["splits"]["train"]["videos"] == 0
    for split in ("val", "test"):
        few = {(v.key, c.index) for v, c in inspect.read_clips(shards, split)}
        every = {(v.key, c.index) for v, c in inspect.read_clips(out, split)}
        assert {key for key, _ in every} == {key for key, _ in few}
        assert len(every) >= len(few)
    assert (out / "manifest.csv").read_text() == (shards / "manifest.csv").read_text()


@pytest.mark.parametrize("splits", ["", "val,dev"])
def test_splits_that_there_are_not_are_refused(splits):
    with pytest.raises(ValueError, match="--splits is .*train, val, test"):
        PreprocessSettings(splits=splits)


def test_the_order_of_the_videos_does_not_matter(shards, own_folder, tmp_path, monkeypatch):
    in_order = preprocess._split

    def reversed_order(*args):
        videos, rejects = in_order(*args)
        return videos[::-1], rejects

    monkeypatch.setattr(preprocess, "_split", reversed_order)
    again = tmp_path / "reversed"
    assert main(["preprocess", "--input", str(own_folder), "--output", str(again), *FLAGS]) == 0
    assert checksums(again, "*.tfrecord") == checksums(shards, "*.tfrecord")


# Slow enough for a kill in the middle.
LARGE = PreprocessConfig(frames_per_clip=16, crop_size=224, min_face=40)


@pytest.fixture(scope="module")
def whole(sample, tmp_path_factory) -> Path:
    """What a job gives that is not killed."""
    out = tmp_path_factory.mktemp("whole") / "data"
    preprocess.preprocess(str(sample), str(out), LARGE, PreprocessSettings(shards=2))
    return out


@pytest.mark.parametrize(
    "flags",
    [
        [],
        pytest.param(["--", "@multiprocess", "--direct_num_workers=2"], marks=pytest.mark.slow),
    ],
)
def test_a_killed_job_goes_on_where_it_was_and_ends_with_the_same_bytes(
    sample, whole, tmp_path, flags
):
    argv = ["--input", str(sample), *FLAGS, "--frames-per-clip", "16", "--crop-size", "224"]
    killed = tmp_path / "killed"
    # A group of its own, so that worker processes die with it.
    job = subprocess.Popen(
        [sys.executable, "-m", "dfdetect", "preprocess", *argv, "--output", str(killed), *flags],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(list(killed.glob(f"{PARTS}/*.tfrecord"))) < 3:
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait(20)
    assert not (killed / "dataset_info.json").exists()
    finished = {p: p.stat().st_mtime_ns for p in killed.glob(f"{PARTS}/*.tfrecord")}
    assert 3 <= len(finished) < 18
    said = io.StringIO()
    console = Console(file=said, width=200)
    extracted = []
    original = preprocess.ExtractFaces._records
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            preprocess.ExtractFaces,
            "_records",
            lambda self, video, watch: extracted.append(video.key) or original(self, video, watch),
        )
        preprocess.preprocess(
            str(sample), str(killed), LARGE, PreprocessSettings(shards=2), console=console
        )
    assert len(extracted) == 18 - len(finished)
    assert f"resuming: {len(finished)} of 18 videos are done already" in said.getvalue()
    assert checksums(killed) == checksums(whole)
    assert not (killed / PARTS).exists()


def test_a_full_disk_stops_the_job_and_rejects_no_video(
    shards, own_folder, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    argv = ["--input", str(own_folder), "--output", str(out), *FLAGS]
    write, written = transforms.write_records, []

    def write_while_there_is_room(path, records):
        if len(written) == 2:
            raise OSError(28, "No space left on device", path)
        written.append(path)
        return write(path, records)

    with monkeypatch.context() as patch:
        patch.setattr(transforms, "write_records", write_while_there_is_room)
        assert main(["preprocess", *argv]) == 1
    error = capsys.readouterr().err
    assert "No space left on device. Free some space" in error and "Traceback" not in error
    assert "run the same command again" in error
    assert len(list((out / PARTS).glob("*.tfrecord"))) == 2
    assert not (out / "dataset_info.json").exists()
    assert main(["preprocess", *argv]) == 0
    assert checksums(out) == checksums(shards)


def test_an_unforeseen_error_in_one_video_is_a_reject_that_names_it(
    own_folder, tmp_path, monkeypatch
):
    from pipelines.faces.extract import FaceExtractor

    original = FaceExtractor.clips

    def clips(self, path, watch):
        if path.endswith("a_b.mp4"):
            raise ZeroDivisionError("by chance")
        return original(self, path, watch)

    monkeypatch.setattr(FaceExtractor, "clips", clips)
    out = tmp_path / "out"
    assert main(["preprocess", "--input", str(own_folder), "--output", str(out), *FLAGS]) == 0
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    (odd,) = (line for line in rejects if line["reason"] == "error")
    assert odd["video"] == "folder/fake/a_b.mp4" and odd["detail"] == "ZeroDivisionError: by chance"


def test_a_part_is_made_anew_when_its_video_or_the_crops_would_change(own_folder, tmp_path):
    from dataclasses import replace

    from pipelines.beam.plan import part_name
    from pipelines.clip import Video

    path = shutil.copy(own_folder / "real" / "a.mp4", tmp_path)
    video = Video("a", path, 0, "set", split="train")
    config = PreprocessConfig()
    name = part_name(video, config)
    moved = shutil.move(path, tmp_path / "b.mp4")
    assert part_name(replace(video, uri=str(moved)), config) == name
    for change in ({"crop_size": 64}, {"faces": "all"}):
        assert part_name(replace(video, uri=str(moved)), replace(config, **change)) != name
    assert part_name(replace(video, uri=str(moved), split="test"), config) != name
    with open(moved, "ab") as handle:
        handle.write(b"\0")
    assert part_name(replace(video, uri=str(moved)), config) != name


def test_a_part_that_was_cut_off_is_refused(tmp_path, sample_shards):
    whole = max(sample_shards.glob("*.tfrecord"), key=lambda p: p.stat().st_size)
    cut = tmp_path / "cut.tfrecord"
    cut.write_bytes(whole.read_bytes()[:-1])
    assert read_part(str(whole)).records > 0
    with pytest.raises(ValueError, match="cut.tfrecord: ends within record"):
        read_part(str(cut))


def test_a_written_manifest_makes_the_same_shards_again(shards, own_folder, tmp_path):
    again = tmp_path / "again"
    argv = ["--input", str(shards / "manifest.csv"), "--output", str(again), *FLAGS]
    assert main(["preprocess", *argv]) == 0
    assert checksums(again, "*.tfrecord") == checksums(shards, "*.tfrecord")


def test_a_grown_data_set_keeps_the_splits_of_the_earlier_one(shards, own_folder, tmp_path):
    grown = tmp_path / "grown"  # also elsewhere, as after a move to another disk
    shutil.copytree(own_folder, grown)
    for name in "defgh":
        shutil.copy(grown / "real" / "a.mp4", grown / "real" / f"{name}.mp4")
    argv = ["--input", str(grown), "--output", str(tmp_path / "out"), *FLAGS, "--seed", "3"]
    assert main(["preprocess", *argv, "--keep-splits", str(shards)]) == 0

    def splits(folder):
        return {
            video.key: video.split
            for split in ("train", "val", "test")
            for video, _ in inspect.read_clips(folder, split)
        }

    before, after = splits(shards), splits(tmp_path / "out")
    assert len(after) == len(before) + 5
    assert {key: after[key] for key in before} == before


def test_keeping_the_splits_of_what_is_no_data_set_says_what_to_give(own_folder, tmp_path, capsys):
    argv = ["--input", str(own_folder), "--output", str(tmp_path / "out"), *FLAGS]
    assert main(["preprocess", *argv, "--keep-splits", str(tmp_path)]) == 1
    assert "Give the --output of an earlier" in capsys.readouterr().err


def test_methods_and_compressions_choose_what_is_taken(sample, tmp_path, capsys):
    argv = ["--input", str(sample), *FLAGS, "--methods", "faceswap", "--compression", "c23"]
    assert main(["preprocess", *argv, "--output", str(tmp_path / "out")]) == 0
    info = read_info(tmp_path / "out")
    methods = {name for part in info["splits"].values() for name in part["methods"]}
    assert methods == {"original", "FaceSwap"}
    argv = ["--input", str(sample), "--output", str(tmp_path / "none"), "--methods", "Deepfaks"]
    assert main(["preprocess", *argv]) == 1
    assert "there are: FaceSwap, SelfBlend" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_audit_names_near_duplicates_across_splits_and_what_it_could_not_read(
    tmp_path, write_video, astronaut, face_video, capsys
):
    import cv2

    root, out = tmp_path / "set", tmp_path / "out"
    (root / "real").mkdir(parents=True)
    for name in ("a", "copy"):
        shutil.copy(face_video, root / "real" / f"{name}.mp4")
    # The same frames in another file.
    (root / "real" / "b.mp4").write_bytes(face_video.read_bytes() + b"\0\0\0\x08free")
    # The same recording, smaller, darker and worse.
    other = [cv2.resize(np.roll(astronaut, i, axis=1), (160, 160)) for i in range(30)]
    write_video(root / "real" / "c.mp4", (np.stack(other) * 0.8).astype(np.uint8), crf="33")
    write_video(root / "real" / "d.mp4", np.stack([astronaut[::-1]] * 12))
    (root / "real" / "empty.mp4").touch()
    argv = ["--input", str(root), "--output", str(out), *FLAGS, "--audit-duplicates"]
    assert main(["preprocess", *argv, "--split-fractions", "0.5,0.5,0"]) == 0
    rows = csv.DictReader((out / "manifest.csv").read_text().splitlines())
    placed = {row["id"]: row["split"] for row in rows}
    same = ("real/a.mp4", "real/b.mp4", "real/c.mp4")
    assert placed.keys() == {f"real/{name}.mp4" for name in ("a", "b", "c", "d", "empty")}
    rejects = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert [(r["video"], r["detail"]) for r in rejects if r["reason"] == "same_content"] == [
        (
            "folder/real/copy.mp4",
            "folder/real/copy.mp4 has the bytes of folder/real/a.mp4, which is kept. Remove one.",
        )
    ]
    crossing = {frozenset((x, y)) for x in same for y in same if x < y and placed[x] != placed[y]}
    duplicates = json.loads((out / "split_audit.json").read_text())["duplicates"]
    found = {
        frozenset((p["a"].removeprefix("folder/"), p["b"].removeprefix("folder/")))
        for p in duplicates["pairs"]
    }
    assert found == crossing and crossing
    assert duplicates["unreadable"] == ["folder/real/empty.mp4"]
    assert "look the same" in capsys.readouterr().out
    assert not (out / "video_hashes.json").exists()


def test_the_same_bytes_called_real_and_fake_stop_the_audit(tmp_path, face_video, capsys):
    for name in ("real/a", "fake/b"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        shutil.copy(face_video, tmp_path / "set" / f"{name}.mp4")
    argv = ["--input", str(tmp_path / "set"), "--output", str(tmp_path / "out"), *FLAGS]
    assert main(["preprocess", *argv, "--audit-duplicates"]) == 1
    error = capsys.readouterr().err
    assert "real/a.mp4: real, but it has the bytes of folder/fake/b.mp4, which is fake" in error
    assert not (tmp_path / "out/dataset_info.json").exists()


ODD_NAMES = (
    *(b"a;b", b" a ", b"caf\xe9", rb"caf\xe9", b"-a", b"[1]", b"a\nb", b"it's", b'"q"', b"a,b"),
    *(b"\x1b[31m", "a\u202eb".encode(), b"100%", b"*", b"?", b"{x}", b"\x1f", b"a" * 250),
)


@pytest.fixture(scope="module")
def odd_shards(tmp_path_factory, face_video) -> Path:
    """Made of a video of each odd name, and of some that cannot be used, in a folder with one."""
    root = tmp_path_factory.mktemp("odd") / os.fsdecode(b"caf\xe9;")
    (root / "real").mkdir(parents=True)
    for name in ODD_NAMES:
        shutil.copy(face_video, root / "real" / f"{os.fsdecode(name)}.mp4")
        (root / "real" / f"bad{os.fsdecode(name[:99])}.mov").write_text("no video\n")
    out = tmp_path_factory.mktemp("odd-shards") / "data"
    assert main(["preprocess", "--input", str(root), "--output", str(out), *FLAGS]) == 0
    return out


def test_every_file_name_gets_into_shards_lists_and_reports(odd_shards, tmp_path, capsys):
    info = read_info(odd_shards)
    assert sum(split["videos"] for split in info["splits"].values()) == len(ODD_NAMES)
    names = {escape(os.fsdecode(name)) for name in ODD_NAMES}
    found = {v.id: v.identities for split in SPLITS for v, _ in read_clips(odd_shards, split)}
    ids = {escape(f"real/{os.fsdecode(name)}.mp4") for name in ODD_NAMES}
    assert found.keys() == ids and {name for (name,) in found.values()} == names
    rejects = [*map(json.loads, (odd_shards / "rejects.jsonl").read_text().splitlines())]
    assert len(rejects) == len(ODD_NAMES)
    assert all(os.path.isfile(unescape(reject["uri"])) for reject in rejects)
    assert verify(odd_shards, info) == []
    sheet, frames = tmp_path / "sheet.png", tmp_path / "frames"
    argv = ["--contact-sheet", str(sheet), "--export-frames", str(frames), "--rows", "99"]
    assert main(["inspect", str(odd_shards), *argv]) == 0
    assert sheet.is_file() and (frames / "index.csv").is_file()


def test_a_manifest_with_odd_names_makes_the_same_shards_again(odd_shards, tmp_path):
    out = tmp_path / "again"
    argv = ["--input", str(odd_shards / "manifest.csv"), "--output", str(out), *FLAGS]
    assert main(["preprocess", *argv]) == 0
    assert checksums(out, "*.tfrecord") == checksums(odd_shards, "*.tfrecord")
    assert checksums(out, "manifest.csv") == checksums(odd_shards, "manifest.csv")


def test_a_data_set_of_one_group_says_which_splits_are_empty_and_why(tmp_path, face_video, capsys):
    root, out = tmp_path / "set", tmp_path / "out"
    for name in ("real/p1/v", "real/p2/v", "fake/swap/v"):
        (root / name).parent.mkdir(parents=True)
        shutil.copy(face_video, root / f"{name}.mp4")
    argv = ["--input", str(root), "--output", str(out), *FLAGS]
    assert main(["preprocess", *argv]) == 0
    note = "folder: no video in val and test: its 3 videos are 1 group(s) that share people"
    assert note in capsys.readouterr().out.replace("\n", " ")
    assert any(note in problem for problem in read_info(out)["problems"])


def test_what_the_lists_name_and_is_not_there_is_in_the_audit(sample, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(sample, root)
    gone = next(root.glob("manipulated_sequences/FaceSwap/c23/videos/*.mp4"))
    gone.unlink()
    argv = ["--input", str(root), "--output", str(tmp_path / "out"), *FLAGS]
    assert main(["preprocess", *argv]) == 0
    audited = json.loads((tmp_path / "out" / "split_audit.json").read_text())
    assert audited["missing"] == {"faceforensics": [gone.relative_to(root).as_posix()]}


def test_a_video_that_takes_too_long_is_a_reject(own_folder, tmp_path):
    argv = ["--input", str(own_folder), "--output", str(tmp_path / "out"), *FLAGS]
    assert main(["preprocess", *argv, "--time-limit", "0.001"]) == 1
    reasons = read_info(tmp_path / "out")["rejects"]
    assert reasons["timeout"] > 0 and set(reasons) <= {"timeout", "unreadable"}


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_what_is_done_and_rejected(tmp_path, terminal, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.05)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
    said = io.StringIO()
    console = Console(file=said, force_terminal=terminal, width=120)
    (tmp_path / "earlier.tfrecord").touch()
    (tmp_path / "of-other-settings.tfrecord").touch()
    keys = {"earlier", "now", "bad", "later"}
    with progress.display(str(tmp_path), keys, ".tfrecord", 0, console):
        (tmp_path / "now.tfrecord").touch()
        (tmp_path / "bad.tfrecord.reject").touch()
        time.sleep(0.3)
    assert ("3/4" if terminal else "3 of 4 videos, 1 rejected") in said.getvalue()
    assert "1 rejected" in said.getvalue() and "videos/s" in said.getvalue()


def test_a_finished_data_set_is_not_overwritten_unasked(shards, own_folder, capsys):
    argv = ["--input", str(own_folder), "--output", str(shards), *FLAGS]
    before = checksums(shards)
    assert main(["preprocess", *argv]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert checksums(shards) == before


def test_overwriting_with_fewer_shards_leaves_no_old_one(shards, own_folder, tmp_path):
    out = tmp_path / "data"
    shutil.copytree(shards, out)
    argv = ["--input", str(own_folder), "--output", str(out), *FLAGS, "--overwrite"]
    assert main(["preprocess", *argv, "--shards", "1"]) == 0
    assert sorted(p.name for p in out.glob("*.tfrecord")) == [
        f"{split}-00000-of-00001.tfrecord" for split in ("test", "train", "val")
    ]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--colour", "red"], "unrecognized arguments"),
        (["--shards", "0"], "--shards is 0; it must be from 1 to 99999"),
        (["--jpeg-quality", "0"], "--jpeg-quality is 0; it must be from 1 to 100"),
        (["--split-fractions", "0.5,0.5"], "three shares that add up to 1"),
        (["--split-fractions", "a,b,c"], "three shares that add up to 1"),
        (["--update", "--overwrite"], "leave one out"),
        (["--", "@nowhere"], "@nowhere: no such set of Beam flags"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(extra, message, own_folder, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main(["preprocess", "--input", str(own_folder), "--output", str(out), *extra])
    assert caught.value.code == 2 and message in capsys.readouterr().err
    assert not out.exists()


def test_pictures_become_clips_of_one_frame_and_bad_ones_rejects(tmp_path, astronaut):
    face, root = Image.fromarray(astronaut), tmp_path / "pictures"
    for folder in ("real", "fake"):
        (root / folder).mkdir(parents=True)
    face.save(root / "real" / "upright.png")
    lying = Image.Exif()
    lying[0x0112] = 6  # shown turned by a quarter, clockwise
    face.rotate(90).save(root / "real" / "lying.jpg", exif=lying, quality=95)
    face.save(root / "fake" / "upright_x.webp")
    (root / "fake" / "torn.jpg").write_bytes((root / "real" / "lying.jpg").read_bytes()[:3000])
    Image.new("RGB", (99, 99)).save(root / "fake" / "wall.bmp")
    out = tmp_path / "data"
    flags = ["--split-fractions", "1,0,0", "--audit-duplicates"]
    assert main(["preprocess", "--input", str(root), "--output", str(out), *FLAGS, *flags]) == 0
    clips = {video.id: clip for video, clip in read_clips(out, "train")}
    assert {len(clip.images) for clip in clips.values()} == {1}
    upright, turned = clips["real/upright.png"], clips["real/lying.jpg"]
    np.testing.assert_allclose(turned.landmarks, upright.landmarks, atol=2)
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert [(line["video"], line["reason"]) for line in rejects] == [
        ("folder/fake/torn.jpg", "unreadable"),
        ("folder/fake/wall.bmp", "no_face"),
    ]


def test_an_input_that_is_no_data_set_says_what_was_found_and_expected(tmp_path, capsys):
    (tmp_path / "holiday").mkdir()
    argv = ["--input", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(["preprocess", *argv]) == 1
    error = capsys.readouterr().err
    assert "holds holiday" in error and "real/ and fake/" in error


def test_a_run_without_any_face_fails_and_names_the_reasons_file(tmp_path, capsys):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    argv = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), *FLAGS]
    assert main(["preprocess", *argv]) == 1
    assert "rejects.jsonl" in capsys.readouterr().err

"""The adapters on trees with the names of the published data sets; the files are empty."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.__main__ import main
from pipelines import names
from pipelines.clip import FAKE, REAL, Video
from pipelines.datasets import (
    ADAPTERS,
    Dataset,
    DatasetError,
    find_videos,
    listing,
    scan,
    select,
    write_manifest,
)

REALS = "original_sequences/youtube"
FAKES = "manipulated_sequences"
ACTORS = "original_sequences/actors"
DFD_REAL = "24__outside_talking_still_laughing.mp4"
DFD_FAKE = "24_23__outside_talking_still_laughing__YR5OVD4S.mp4"
CELEB_LIST = "List_of_testing_videos.txt"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(root: Path, name: str, content: str | bytes | dict | list) -> Path:
    """A file with this text, or with this as JSON."""
    path = touch(root, name) / name
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def only(root: str | Path, adapter: str = "auto") -> Dataset:
    """The one dataset found."""
    (dataset,) = find_videos(root, adapter)
    return dataset


def by_id(dataset: Dataset) -> dict[str, Video]:
    return {video.id: video for video in dataset.videos}


def reasons(dataset: Dataset) -> list[tuple[str, str]]:
    return [(reject.video, reject.reason) for reject in dataset.rejects]


def write_splits(folder: Path, train=(("000", "003"),), val=(), test=()) -> None:
    for name, pairs in (("train", train), ("val", val), ("test", test)):
        write(folder, f"splits/{name}.json", [list(pair) for pair in pairs])


# --- FaceForensics++


@pytest.fixture
def plus_plus(tmp_path) -> Path:
    """Two people in one method and one compression, with the official lists."""
    root = tmp_path / "ff"
    write_splits(root, test=(("007", "008"),))
    return touch(
        root,
        f"{REALS}/c23/videos/000.mp4",
        f"{REALS}/c23/videos/003.mp4",
        f"{FAKES}/Deepfakes/c23/videos/000_003.mp4",
    )


def test_a_set_is_generated_by_its_mark_and_not_by_a_word_in_its_path(plus_plus, tmp_path):
    published = plus_plus.rename(tmp_path / "ai-generated sample")
    assert not only(published).generated
    touch(published, "sample-data.json")
    assert only(published).generated


def test_a_list_of_generated_videos_is_generated_wherever_it_lies(plus_plus, tmp_path):
    own = touch(tmp_path / "own", "real/a.mp4", "fake/b.mp4")
    listed = [*only(plus_plus).videos, *only(own).videos]
    lists = {"some.csv": listed[:1], "mixed.csv": listed, "own.csv": only(own).videos}
    touch(plus_plus, "sample-data.json")
    for name, videos in lists.items():
        (tmp_path / name).write_bytes(write_manifest(videos))
    generated = {name: only(tmp_path / name).generated for name in lists}
    assert generated == {"some.csv": True, "mixed.csv": True, "own.csv": False}


def test_faceforensics_is_read_as_published(plus_plus):
    dataset = only(plus_plus)
    assert list(by_id(dataset)) == [
        "Deepfakes/c23/000_003",
        "original/c23/000",
        "original/c23/003",
    ]
    assert by_id(dataset)["Deepfakes/c23/000_003"] == Video(
        id="Deepfakes/c23/000_003",
        uri=str(plus_plus / f"{FAKES}/Deepfakes/c23/videos/000_003.mp4"),
        label=FAKE,
        dataset="faceforensics",
        method="Deepfakes",
        compression="c23",
        identities=("000", "003"),
        source_id="000",
    )
    real = by_id(dataset)["original/c23/003"]
    assert (real.label, real.method, real.identities) == (REAL, "original", ("003",))
    assert dataset.official == {"000": "train", "003": "train", "007": "test", "008": "test"}


def test_a_partial_faceforensics_says_what_of_each_folder_is_missing(plus_plus):
    dataset = only(plus_plus)
    fakes = [f"{FAKES}/Deepfakes/c23/videos/{n}.mp4" for n in ("003_000", "007_008", "008_007")]
    reals = [f"{REALS}/c23/videos/{n}.mp4" for n in ("007", "008")]
    assert dataset.missing == tuple(sorted(fakes + reals))
    notes = "\n".join(dataset.notes)
    assert f"{REALS}/c23/videos: 2 of 4 listed videos are not there: 007, 008" in notes
    assert f"{FAKES}/Deepfakes/c23/videos: 3 of 4 listed videos are not there: 003_000" in notes


def test_wholly_absent_parts_of_faceforensics_are_named_in_one_note(tmp_path):
    touch(tmp_path, f"{FAKES}/FaceSwap/c40/videos/000_003.mp4")
    (note,) = (note for note in only(tmp_path).notes if "nothing there of" in note)
    assert note.endswith(
        f"the real videos ({REALS}), Deepfakes, Face2Face, NeuralTextures, FaceShifter."
    )


def test_a_method_that_the_lists_do_not_know_misses_nothing(plus_plus):
    touch(plus_plus, f"{FAKES}/SelfBlend/c23/videos/000_000.mp4")
    dataset = only(plus_plus)
    assert by_id(dataset)["SelfBlend/c23/000_000"].identities == ("000",)
    assert not any("SelfBlend" in file for file in dataset.missing)


def test_a_generated_set_says_so_and_is_not_called_partial(plus_plus):
    touch(plus_plus, "sample-data.json")
    notes = only(plus_plus).notes
    assert any("says nothing about real deepfakes" in note for note in notes)
    assert not any("nothing there of" in note for note in notes)


def test_misnamed_files_of_faceforensics_are_rejected_by_name(plus_plus):
    touch(
        plus_plus,
        f"{REALS}/c23/videos/000_003.mp4",
        f"{FAKES}/Deepfakes/c23/videos/odd.mp4",
        f"{FAKES}/Deepfakes/c23/videos/003_000.avi",
    )
    dataset = only(plus_plus)
    assert reasons(dataset) == [
        (f"faceforensics/{FAKES}/Deepfakes/c23/videos/003_000.avi", "misnamed"),
        (f"faceforensics/{FAKES}/Deepfakes/c23/videos/odd.mp4", "misnamed"),
        (f"faceforensics/{REALS}/c23/videos/000_003.mp4", "misnamed"),
    ]
    assert "expected <target>_<source>.mp4" in dataset.rejects[1].detail


def test_raw_and_c0_are_the_same_and_a_video_in_both_is_kept_once(plus_plus):
    touch(
        plus_plus,
        f"{REALS}/raw/videos/000.mp4",
        f"{REALS}/c0/videos/000.mp4",
        f"{REALS}/c0/videos/003.mp4",
    )
    dataset = only(plus_plus)
    assert by_id(dataset)["original/raw/000"].uri.endswith("c0/videos/000.mp4")
    assert by_id(dataset)["original/raw/003"].compression == "raw"
    (twin,) = dataset.rejects
    assert (twin.video, twin.reason) == ("faceforensics/original/raw/000", "duplicate_id")
    assert twin.uri.endswith("raw/videos/000.mp4") and "c0/videos/000.mp4" in twin.detail


def test_videos_of_masks_are_no_videos(plus_plus):
    touch(
        plus_plus,
        f"{FAKES}/Deepfakes/masks/videos/000_003.mp4",
        f"{FAKES}/DeepFakeDetection/masks/videos/{DFD_FAKE}",
        f"{FAKES}/DeepFakeDetection/c23/videos/{DFD_FAKE}",
    )
    plus, google = find_videos(plus_plus)
    assert [v.compression for v in (*plus.videos, *google.videos)] == ["c23"] * 4
    assert reasons(plus) == [(f"faceforensics/{FAKES}/Deepfakes/masks/videos/000_003.mp4", "mask")]
    assert [reject.reason for reject in google.rejects] == ["mask"]


@pytest.mark.parametrize("place", ["", "ff/", "ff/splits"])
def test_official_lists_are_also_found_beside_the_root_and_in_it(tmp_path, place):
    touch(tmp_path, f"ff/{REALS}/c23/videos/000.mp4")
    write_splits(tmp_path / "lists")
    target = tmp_path / (place or "splits")
    target.mkdir(exist_ok=True)
    for path in (tmp_path / "lists" / "splits").iterdir():
        path.rename(target / path.name)
    assert only(tmp_path / "ff").official == {"000": "train", "003": "train"}


@pytest.mark.parametrize(
    ("real", "fake", "compression"),
    [
        (f"{REALS}/c23/000.mp4", f"{FAKES}/Deepfakes/c23/000_003.mp4", "c23"),
        (f"{REALS}/000.mp4", f"{FAKES}/Deepfakes/000_003.mp4", ""),
        (f"{REALS}/videos/000.mp4", f"{FAKES}/Deepfakes/videos/000_003.mp4", ""),
        (f"{REALS.upper()}/C40/000.mp4", f"{FAKES.title()}/deepfakes/c40/x/000_003.mp4", "c40"),
        ("original/000.mp4", "Deepfakes/000_003.mp4", ""),
        ("Original/c0/000.mp4", "deepfakes/raw/videos/000_003.mp4", "raw"),
    ],
)
def test_faceforensics_is_read_without_its_usual_levels(tmp_path, real, fake, compression):
    write_splits(tmp_path)
    dataset = only(touch(tmp_path, real, fake))
    assert (dataset.name, dataset.rejects) == ("faceforensics", ())
    there = [(v.method, v.label, v.compression, v.uri) for v in dataset.videos]
    assert there == [
        ("Deepfakes", FAKE, compression, str(tmp_path / fake)),
        ("original", REAL, compression, str(tmp_path / real)),
    ]
    assert f"{os.path.dirname(real)}/003.mp4" in dataset.missing


def test_one_method_s_folder_without_videos_does_not_hide_it(plus_plus):
    touch(plus_plus, f"{FAKES}/FaceShifter/c23/000_003.mp4", f"{FAKES}/Face2Face/003_000.mp4")
    there = {video.id for video in only(plus_plus).videos if video.label == FAKE}
    assert there == {"Deepfakes/c23/000_003", "FaceShifter/c23/000_003", "Face2Face/003_000"}


def test_the_flat_copy_of_kaggle_is_both_of_its_data_sets(tmp_path):
    root = tmp_path / "FaceForensics++_C23"
    methods = ("Deepfakes", "Face2Face", "FaceShifter", "FaceSwap", "NeuralTextures")
    touch(root, "original/000.mp4", *(f"{method}/000_003.mp4" for method in methods))
    touch(root, f"DeepFakeDetection/{DFD_FAKE}")
    write(root, "csv/FF++_Metadata.csv", ",File Path,Label\n0,original/000.mp4,REAL\n")
    plus, google = find_videos(root)
    assert {video.method for video in plus.videos} == {*methods, "original"}
    assert [video.id for video in google.videos] == [f"DeepFakeDetection/c23/{DFD_FAKE[:-4]}"]
    assert {v.compression for v in (*plus.videos, *google.videos)} == {"c23"}
    assert plus.rejects == google.rejects == ()
    assert not any("nothing there of" in note for note in plus.notes)


def test_a_folder_called_original_alone_is_no_flat_copy(tmp_path):
    touch(tmp_path, "original/000.mp4", "real/a.mp4")
    dataset = only(tmp_path)
    assert dataset.name == "folder" and reasons(dataset) == [
        ("folder/original/000.mp4", "unclaimed")
    ]


def test_the_same_compression_in_two_trees_loses_no_video(plus_plus):
    touch(plus_plus, "original/c23/007.mp4", f"{REALS}/C23/008.mp4", "Deepfakes/c23/007_008.mp4")
    there = {video.id for video in only(plus_plus).videos}
    assert there >= {"original/c23/000", "original/c23/007", "original/c23/008"}
    assert there >= {"Deepfakes/c23/000_003", "Deepfakes/c23/007_008"}


@pytest.mark.parametrize("kept", [(), ("train.json",), ("train.json", "test.json")])
def test_without_all_three_lists_there_are_no_official_splits_but_a_note(plus_plus, kept):
    for path in (plus_plus / "splits").iterdir():
        if path.name not in kept:
            path.unlink()
    dataset = only(plus_plus)
    assert dataset.official == {} and dataset.missing == ()
    assert any("no " in n and "val.json" in n and "all three" in n for n in dataset.notes)


def test_an_official_list_with_an_id_in_two_splits_is_refused(plus_plus):
    write_splits(plus_plus, val=(("003", "004"),))
    with pytest.raises(DatasetError, match=r"val\.json: id 003 is in train as well"):
        find_videos(plus_plus)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[", r"val\.json: is no JSON"),
        (b"\xff\xfe", r"val\.json: cannot be read as UTF-8"),
        ({"000": "003"}, r"val\.json: holds .*expected a JSON list of pairs"),
        ([["000", "003", "004"]], r"val\.json: holds .*expected a JSON list of pairs"),
        ([[0, 3]], r"val\.json: holds '\[0, 3\]'; expected a JSON list of pairs"),
    ],
)
def test_a_damaged_official_list_is_named(plus_plus, content, message):
    write(plus_plus, "splits/val.json", content)
    with pytest.raises(DatasetError, match=message):
        find_videos(plus_plus)


def test_faceforensics_with_nothing_but_wrong_names_says_what_was_found(tmp_path):
    touch(tmp_path, f"{FAKES}/Deepfakes/c23/videos/a.mp4")
    with pytest.raises(DatasetError, match=r"no videos found, 1 files left out as misnamed \(a\."):
        find_videos(tmp_path)


def test_faceforensics_of_which_only_the_lists_are_there_says_what_is_missing(tmp_path):
    (tmp_path / REALS / "c23" / "videos").mkdir(parents=True)
    write_splits(tmp_path)
    with pytest.raises(DatasetError, match=r"no videos found, 2 listed files not there"):
        find_videos(tmp_path)


# --- DeepFakeDetection


def test_faceforensics_with_actors_gives_two_datasets(plus_plus):
    touch(
        plus_plus,
        f"{ACTORS}/raw/videos/{DFD_REAL}",
        f"{FAKES}/DeepFakeDetection/c0/videos/{DFD_FAKE}",
    )
    plus, google = find_videos(plus_plus)
    assert (plus.name, google.name, google.deal) == ("faceforensics", "dfd", "identity")
    assert not any("DeepFakeDetection" in video.uri for video in plus.videos)
    fake, real = google.videos
    assert fake == Video(
        id=f"DeepFakeDetection/raw/{DFD_FAKE[:-4]}",
        uri=str(plus_plus / f"{FAKES}/DeepFakeDetection/c0/videos/{DFD_FAKE}"),
        label=FAKE,
        dataset="dfd",
        method="DeepFakeDetection",
        compression="raw",
        identities=("24", "23"),
        source_id=DFD_REAL[:-4],
    )
    assert (real.label, real.method, real.identities) == (REAL, "original", ("24",))
    assert (real.id, real.source_id) == (f"original/raw/{DFD_REAL[:-4]}", fake.source_id)


@pytest.mark.parametrize(
    ("real", "fake", "compression"),
    [
        (f"actors/c23/videos/{DFD_REAL}", f"DeepFakeDetection/c23/videos/{DFD_FAKE}", "c23"),
        (f"DFD_original_sequences/{DFD_REAL}", f"DFD_manipulated_sequences/{DFD_FAKE}", ""),
        (
            f"DFD_original sequences/{DFD_REAL}",
            f"DFD_manipulated_sequences/DFD_manipulated_sequences/{DFD_FAKE}",
            "",
        ),
    ],
)
def test_deepfakedetection_is_read_standing_alone(tmp_path, real, fake, compression):
    dataset = only(touch(tmp_path, real, fake))
    assert dataset.name == "dfd" and not dataset.rejects
    assert [v.label for v in dataset.videos] == [FAKE, REAL]
    assert {v.compression for v in dataset.videos} == {compression}


@pytest.mark.parametrize(
    "name",
    [
        f"actors/{DFD_FAKE}",
        f"DeepFakeDetection/{DFD_REAL}",
        "DeepFakeDetection/24_23__scene.mp4",
        "actors/24__scene (1).mp4",
        "actors/24_scene.mp4",
    ],
)
def test_misnamed_files_of_deepfakedetection_are_rejected(tmp_path, name):
    dataset = only(touch(tmp_path, f"actors/{DFD_REAL}", name))
    assert reasons(dataset) == [(f"dfd/{name}", "misnamed")]


def test_a_data_set_of_one_class_says_so(tmp_path):
    dataset = only(touch(tmp_path, f"DeepFakeDetection/{DFD_FAKE}"))
    assert dataset.notes == ("dfd: no real videos; both classes are needed to train.",)


def test_deepfakedetection_without_videos_says_what_was_expected(tmp_path):
    (tmp_path / "actors").mkdir()
    with pytest.raises(DatasetError, match="no videos found. Expected original_sequences/actors"):
        find_videos(tmp_path)


# --- Celeb-DF


@pytest.fixture
def celeb(tmp_path) -> Path:
    return touch(
        tmp_path,
        "Celeb-real/id0_0000.mp4",
        "Celeb-real/id1_0000.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
        "YouTube-real/00170.mp4",
    )


def test_celeb_df_is_read_as_published(celeb):
    write(celeb, CELEB_LIST, "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4")
    dataset = only(celeb)
    assert (dataset.name, dataset.deal) == ("celeb_df", "identity")
    videos = by_id(dataset)
    assert videos["Celeb-synthesis/id0_id1_0000"] == Video(
        id="Celeb-synthesis/id0_id1_0000",
        uri=str(celeb / "Celeb-synthesis/id0_id1_0000.mp4"),
        label=FAKE,
        dataset="celeb_df",
        method="Celeb-synthesis",
        identities=("id0", "id1"),
        source_id="id0_0000",
        split="test",
    )
    real, youtube = videos["Celeb-real/id0_0000"], videos["YouTube-real/00170"]
    assert (real.label, real.method, real.split) == (REAL, "original", "")
    assert (real.identities, real.source_id) == (("id0",), "id0_0000")
    assert (youtube.identities, youtube.source_id) == (("youtube_00170",), "youtube_00170")
    assert (youtube.label, youtube.split) == (REAL, "test")
    assert dataset.open_splits == ("train", "val")
    assert dataset.missing == dataset.rejects == dataset.notes == ()


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\r\n\r\n"])
def test_the_list_of_celeb_df_is_read_with_any_line_ends(celeb, ending):
    end = ending[:2] or "\n"
    text = f"\ufeff1 YouTube-real/00170.mp4{end}0 celeb-synthesis/id0_id1_0000.mp4{ending}"
    write(celeb, CELEB_LIST, text)
    tests = [video.id for video in only(celeb).videos if video.split == "test"]
    assert tests == ["Celeb-synthesis/id0_id1_0000", "YouTube-real/00170"]


def test_celeb_df_is_read_with_a_videos_level_and_in_any_letter_case(tmp_path):
    touch(
        tmp_path,
        "celeb-real/videos/id0_0000.mp4",
        "Celeb-Synthesis/videos/id0_id1_0000.mp4",
        "Youtube-real/videos/00170.mp4",
    )
    write(tmp_path, CELEB_LIST, "1 YouTube-real/00170.mp4\n1 YouTube-real/00171.mp4\n")
    dataset = only(tmp_path)
    assert list(by_id(dataset)) == [
        "Celeb-real/id0_0000",
        "Celeb-synthesis/id0_id1_0000",
        "YouTube-real/00170",
    ]
    assert by_id(dataset)["YouTube-real/00170"].split == "test"
    assert dataset.missing == ("Youtube-real/videos/00171.mp4",)


def test_listed_videos_of_celeb_df_that_are_not_there_are_missing(celeb):
    lines = [f"1 Celeb-real/id{i}_0000.mp4" for i in range(6)]
    write(celeb, CELEB_LIST, "\n".join(lines))
    dataset = only(celeb)
    assert dataset.missing == tuple(f"Celeb-real/id{i}_0000.mp4" for i in range(2, 6))
    (note,) = dataset.notes
    assert "4 of 6 listed videos are not there: Celeb-real/id2_0000.mp4" in note
    assert note.endswith("and 1 more.")


def test_celeb_df_without_its_list_opens_all_splits_and_says_so(celeb):
    dataset = only(celeb)
    assert dataset.open_splits == ("train", "val", "test")
    assert any(CELEB_LIST in note for note in dataset.notes)


def test_misnamed_files_of_celeb_df_are_rejected(celeb):
    touch(celeb, "Celeb-real/id0_id1_0000.mp4", "YouTube-real/copy of 00170.mp4")
    dataset = only(celeb)
    assert reasons(dataset) == [
        ("celeb_df/Celeb-real/id0_id1_0000.mp4", "misnamed"),
        ("celeb_df/YouTube-real/copy of 00170.mp4", "misnamed"),
    ]
    assert "a name such as id0_0000.mp4" in dataset.rejects[0].detail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 Celeb-real/id0_0000.mp4\n1 Celeb-synthesis/id0_id1_0000.mp4",
            r":2: label 1 for .*fake",
        ),
        ("0 Celeb-real/id0_0000.mp4", r":1: label 0 for .*holds real videos"),
        ("2 Celeb-real/id0_0000.mp4", r":1: '2 Celeb-real.*expected `<label> <folder>"),
        ("1 elsewhere/id0_0000.mp4", r":1: '1 elsewhere.*folder Celeb-real, Celeb-synthesis"),
        ("1 Celeb-real", r":1: '1 Celeb-real'; expected"),
        ("\n", "lists no video"),
    ],
)
def test_a_wrong_line_in_the_list_of_celeb_df_is_named(celeb, text, message):
    write(celeb, CELEB_LIST, text)
    with pytest.raises(DatasetError, match=CELEB_LIST + ".*" + message):
        find_videos(celeb)


def test_celeb_df_without_videos_says_what_was_expected(tmp_path):
    (tmp_path / "Celeb-real").mkdir()
    with pytest.raises(DatasetError, match="no videos found. Expected Celeb-real, Celeb-synthesis"):
        find_videos(tmp_path)


@pytest.fixture
def celeb_plus_plus(celeb) -> Path:
    """Version 3: methods that name their videos alike, and a talking face, which has no donor."""
    (celeb / "Celeb-synthesis/id0_id1_0000.mp4").unlink()
    return touch(
        celeb,
        "Celeb-synthesis/FaceSwap/Celeb-DF-v2/id0_id1_0000.mp4",
        "Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000.mp4",
        "Celeb-synthesis/FaceReenact/LIA/videos/id0_id1_0000.mp4",
        "Celeb-synthesis/TalkingFace/FLOAT/id0_0000_test_12.mp4",
        "Celeb-synthesis/TalkingFace/EDTalk/id1_0000.mp4",
    )


def test_celeb_df_plus_plus_has_a_method_for_each_folder(celeb_plus_plus):
    write(
        celeb_plus_plus,
        CELEB_LIST,
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000.mp4\n"
        "0 Celeb-synthesis/FaceSwap/Celeb-DF/id0_id1_0000.mp4\n"
        "0 Celeb-synthesis/TalkingFace/FLOAT/id0_0000_test_12.mp4\n"
        "0 Celeb-synthesis/FaceReenact/LIA/id1_id0_0000.mp4\n"
        "0 Celeb-synthesis/FaceSwap/UniFace/id1_id0_0000.mp4\n",
    )
    dataset = only(celeb_plus_plus)
    fakes = {v.id: v for v in dataset.videos if v.label == FAKE}
    people = {v.method: (v.identities, v.source_id, v.split) for v in fakes.values()}
    assert people == {
        "Celeb-DF-v2": (("id0", "id1"), "id0_0000", "test"),
        "GHOST": (("id0", "id1"), "id0_0000", "test"),
        "LIA": (("id0", "id1"), "id0_0000", ""),
        "FLOAT": (("id0",), "id0_0000", "test"),
        "EDTalk": (("id1",), "id1_0000", ""),
    }
    assert "Celeb-synthesis/FaceReenact/LIA/id0_id1_0000" in fakes
    assert dataset.missing == (
        "Celeb-synthesis/FaceReenact/LIA/videos/id1_id0_0000.mp4",
        "Celeb-synthesis/FaceSwap/UniFace/id1_id0_0000.mp4",
    )
    assert dataset.rejects == ()


def test_only_a_method_of_celeb_df_plus_plus_may_have_talking_faces(celeb):
    touch(celeb, "Celeb-synthesis/id0_0000.mp4")
    assert reasons(only(celeb)) == [("celeb_df/Celeb-synthesis/id0_0000.mp4", "misnamed")]


def test_folders_of_celeb_df_in_two_letter_cases_are_both_read(celeb):
    touch(celeb, "celeb-real/id7_0000.mp4")
    assert "Celeb-real/id7_0000" in by_id(only(celeb))


# --- DFDC


def write_part(root: Path, folder: str) -> None:
    """A part with a real video and its fake."""
    touch(root, f"{folder}/a.mp4", f"{folder}/b.mp4")
    write(
        root,
        f"{folder}/metadata.json",
        {
            "a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"},
            "b.mp4": {"label": "REAL", "split": "train"},
        },
    )


def test_the_parts_of_dfdc_are_read_as_published(tmp_path):
    write_part(tmp_path, "dfdc_train_part_0")
    write_part(tmp_path, "dfdc_train_part_07")
    dataset = only(tmp_path)
    assert (dataset.name, dataset.deal) == ("dfdc", "component")
    assert dataset.open_splits == ("train", "val", "test")
    assert list(by_id(dataset)) == ["part_0/a", "part_0/b", "part_7/a", "part_7/b"]
    assert by_id(dataset)["part_7/a"] == Video(
        id="part_7/a",
        uri=str(tmp_path / "dfdc_train_part_07/a.mp4"),
        label=FAKE,
        dataset="dfdc",
        method="dfdc",
        identities=("part_7",),
        source_id="b",
    )
    real = by_id(dataset)["part_0/b"]
    assert (real.label, real.method, real.source_id, real.split) == (REAL, "original", "b", "")


@pytest.mark.parametrize(
    ("root", "first"),
    [("dfdc_train_part_03", "part_3/a"), ("excerpt", "excerpt/a")],
)
def test_a_root_that_is_itself_a_part_of_dfdc_is_read(tmp_path, root, first):
    write_part(tmp_path, root)
    video = only(tmp_path / root).videos[0]
    assert (video.id, video.identities) == (first, (first.split("/")[0],))


def test_parts_of_dfdc_in_a_folder_of_their_archive_are_read(tmp_path):
    write_part(tmp_path, "dfdc_train_part_00/dfdc_train_part_0")
    write_part(tmp_path, "train_sample_videos")
    assert list(by_id(only(tmp_path))) == [
        "part_0/a",
        "part_0/b",
        "train_sample_videos/a",
        "train_sample_videos/b",
    ]


def test_two_copies_of_a_part_of_dfdc_are_kept_once(tmp_path):
    write_part(tmp_path, "dfdc_train_part_0")
    write_part(tmp_path, "dfdc_train_part_00")
    dataset = only(tmp_path)
    assert len(dataset.videos) == 2
    assert reasons(dataset) == [
        ("dfdc/part_0/a", "duplicate_id"),
        ("dfdc/part_0/b", "duplicate_id"),
    ]


def test_listed_videos_of_dfdc_are_missing_and_unlisted_ones_rejected(tmp_path):
    write_part(tmp_path, "dfdc_train_part_0")
    (tmp_path / "dfdc_train_part_0/b.mp4").unlink()
    touch(tmp_path, "dfdc_train_part_0/c.mp4", "dfdc_train_part_1/d.mp4")
    dataset = only(tmp_path)
    assert [video.source_id for video in dataset.videos] == ["b"]
    assert dataset.missing == ("dfdc_train_part_0/b.mp4",)
    assert "1 of 2 listed videos are not there: dfdc_train_part_0/b.mp4." in dataset.notes[0]
    assert reasons(dataset) == [
        ("dfdc/dfdc_train_part_0/c.mp4", "unlisted"),
        ("dfdc/dfdc_train_part_1/d.mp4", "unlisted"),
    ]


@pytest.mark.parametrize("folder", ["test", "test_videos", "dfdc_test_set"])
@pytest.mark.parametrize("place", ["", "folder"])
def test_the_test_set_of_dfdc_is_labelled_by_a_list_in_it_or_beside_it(tmp_path, folder, place):
    write_part(tmp_path, "dfdc_train_part_0")
    touch(tmp_path, f"{folder}/x.mp4", f"{folder}/y.mp4")
    # The set's own metadata.json need not have labels.
    write(tmp_path, f"{folder}/metadata.json", {"x.mp4": {"augmentations": {}}})
    list_name = f"{folder}/labels.csv" if place else "labels.csv"
    write(tmp_path, list_name, "filename,label\nx.mp4,1\ny.mp4,REAL\nz.mp4,0\n")
    dataset = only(tmp_path)
    assert dataset.open_splits == ("train", "val")
    x, y = by_id(dataset)["test/x"], by_id(dataset)["test/y"]
    assert (x.label, x.split, x.identities, x.source_id) == (FAKE, "test", (), "")
    assert (y.label, y.split, y.identities, y.source_id) == (REAL, "test", (), "y")
    assert dataset.missing == (f"{folder}/z.mp4",)


def test_a_test_folder_of_dfdc_is_also_read_alone(tmp_path):
    touch(tmp_path, "set/x.mp4")
    write(tmp_path, "set/labels.csv", "\ufefffilename,label,original\r\nx.mp4,fake,w.mp4\r\n")
    (video,) = only(tmp_path / "set").videos
    assert (video.id, video.split, video.source_id) == ("test/x", "test", "w")


def test_the_labels_of_an_absent_test_set_close_its_split(tmp_path):
    write_part(tmp_path, "dfdc_train_part_0")
    write(tmp_path, "labels.csv", "filename,label\nx.mp4,1\n")
    dataset = only(tmp_path)
    assert dataset.missing == ("test/x.mp4",) and dataset.open_splits == ("train", "val")


def test_labels_beside_the_root_s_own_part_are_not_those_of_its_videos(tmp_path):
    write_part(tmp_path, "part")
    write(tmp_path, "part/labels.csv", "filename,label\nx.mp4,1\n")
    dataset = only(tmp_path / "part")
    assert list(by_id(dataset)) == ["part/a", "part/b"]
    assert dataset.missing == ("test/x.mp4",)


def test_metadata_in_a_test_folder_serves_as_its_labels(tmp_path):
    touch(tmp_path, "test/x.mp4")
    entry = {"label": "FAKE", "split": "test", "original": "w.mp4"}
    write(tmp_path, "test/metadata.json", {"x.mp4": entry})
    (video,) = only(tmp_path).videos
    assert (video.id, video.split, video.source_id) == ("test/x", "test", "w")


def test_test_videos_of_dfdc_without_labels_are_rejected(tmp_path):
    write_part(tmp_path, "dfdc_train_part_0")
    touch(tmp_path, "test_videos/x.mp4")
    assert reasons(only(tmp_path)) == [("dfdc/test_videos/x.mp4", "unlisted")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dfdc_train_part_0/metadata.json", "{", r"part_0/metadata\.json: is no JSON"),
        ("dfdc_train_part_0/metadata.json", [], r"metadata\.json: holds a list; expected an obj"),
        ("dfdc_train_part_0/metadata.json", {"a.mp4": "FAKE"}, r"entry a\.mp4: is 'FAKE'; exp"),
        (
            "dfdc_train_part_0/metadata.json",
            {"a.mp4": {"label": "fishy"}},
            r"metadata\.json: entry a\.mp4: label is 'fishy'; expected REAL or FAKE",
        ),
        (
            "test/metadata.json",
            {"x.mp4": {"label": "FAKE", "split": "train"}},
            r"entry x\.mp4: split is 'train' in a test folder",
        ),
        ("test/labels.csv", "filename,label\nx.mp4,1\ny.mp4,2\n", r"labels\.csv:3: label is '2'"),
        ("test/labels.csv", "filename,label\nx.mp4,1\nx.mp4,0\n", r":3: x\.mp4 is both real and"),
        ("test/labels.csv", "name,label\n", r"labels\.csv:1: .*without filename; expected file"),
        ("test/labels.csv", "", r"labels\.csv:1: the header is '', without filename, label"),
        ("test/labels.csv", "filename,label\nx.mp4\n", r"labels\.csv:2: 1 cells, the header has 2"),
        ("test/labels.csv", 'filename,label\n"x.mp4,1\n', r"labels\.csv:2: is no CSV"),
    ],
)
def test_a_damaged_list_of_dfdc_is_named_with_the_entry(tmp_path, name, content, message):
    write_part(tmp_path, "dfdc_train_part_0")
    touch(tmp_path, "test/x.mp4")
    write(tmp_path, name, content)
    with pytest.raises(DatasetError, match=message):
        find_videos(tmp_path)


def test_dfdc_without_labelled_videos_says_what_was_found(tmp_path):
    touch(tmp_path, "dfdc_train_part_0/a.mp4")
    with pytest.raises(DatasetError, match=r"1 files left out as unlisted \(a\.mp4\). Expected df"):
        find_videos(tmp_path)


# --- real/ and fake/


def test_folders_are_read_to_any_depth_and_fakes_join_the_videos_they_name(tmp_path):
    touch(
        tmp_path,
        "real/ann.mp4",
        "real/2024/bob.MOV",
        "real/notes.txt",
        "fake/ann_bob_1.webm",
        "fake/unknown_swap.gif",
    )
    dataset = only(tmp_path)
    assert [(v.id, v.label, v.method, v.identities, v.source_id) for v in dataset.videos] == [
        ("fake/ann_bob_1.webm", FAKE, "fake", ("ann", "bob"), "ann"),
        ("fake/unknown_swap.gif", FAKE, "fake", ("unknown_swap",), "unknown_swap"),
        ("real/2024/bob.MOV", REAL, "original", ("bob",), "bob"),
        ("real/ann.mp4", REAL, "original", ("ann",), "ann"),
    ]
    assert dataset.notes == ()


@pytest.mark.parametrize("names", [("Real", "FAKE"), ("REAL", "Fake"), ("rEaL", "fake")])
def test_real_and_fake_are_found_in_any_letter_case(tmp_path, names):
    real, fake = names
    touch(tmp_path, f"{real}/ann.mp4", f"{fake}/ann_bob.rmvb")
    there = [(video.uri, video.label) for video in only(tmp_path).videos]
    assert sorted(there) == sorted(
        [(str(tmp_path / f"{fake}/ann_bob.rmvb"), FAKE), (str(tmp_path / f"{real}/ann.mp4"), REAL)]
    )


def people(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {video.id: video.identities for video in dataset.videos}


def test_real_videos_named_alike_in_nested_folders_are_people_of_their_own(tmp_path):
    touch(
        tmp_path,
        *(f"real/person{i}/video.mp4" for i in (1, 2)),
        "real/video.mp4",
        "real/cut.mp4",
        "real/cut.mov",
        "real/cut.mp4.mkv",
        "real/ann.mp4",
    )
    assert people(only(tmp_path)) == {
        "real/ann.mp4": ("ann",),
        "real/cut.mov": ("real/cut.mov",),
        "real/cut.mp4": ("real/cut.mp4",),
        "real/cut.mp4.mkv": ("cut.mp4",),
        "real/person1/video.mp4": ("real/person1/video.mp4",),
        "real/person2/video.mp4": ("real/person2/video.mp4",),
        "real/video.mp4": ("real/video.mp4",),
    }


@pytest.mark.parametrize(
    ("fake", "names"),
    [
        ("person1/video.mp4", ["person1/video.mp4"]),
        ("Deepfakes/person2/video_person1.webm", ["person2/video.mp4"]),
        ("person2/video_ann.mp4", ["person2/video.mp4", "ann"]),
        ("person1/other.mp4", []),
        # It may be of either: neither may be in another split.
        ("swap/video.mp4", ["person1/video.mp4", "person2/video.mp4"]),
    ],
)
def test_a_fake_goes_with_the_real_video_of_its_name_in_a_folder_like_its_own(
    tmp_path, fake, names
):
    touch(tmp_path, "real/person1/video.mp4", "real/person2/video.mp4", "real/ann.mp4")
    touch(tmp_path, f"fake/{fake}")
    found = people(only(tmp_path))
    own = [name if name == "ann" else f"real/{name}" for name in names] or [scan.stem(fake)]
    assert found[f"fake/{fake}"] == tuple(own)


def test_fakes_named_alike_are_one_person_s_only_where_the_name_is_of_two_people(tmp_path):
    touch(tmp_path, *(f"fake/{folder}/{name}.mp4" for folder in "ab" for name in ("x", "000_003")))
    assert set(people(only(tmp_path)).values()) == {
        ("fake/a/x.mp4",),
        ("fake/b/x.mp4",),
        ("000_003",),
    }


stems = st.sampled_from(["video", "a", "b", "a_b", "b_a_1"])
trees = st.sets(st.tuples(st.sampled_from(["", "p/", "q/", "p/q/"]), stems), max_size=12)


@given(reals=trees, fakes=trees)
def test_each_real_video_is_a_person_of_its_own_and_each_fake_has_some(
    tmp_path_factory, reals, fakes
):
    root = tmp_path_factory.mktemp("tree")
    touch(root, "real/one.mp4", *(f"real/{folder}{name}.mp4" for folder, name in reals))
    touch(root, *(f"fake/{folder}{name}.mp4" for folder, name in fakes))
    dataset = only(root)
    assert len(dataset.videos) == 1 + len(reals) + len(fakes)
    alone = [video.identities for video in dataset.videos if video.label == REAL]
    assert len(set(alone)) == len(alone) and all(len(names) == 1 for names in alone)
    person = {video.id: video.identities[0] for video in dataset.videos if video.label == REAL}
    for video in dataset.videos:
        assert video.source_id == video.identities[0]
        of_its_name = person.get(video.id.replace("fake/", "real/"))
        assert of_its_name in (None, *video.identities) or "_" in of_its_name


def test_pictures_of_one_folder_are_of_one_person_and_others_of_their_own(tmp_path):
    touch(
        tmp_path,
        *(
            f"{folder}/{i}.png"
            for folder in ("real/000", "real/p/001", "fake/000_001")
            for i in "12"
        ),
        "real/ann.JPG",
        "real/film.mp4",
        "real/film.jpg",  # its cover
        "real/._ann.jpg",
        "fake/ann.webp",
        "fake/Swap/001/1.png",
    )
    dataset = only(tmp_path)
    assert people(dataset) == {
        **{f"real/000/{i}.png": ("000",) for i in "12"},
        **{f"real/p/001/{i}.png": ("001",) for i in "12"},
        **{f"fake/000_001/{i}.png": ("000", "001") for i in "12"},
        "real/ann.JPG": ("ann",),
        "real/film.mp4": ("film",),
        "fake/ann.webp": ("ann",),
        "fake/Swap/001/1.png": ("001",),
    }
    (note,) = dataset.notes
    assert "3 folders of pictures, first fake/000_001/ (2), are each taken to be of one" in note


@pytest.mark.parametrize("names", [("Real", "FAKE"), ("REAL", "Fake")])
def test_the_folders_names_are_read_in_any_letter_case(tmp_path, names):
    touch(tmp_path, f"{names[0]}/a.mp4", f"{names[1]}/a_b.mp4")
    assert [(video.id, video.label) for video in only(tmp_path).videos] == sorted(
        [(f"{names[0]}/a.mp4", REAL), (f"{names[1]}/a_b.mp4", FAKE)]
    )


# --- names


ODD_NAMES = (
    *(b"a;b", b" a ", b"caf\xe9", rb"caf\xe9", b"-a", b"[1]", b"a\nb", b"a\tb", b"it's", b'"q"'),
    *(b"\x1b[31m", "a\u202eb".encode(), b"$(x)", b"100%", b"a,b", b"#a", b"a\\b", b"\xff\xfe"),
)


@pytest.fixture
def oddly_named(tmp_path) -> Path:
    """A real video of each odd name, and a fake of it."""
    root = tmp_path / "set"
    touch(root, *(f"real/{os.fsdecode(name)}.mp4" for name in ODD_NAMES))
    return touch(root, *(f"fake/{os.fsdecode(name)}.mp4" for name in ODD_NAMES))


def test_every_file_name_is_found_with_an_id_and_people_that_are_text(oddly_named):
    dataset = only(oddly_named)
    assert len(dataset.videos) == 2 * len(ODD_NAMES) and not dataset.rejects
    assert all(os.path.exists(video.uri) for video in dataset.videos)
    for video in dataset.videos:
        (name,) = video.identities
        assert name == video.source_id == names.escape(scan.stem(video.uri))
        assert video.id == names.escape(os.path.relpath(video.uri, oddly_named))
    assert len({video.identities for video in dataset.videos}) == len(ODD_NAMES)


def test_a_manifest_holds_every_file_name(oddly_named, tmp_path):
    found = only(oddly_named).videos
    path = write(tmp_path, "list.csv", write_manifest(found))
    assert only(path).videos == found


def test_the_command_lists_every_file_name(oddly_named, capfd):
    (oddly_named / "real/-b.mp4").symlink_to(oddly_named / "real/-a.mp4")
    assert main(["datasets", str(oddly_named)]) == 0
    out = capfd.readouterr().out
    assert f"{2 * len(ODD_NAMES)} videos" in out and "left out as same_file: 1" in out
    assert main(["datasets", str(oddly_named), "--json"]) == 0
    json.loads(capfd.readouterr().out)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Ann Lee; Bob;", ("Ann Lee", "Bob")),
        ('["a;b", " c", "a;b"]', ("a;b", " c")),
        ("[1080p] x", ("[1080p] x",)),
        ("[]", ()),
        ("", ()),
    ],
)
def test_identities_are_separated_by_semicolons_or_a_json_list(tmp_path, cell, expected):
    cell = cell.replace('"', '""')
    path = write(tmp_path, "list.csv", f'uri,label,identities\ngs://b/a,0,"{cell}"\n')
    assert only(path).videos[0].identities == expected


# --- one video per file


def test_a_file_under_several_names_is_one_video(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    os.link(tmp_path / "b.mp4", tmp_path / "hard.mp4")
    same = ["a.mp4", "./a.mp4", tmp_path / "a.mp4", "link.mp4", "folder/a.mp4"]
    rows = "".join(f"{name},real\n" for name in [*same, "b.mp4", "hard.mp4", "c.mp4"])
    path = write(tmp_path, "list.csv", f"uri,label\n{rows}")
    dataset = only(path)
    assert [video.id for video in dataset.videos] == ["a.mp4", "b.mp4", "c.mp4"]
    assert {reject.reason for reject in dataset.rejects} == {"same_file"}
    assert [reject.detail for reject in dataset.rejects if reject.video == "manifest/hard.mp4"] == [
        f"{path}:8 is the same file as {path}:7, which is kept. Remove one."
    ]
    assert len(dataset.rejects) == 5


def test_a_file_that_is_called_real_and_fake_is_an_error_that_names_both(tmp_path):
    touch(tmp_path, "set/real/a.mp4", "set/fake/c.mp4")
    (tmp_path / "set/fake/b.mp4").symlink_to("../real/a.mp4")
    with pytest.raises(DatasetError, match=r"real/a\.mp4: real, but .*file as .*fake/b.mp4.* fake"):
        find_videos(tmp_path / "set")


def test_links_to_the_videos_of_a_published_set_are_one_video(plus_plus, tmp_path):
    folder = plus_plus / f"{REALS}/c23/videos"
    (folder / "005.mp4").symlink_to(folder / "003.mp4")
    assert ("faceforensics/original/c23/005", "same_file") in reasons(only(plus_plus))


def test_folders_without_videos_say_what_was_expected(tmp_path):
    touch(tmp_path, "real/a.txt")
    with pytest.raises(DatasetError, match="no videos found. Expected real/ and fake/ folders"):
        find_videos(tmp_path)


def test_linked_folders_are_followed_and_a_circle_of_links_ends(tmp_path):
    touch(tmp_path, "disk/b.mp4", "set/real/a.mp4")
    (tmp_path / "set/real/more").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(tmp_path / "set/real")
    assert list(by_id(only(tmp_path / "set"))) == ["real/a.mp4", "real/more/b.mp4"]


def test_a_folder_that_cannot_be_read_is_an_error_and_not_left_out(tmp_path):
    with pytest.raises(DatasetError, match="gone: the folder cannot be read"):
        scan.video_files(tmp_path, "gone")


# --- CSV manifests


def test_a_manifest_needs_only_uris_and_labels(tmp_path):
    touch(tmp_path, "clips/a.mp4", "b.mp4")
    absolute = tmp_path / "b.mp4"
    path = write(
        tmp_path,
        "list.csv",
        f"uri,label\nclips/a.mp4,FAKE\n{absolute},0\ngs://bucket/c.mp4,Real\nnone.mp4,1\n",
    )
    dataset = only(path)
    assert dataset.videos == (
        Video(str(absolute), str(absolute), REAL, "manifest", source_id=str(absolute)),
        Video("clips/a.mp4", str(tmp_path / "clips/a.mp4"), FAKE, "manifest", "fake"),
        Video(*["gs://bucket/c.mp4"] * 2, REAL, "manifest", source_id="gs://bucket/c.mp4"),
    )
    assert dataset.missing == ("none.mp4",)
    assert "1 of 4 listed videos are not there: none.mp4." in dataset.notes[0]


def test_a_manifest_may_give_all_that_is_known(tmp_path):
    path = write(
        tmp_path,
        "list.CSV",
        "label, uri, id, dataset, method, identities, source, split, compression\r\n"
        "fake, gs://b/1.mp4, one, mine, Swap, Ann Lee; Bob ,src, TEST, c23\r\n\r\n",
    )
    (video,) = only(path).videos
    assert video == Video(
        "one", "gs://b/1.mp4", FAKE, "mine", "Swap", "c23", ("Ann Lee", "Bob"), "src", "test"
    )


def test_an_id_may_occur_in_two_datasets_of_a_manifest_but_not_twice_in_one(tmp_path):
    rows = "\n".join(f"gs://b/{i}.mp4,0,x,{name}" for i, name in enumerate("aba"))
    dataset = only(write(tmp_path, "list.csv", f"uri,label,id,dataset\n{rows}"))
    assert [video.key for video in dataset.videos] == ["a/x", "b/x"]
    (twin,) = dataset.rejects
    assert (twin.video, twin.uri, twin.reason) == ("a/x", "gs://b/2.mp4", "duplicate_id")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uri,lable\n", r"list\.csv:1: the header is 'uri,lable', without label"),
        ("uri;label\n", r":1: the header is 'uri;label', .*separated by commas"),
        ("uri,label,author,year\n", r":1: unknown columns author, year; expected uri, label and"),
        ("uri,label,uri\n", r":1: the header 'uri,label,uri' has a column twice"),
        (
            ",uri,label\n0,gs://a,1\n",
            r":1: the header ',uri,label' has a column without a na",
        ),
        ("Unnamed: 0,uri,label\n0,gs://a,1\n", r"as pandas writes its index.*index=False"),
        ("uri,label,identities\ngs://a,0,[1]\n", r":2: identities is \[1\]; expected a JSON list"),
        (
            "uri,label\ngs://a,0\ngs://a,1\n",
            r"csv:3: fake, but .*same file as .*csv:2, which is r",
        ),
        ("uri,label\ngs://a,0\ngs://b,maybe\n", r"list\.csv:3: label is 'maybe'; expected real"),
        ("uri,label\n,0\n", r":2: the uri is empty"),
        ("uri,label,split\ngs://a,0,dev\n", r":2: split is 'dev'; expected train, val, test"),
        ("uri,label,method\ngs://a,0,Swap\n", r":2: label 0 and method Swap"),
        ("uri,label,method\ngs://a,fake,original\n", r":2: label fake and method original"),
        ("uri,label\n", "no videos found. Expected a row for each video"),
        ("uri,label\nnowhere/a.mp4,0\n", r"1 listed files not there \(nowhere/a.mp4\)"),
    ],
)
def test_a_mistake_in_a_manifest_is_named_with_its_line(tmp_path, text, message):
    path = write(tmp_path, "list.csv", text)
    with pytest.raises(DatasetError, match=message):
        find_videos(path)


text = st.text(st.characters(codec="utf-8"), max_size=12).map(str.strip)
word = text.filter(bool)
remote = (word | st.binary().map(os.fsdecode)).map(lambda name: f"gs://bucket/{name}")


@st.composite
def videos(draw) -> Video:
    label = draw(st.sampled_from([REAL, FAKE]))
    people = st.text(st.sampled_from(';[" \udcff\n') | st.characters(codec="utf-8"), min_size=1)
    return Video(
        id=draw(word),
        uri=draw(remote | st.just(__file__)),
        label=label,
        dataset=draw(word),
        method=draw(word.filter(lambda name: name != "original")) if label else "original",
        compression=draw(text),
        identities=tuple(draw(st.lists(people, max_size=3, unique=True))),
        source_id=draw(text if label == FAKE else word),
        split=draw(st.sampled_from(["", "train", "val", "test"])),
    )


@given(
    found=st.lists(
        videos(), min_size=1, max_size=4, unique_by=(lambda video: video.key, lambda v: v.uri)
    )
)
def test_a_written_manifest_reads_the_same_videos(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("manifest") / "list.csv"
    path.write_bytes(write_manifest(found))
    assert only(path).videos == tuple(sorted(found))
    assert write_manifest(reversed(found)) == path.read_bytes()


def test_names_that_begin_as_formulas_are_text_in_a_manifest_and_read_the_same(tmp_path):
    video = Video(
        "-aBc", "gs://b/x", FAKE, "@d", "+m", identities=("=A1", "b"), source_id="\uff1dx"
    )
    path = write(tmp_path, "list.csv", write_manifest([video]))
    _, row = csv.reader(path.read_text().splitlines())
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\uff1d"))]
    assert only(path).videos == (video,)


def test_a_manifest_of_a_found_data_set_reads_the_same_from_elsewhere(
    plus_plus, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    relative = find_videos("ff")[0].videos
    path = tmp_path / "elsewhere" / "list.csv"
    path.parent.mkdir()
    path.write_bytes(write_manifest(relative))
    monkeypatch.chdir("/")
    assert only(path).videos == only(plus_plus).videos


@pytest.mark.parametrize(
    "wrong",
    [
        {"identities": ("a", "a")},
        {"identities": ("",)},
        {"id": " a"},
        {"uri": ""},
        {"id": "/\udcff.mp4"},
        {"source_id": ""},
        {"label": 2},
        {"method": "Swap"},
        {"compression": "x" * 200_000},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_video_that_a_manifest_cannot_hold_is_refused(wrong):
    facts = {"id": "a", "uri": "gs://b/a", "label": REAL, "dataset": "d", "source_id": "a"}
    with pytest.raises(ValueError, match=r"d/.*cannot be written to a CSV manifest"):
        write_manifest([Video(**(facts | wrong))])


# --- finding


def test_a_missing_root_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder or file. Give the dataset's"):
        find_videos(tmp_path / "nowhere")


def test_an_unknown_layout_is_an_error_that_names_the_known_ones(tmp_path):
    touch(tmp_path, "a.txt", "b.txt")
    with pytest.raises(DatasetError, match=r"holds a\.txt, b\.txt; expected orig.*Celeb-real.*CSV"):
        find_videos(tmp_path)


def test_an_empty_root_and_a_file_are_no_data_set(tmp_path):
    with pytest.raises(DatasetError, match="holds nothing; expected"):
        find_videos(tmp_path)
    with pytest.raises(DatasetError, match=r"a\.txt: is a file; expected"):
        find_videos(touch(tmp_path, "a.txt") / "a.txt")


def test_a_named_adapter_reads_only_what_is_its_own(plus_plus):
    touch(plus_plus, f"{ACTORS}/c23/videos/{DFD_REAL}")
    assert only(plus_plus, "dfd").name == "dfd"
    with pytest.raises(DatasetError, match=r"holds manipulated.*; expected dfdc_train_part_<N>/"):
        find_videos(plus_plus, "dfdc")
    with pytest.raises(DatasetError, match="No adapter 'imagenet'; there are: auto, faceforensics"):
        find_videos(plus_plus, "imagenet")


def test_the_adapters_come_in_the_documented_order():
    published = ["faceforensics", "dfd", "celeb_df", "dfdc"]
    published += ["deeperforensics", "df40", "forgerynet", "wild_deepfake"]
    assert list(ADAPTERS) == [*published, "folder", "manifest"]


# --- selecting


@pytest.fixture
def two_sets(plus_plus) -> list[Dataset]:
    """FaceForensics++ with two methods and two compressions, and DeepFakeDetection."""
    touch(
        plus_plus,
        f"{REALS}/raw/videos/000.mp4",
        f"{FAKES}/Deepfakes/raw/videos/000_003.mp4",
        f"{FAKES}/FaceSwap/c23/videos/000_003.mp4",
        f"{ACTORS}/c23/videos/{DFD_REAL}",
        f"{FAKES}/DeepFakeDetection/c23/videos/{DFD_FAKE}",
    )
    return find_videos(plus_plus)


def test_selecting_nothing_keeps_all(two_sets):
    assert select(two_sets) == two_sets


def test_selecting_a_method_keeps_all_reals_and_drops_a_dataset_without_it(two_sets):
    (kept,) = select(two_sets, methods=("FACESWAP",))
    assert [video.id for video in kept.videos] == [
        "FaceSwap/c23/000_003",
        "original/c23/000",
        "original/c23/003",
        "original/raw/000",
    ]
    assert kept.missing == two_sets[0].missing


def test_selecting_methods_keeps_a_dataset_that_never_had_fakes(tmp_path, two_sets):
    reals = find_videos(touch(tmp_path, "own/real/a.mp4") / "own")
    kept = select([*two_sets, *reals], methods=("DeepFakeDetection",))
    assert [dataset.name for dataset in kept] == ["dfd", "folder"]


@pytest.mark.parametrize("name", ["raw", "c0", "C0"])
def test_selecting_a_compression_keeps_its_videos_real_and_fake(two_sets, name):
    (plus,) = select(two_sets, compressions=(name,))
    assert [v.id for v in plus.videos] == ["Deepfakes/raw/000_003", "original/raw/000"]


def test_selecting_what_no_fake_has_is_an_error_that_names_what_there_is(two_sets, tmp_path):
    with pytest.raises(DatasetError, match="method 'original'; there are: DeepFakeD.*FaceSwap"):
        select(two_sets, methods=("original",))
    with pytest.raises(DatasetError, match="compression 'c40'; there are: c23, raw"):
        select(two_sets, compressions=("c23", "c40"))
    folder = find_videos(touch(tmp_path, "own/fake/a.mp4") / "own")
    with pytest.raises(DatasetError, match="compression 'c23'; there are: none named"):
        select(folder, compressions=("c23",))


# --- the command


def test_the_command_shows_counts_missing_rejects_and_notes(plus_plus, capsys):
    touch(plus_plus, f"{FAKES}/Deepfakes/c23/videos/[odd].mp4", f"{ACTORS}/raw/videos/{DFD_REAL}")
    assert main(["datasets", str(plus_plus)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    columns = ["label", "method", "compression", "videos", "sources", "identities"]
    assert [*columns, "train", "val", "test"] in lines and columns in lines
    assert ["real", "original", "c23", "2", "2", "2", "2", "0", "0"] in lines
    assert ["fake", "Deepfakes", "c23", "1", "1", "2", "1", "0", "0"] in lines
    assert ["real", "original", "raw", "1", "1", "1"] in lines
    assert f"missing: 5: {FAKES}/Deepfakes/c23/videos/003_000.mp4" in out and "and 2 more" in out
    assert "left out as misnamed: 1: " in out and "[odd].mp4" in out
    assert "note: dfd: no fake videos" in out


def test_the_longest_method_fits_a_narrow_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    row = "gs://b/1.mp4,fake,DeepFakeDetection,test,c23"
    path = write(tmp_path, "list.csv", f"uri,label,method,split,compression\n{row}\n")
    assert main(["datasets", str(path)]) == 0
    cells = ["fake", "DeepFakeDetection", "c23", "1", "0", "0", "0", "0", "1"]
    assert cells in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_command_s_json_leaves_nothing_out(celeb, capsys):
    names = [f"Celeb-real/id{i}_0000.mp4" for i in range(40)]
    write(celeb, CELEB_LIST, "\n".join(f"1 {name}" for name in names))
    touch(celeb, *(f"YouTube-real/odd{i}.mp4" for i in range(9)))
    assert main(["datasets", str(celeb), "--dataset", "celeb_df", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["datasets"]
    assert found["missing"] == sorted(names[2:])
    assert [reject["reason"] for reject in found["rejects"]] == ["misnamed"] * 9
    assert (found["videos"], found["open_splits"]) == (4, ["train", "val"])
    assert [(row["label"], row["videos"], row["test"]) for row in found["rows"]] == [
        ("real", 3, 2),
        ("fake", 1, 0),
    ]
    assert found["notes"]


def test_a_fake_across_official_splits_has_none(plus_plus):
    touch(plus_plus, f"{FAKES}/FaceSwap/c23/videos/000_007.mp4")
    rows = {row["method"]: row for row in listing.overview(only(plus_plus))}
    assert [rows["FaceSwap"][split] for split in ("train", "val", "test")] == [0, 0, 0]


def test_the_command_fails_with_one_on_what_is_no_data_set(tmp_path, capsys):
    assert main(["datasets", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"dfdetect datasets: {tmp_path}: holds nothing")


@pytest.mark.parametrize("argv", [[], ["x", "--dataset", "imagenet"], ["x", "--js"]])
def test_the_command_fails_with_two_on_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["datasets", *argv])
    assert stopped.value.code == 2
    assert "dfdetect datasets" in capsys.readouterr().err


def test_listing_loads_neither_tensorflow_nor_beam(celeb):
    code = (
        "import sys; from dfdetect.__main__ import main; main(['datasets', *sys.argv[1:]]); "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'apache_beam')))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(celeb)], cwd=root, env=os.environ, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()

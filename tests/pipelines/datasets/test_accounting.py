"""No video file under a root goes unmentioned, whatever lies there and whichever adapters fit."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.datasets import ADAPTERS, DatasetError, find_videos
from pipelines.datasets.scan import is_picture, is_video

# Folders of every data set, as published, passed on, and mistaken.
FOLDERS = (
    "",
    "original_sequences/youtube/c23/videos",
    "Original_Sequences/YouTube/raw",
    "original_sequences/actors/c23/videos",
    "original_sequences/other",
    "manipulated_sequences",
    "manipulated_sequences/Deepfakes/c23/videos",
    "manipulated_sequences/Deepfakes/c0/videos",
    "manipulated_sequences/Deepfakes/raw",
    "manipulated_sequences/Deepfakes/masks/videos",
    "manipulated_sequences/faceswap",
    "manipulated_sequences/DeepFakeDetection/c23/videos",
    "original",
    "Deepfakes",
    "neuraltextures/x",
    "DeepFakeDetection",
    "DFD_original sequences",
    "Celeb-real",
    "celeb-real/videos",
    "Celeb-synthesis/videos",
    "Celeb-synthesis/FaceSwap/GHOST",
    "Celeb-synthesis/TalkingFace/FLOAT",
    "YouTube-real/a/b",
    "dfdc_train_part_0",
    "test",
    "manipulated_videos",
    "manipulated_videos/end_to_end",
    "manipulated_videos/other",
    "source_videos/M101/light_up",
    "DF40/simswap/ff",
    "train/lia/cdf",
    "simswap/elsewhere",
    "Training/video/train_video_release/1",
    "deepfake_in_the_wild/real_train/0/real",
    "fake test/0",
    "real",
    "Real/a",
    "FAKE",
    "elsewhere/__MACOSX",
    "elsewhere",
)
NAMES = (
    "000.mp4",
    "000_003.mp4",
    "000_003.AVI",
    "24__scene.mp4",
    "24_23__scene__HASH.mp4",
    "id0_0000.mp4",
    "id0_id1_0000.mp4",
    "id0_0000_test_7.mp4",
    "00170.mp4",
    "a.mp4",
    "b.vob",
    "000_M101.mp4",
    "0.png",
    "._a.mp4",
    "notes.txt",
)
LISTS = {
    "dfdc_train_part_0/metadata.json": json.dumps({"a.mp4": {"label": "FAKE", "original": "b"}}),
    "metadata.json": json.dumps({"a.mp4": {"label": "REAL"}}),
    "test/labels.csv": "filename,label\na.mp4,1\n",
    "List_of_testing_videos.txt": "0 Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000.mp4\n",
    "lists/splits/train.txt": "000_M101.mp4\n",
    "lists/splits/val.txt": "",
    "lists/splits/test.txt": "",
    "Training/video_list.txt": "1 train_video_release/1/a.mp4 0 9 1 1 1 1\n",
    "splits/train.json": json.dumps([["000", "003"]]),
    "splits/val.json": "[]",
    "splits/test.json": "[]",
}
trees = st.fixed_dictionaries(
    {
        "files": st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=25),
        "lists": st.sets(st.sampled_from(sorted(LISTS))),
    }
)


def plant(root: Path, tree: dict) -> set[str]:
    """Makes the tree; the paths of its video files."""
    for name in tree["lists"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(LISTS[name])
    videos = set()
    for folder, name in tree["files"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).touch()
        if is_video(name) and "__MACOSX" not in folder:
            videos.add(str(root / folder / name))
    return videos


@pytest.mark.parametrize("adapter", ["auto", *ADAPTERS])
@settings(max_examples=25)
@given(tree=trees)
@example(tree={"files": {(f, n) for f in FOLDERS for n in NAMES}, "lists": set(LISTS)})
@example(tree={"files": {("elsewhere", "a.mp4"), ("Celeb-real", "a.mp4")}, "lists": set()})
def test_every_video_file_is_read_or_rejected_or_in_the_refusal(adapter, tree):
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, "set")
        root.mkdir()
        files = plant(root, tree)
        try:
            datasets = find_videos(root, adapter)
        except DatasetError as error:
            for file in files:
                folder = Path(file).parent.relative_to(root).as_posix()
                assert any(f" {name}/ (" in str(error) for name in (folder, folder.split("/")[0]))
            return
    found = [video.uri for dataset in datasets for video in dataset.videos]
    videos = Counter(filter(is_video, found))
    assert all(is_picture(uri) for uri in found if uri not in videos)
    rejects = Counter(reject.uri for dataset in datasets for reject in dataset.rejects)
    assert videos.keys() | rejects.keys() == files
    assert set((videos + rejects).values()) == {1}
    assert all(dataset.videos for dataset in datasets)


def test_a_folder_that_is_reached_by_two_links_is_read_once_and_claimed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "000.mp4").touch()
    videos = tmp_path / "set/original_sequences/youtube/c23"
    videos.mkdir(parents=True)
    (videos / "videos").symlink_to(tmp_path / "disk")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "disk")
    (dataset,) = find_videos(tmp_path / "set")
    assert [video.id for video in dataset.videos] == ["original/c23/000"]
    assert dataset.rejects == ()


def test_a_video_of_one_data_set_is_no_reject_of_another(tmp_path):
    for name in ("dfdc_train_part_0/a.mp4", "Celeb-real/id0_0000.mp4", "Celeb-real/odd.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listing = tmp_path / "dfdc_train_part_0" / "metadata.json"
    listing.write_text(LISTS["dfdc_train_part_0/metadata.json"])
    celeb, challenge = find_videos(tmp_path)
    assert [video.id for video in challenge.videos] == ["part_0/a"]
    assert [(r.video, r.reason) for r in celeb.rejects] == [
        ("celeb_df/Celeb-real/odd.mp4", "misnamed")
    ]
    assert challenge.rejects == ()


@pytest.mark.parametrize("label", ["REAL", "FAKE"])
def test_a_video_of_two_data_sets_is_read_once_and_a_clash_of_labels_refused(tmp_path, label):
    for name in ("dfdc_train_part_0/a.mp4", "real/x.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    listing = tmp_path / "dfdc_train_part_0" / "metadata.json"
    listing.write_text(LISTS["dfdc_train_part_0/metadata.json"])
    (tmp_path / "real" / "metadata.json").write_text(json.dumps({"x.mp4": {"label": label}}))
    if label == "REAL":
        (challenge,) = find_videos(tmp_path)
        assert [video.id for video in challenge.videos] == ["part_0/a", "real/x"]
    else:
        with pytest.raises(DatasetError, match=r"x\.mp4: fake as dfdc/real/x, but real as folder/"):
            find_videos(tmp_path)


def test_an_unclaimed_file_is_named_with_what_was_read(tmp_path):
    for name in ("Celeb-real/id0_0000.mp4", "extra/a.vob"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    ((reject,),) = (dataset.rejects for dataset in find_videos(tmp_path))
    assert (reject.video, reject.reason) == ("celeb_df/extra/a.vob", "unclaimed")
    assert "read was Celeb-real/, Celeb-synthesis/ and YouTube-real/" in reject.detail
    assert "Move it there, or list it in a CSV manifest." in reject.detail


def test_a_data_set_of_which_only_folders_are_there_does_not_stop_the_others(tmp_path):
    (tmp_path / "actors").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    (dataset,) = find_videos(tmp_path)
    assert dataset.name == "folder"
    assert any("no videos found. Expected original_sequences/actors" in n for n in dataset.notes)


def test_a_data_set_of_face_images_is_refused_with_what_to_do(tmp_path):
    """As benchmarks pass on FaceForensics++ and Celeb-DF."""
    frames = tmp_path / "original_sequences" / "youtube" / "c23" / "frames" / "000"
    frames.mkdir(parents=True)
    (frames / "001.PNG").touch()
    (tmp_path / "rest.tar.gz").touch()
    with pytest.raises(
        DatasetError, match=r"1 folders of images \(orig.*/frames/000/\)"
    ) as refused:
        find_videos(tmp_path)
    assert "1 archives (rest.tar.gz): unpack them in place." in str(refused.value)

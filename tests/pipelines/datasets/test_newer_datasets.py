"""The adapters of DeeperForensics-1.0, DF40, ForgeryNet and WildDeepfake on trees with the names of
the published data sets; the files are empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfdetect.__main__ import main
from pipelines.clip import FAKE, REAL, Video
from pipelines.datasets import Dataset, DatasetError, find_videos
from pipelines.splits.assign import split_videos
from pipelines.splits.audit import audit
from tests.pipelines.datasets.test_datasets import by_id, only, reasons, touch, write, write_splits

ORIGINALS = "original_sequences/youtube/c23/videos"


def write_lists(root: Path, train: str = "", val: str = "", test: str = "") -> None:
    for name, text in (("train", train), ("val", val), ("test", test)):
        write(root, f"lists/splits/{name}.txt", text)


# --- DeeperForensics-1.0


@pytest.fixture
def deeper(tmp_path) -> Path:
    write_lists(tmp_path, "000_M101.mp4\n", "003_W004.mp4\n", "007_M010.mp4")
    return touch(
        tmp_path,
        *(
            f"manipulated_videos/{variant}/{name}.mp4"
            for variant in ("end_to_end", "end_to_end_level_3", "reenact_postprocess")
            for name in ("000_M101", "003_W004", "007_M010")
        ),
        "source_videos/M101/light_up/neutral/camera_up/M101_light_up_neutral_camera_up.mp4",
    )


def test_deeperforensics_is_read_as_published(deeper):
    dataset = only(deeper)
    assert dataset.name == "deeperforensics" and len(dataset.videos) == 9
    assert by_id(dataset)["DeeperForensics/end_to_end/000_M101"] == Video(
        id="DeeperForensics/end_to_end/000_M101",
        uri=str(deeper / "manipulated_videos/end_to_end/000_M101.mp4"),
        label=FAKE,
        dataset="faceforensics",  # for its targets are that data set's originals
        method="DeeperForensics/end_to_end",
        identities=("000", "M101"),
        source_id="000",
        split="train",
    )
    splits = {v.id: v.split for v in dataset.videos if "level_3" in v.id}
    assert list(splits.values()) == ["train", "val", "test"]
    assert dataset.missing == () and [r.reason for r in dataset.rejects] == ["source_video"]
    assert "deeperforensics: no real videos" in dataset.notes[0]


def test_the_targets_of_deeperforensics_are_the_originals_of_faceforensics(deeper):
    touch(deeper, f"{ORIGINALS}/000.mp4", f"{ORIGINALS}/003.mp4")
    write_splits(deeper, val=(("000", "003"),), train=())
    plus, fakes = find_videos(deeper)
    videos = [v for d in (plus, fakes) for v in split_videos(d).videos]
    crossings = audit(videos, [v.key for v in videos])["crossings"]
    assert [(c["name"], c["splits"]) for c in crossings if c["kind"] == "identity"] == [
        ("000", ["train", "val"])
    ]


def test_listed_fakes_of_deeperforensics_are_missing_and_unlisted_ones_rejected(deeper):
    (deeper / "manipulated_videos/end_to_end/003_W004.mp4").unlink()
    touch(
        deeper,
        "manipulated_videos/end_to_end/009_M011.mp4",
        "manipulated_videos/end_to_end/009_011.mp4",
        "manipulated_videos/beginning/009_M011.mp4",
        "manipulated_videos/009_M011.mp4",
    )
    dataset = only(deeper)
    assert dataset.missing == ("manipulated_videos/end_to_end/003_W004.mp4",)
    assert sorted(reason for _, reason in reasons(dataset)) == [
        "misnamed",
        "misnamed",
        "misnamed",
        "source_video",
        "unlisted",
    ]


def test_deeperforensics_without_all_its_lists_is_dealt_by_its_people(deeper):
    (deeper / "lists/splits/val.txt").unlink()
    dataset = only(deeper)
    assert "no val.txt; the data set's own splits need all three lists." in dataset.notes[0]
    assert not any(video.split for video in dataset.videos)
    dealt = split_videos(dataset).videos
    assert len(dealt) == 9 and audit(dealt)["crossings"] == []


@pytest.mark.parametrize(
    ("val", "message"),
    [
        ("\n003.mp4\n", r"val\.txt:2: '003\.mp4'; expected a name such as 000_M101\.mp4"),
        ("000_M101.mp4", r"val\.txt:1: 000_M101\.mp4 is in train\.txt as well"),
    ],
)
def test_a_damaged_list_of_deeperforensics_is_named_with_its_line(deeper, val, message):
    write_lists(deeper, "000_M101.mp4", val)
    with pytest.raises(DatasetError, match=message):
        find_videos(deeper)


# --- DF40


@pytest.mark.parametrize("home", ["", "DF40/", "df40/train/", "Train/"])
def test_the_videos_of_df40_are_read_under_the_names_of_their_sources(tmp_path, home):
    touch(
        tmp_path,
        f"{home}simswap/ff/000_003.mp4",
        f"{home}sadtalker/ff/videos/007.mp4",
        f"{home}LIA/cdf/id0_id1_0002.mp4",
        f"{home}wav2lip/cdf/id3_0004.mp4",
    )
    dataset = only(tmp_path)
    assert (dataset.name, dataset.open_splits, dataset.rejects) == ("df40", ("train", "val"), ())
    people = {v.id: (v.dataset, v.identities, v.source_id, v.split) for v in dataset.videos}
    assert people == {
        "df40/simswap/ff/000_003": ("faceforensics", ("000", "003"), "000", ""),
        "df40/sadtalker/ff/007": ("faceforensics", ("007",), "007", ""),
        "df40/lia/cdf/id0_id1_0002": ("celeb_df", ("id0", "id1"), "id0_0002", "test"),
        "df40/wav2lip/cdf/id3_0004": ("celeb_df", ("id3",), "id3_0004", "test"),
    }
    assert {video.method for video in dataset.videos} >= {"df40/simswap", "df40/lia"}


def test_df40_follows_the_lists_of_faceforensics_where_they_are_there(tmp_path):
    write_splits(tmp_path, val=(("007", "008"),))
    names = ("000_003", "008_007", "000_007", "100_101", "odd")
    touch(tmp_path, *(f"train/simswap/ff/{name}.mp4" for name in names))
    dataset = only(tmp_path)
    assert {v.id[-7:]: v.split for v in dataset.videos if v.split} == {
        "000_003": "train",
        "008_007": "val",
    }
    rejects = {reject.uri[-11:-4]: reject.reason for reject in dataset.rejects}
    assert rejects["000_007"] == "across_splits" and rejects["/ff/odd"] == "misnamed"


def test_the_test_level_of_df40_is_its_test_split(tmp_path):
    touch(tmp_path, "train/simswap/ff/000_003.mp4", "test/simswap/ff/007_008.mp4")
    assert [v.split for v in only(tmp_path).videos] == ["", "test"]


def test_methods_of_df40_without_a_published_layout_are_named(tmp_path):
    touch(tmp_path, "simswap/ff/000_003.mp4", "heygen/fake/a.mp4", "simswap/other/b.mp4")
    assert reasons(only(tmp_path)) == [
        ("df40/heygen/fake/a.mp4", "unclaimed"),
        ("df40/simswap/other/b.mp4", "unclaimed"),
    ]


def test_df40_of_face_images_is_refused_with_what_to_do(tmp_path):
    touch(tmp_path, "simswap/ff/frames/000_003/001.png", "simswap/ff/frames/003_000/001.png")
    with pytest.raises(DatasetError, match=r"no videos found.*2 folders of images \(simswap/ff/"):
        find_videos(tmp_path)
    touch(tmp_path, "simswap/ff/frames/000_003.mkv")
    dataset = only(tmp_path)
    assert [video.id for video in dataset.videos] == ["df40/simswap/ff/000_003"]
    assert any("1 folders of images (simswap/ff/frames/003_000/)" in n for n in dataset.notes)


# --- ForgeryNet


@pytest.fixture
def forgery(tmp_path) -> Path:
    train, val = "Training/video/train_video_release", "Validation/video/val_video_release"
    touch(tmp_path, f"{train}/1/a/x.mp4", f"{train}/17/x.mp4", f"{val}/7/y.mp4")
    write(
        tmp_path,
        "Training/video_list.txt",
        "2 train_video_release/1/a/x.mp4 0 10 0 10 90 1 1 1 1\n"
        "1 train_video_release/17/x.mp4 0 100 0 0 0 0\r\n\r\n",
    )
    write(
        tmp_path,
        "Validation/video/val_video_list.txt",
        "1 val_video_release/7/y.mp4 0 9 1 1 2 7\n0 val_video_release/16/z.mp4 0 0 0\n",
    )
    return tmp_path


def test_forgerynet_is_read_by_its_lists(forgery):
    dataset = only(forgery)
    videos = by_id(dataset)
    assert list(videos) == [
        "train/train_video_release/1/a/x",
        "train/train_video_release/17/x",
        "val/val_video_release/7/y",
    ]
    fake, real, other = videos.values()
    assert (fake.label, fake.method, fake.split) == (FAKE, "approach_1", "train")
    assert (real.label, real.method, real.source_id) == (REAL, "original", real.id)
    assert (other.label, other.method, other.split) == (FAKE, "approach_7", "val")
    assert dataset.missing == ("Validation/val_video_release/16/z.mp4",)
    assert len(split_videos(dataset).videos) == 3


def test_unlisted_videos_of_forgerynet_are_rejected(forgery):
    touch(forgery, "Training/video/train_video_release/2/x.mp4")
    assert [reason for _, reason in reasons(only(forgery))] == ["unlisted"]


def test_forgerynet_without_its_lists_says_that_they_are_needed(tmp_path):
    touch(tmp_path, "Training/video/train_video_release/1/x.mp4")
    with pytest.raises(DatasetError, match=r"1 files left out as unlisted \(x.*video_list"):
        find_videos(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x.mp4 1", r"video_list\.txt:1: 'x\.mp4 1'; expected `<n> <path>"),
        ("1 x.mp4 1 1 1", r":1: '1 x\.mp4 1 1 1'; expected"),
        ("0 x.mp4 1 1 one", r":1: '0 x\.mp4 1 1 one'; expected"),
        ("0 x.mp4 1 1 0", r":1: binary label 1 and approach 0; expected 0 and 0 of a real"),
        ("0 x.mp4 1 1 16", r":1: binary label 1 and approach 16"),
        ("0 x.mp4 1 1 2\n0 x.mp4 1 1 3", r":2: x\.mp4 is of approach 2 as well"),
    ],
)
def test_a_damaged_list_of_forgerynet_is_named_with_its_line(forgery, line, message):
    write(forgery, "Training/video_list.txt", line)
    with pytest.raises(DatasetError, match=message):
        find_videos(forgery)


# --- WildDeepfake


def test_wilddeepfake_of_images_and_archives_is_refused_with_what_to_do(tmp_path):
    touch(tmp_path, "deepfake_in_the_wild/real train/0.tar.gz", "fake_test/1/fake/7/12.png")
    with pytest.raises(DatasetError) as refused:
        find_videos(tmp_path)
    assert "1 folders of images (fake_test/1/fake/7/): make a video of each" in str(refused.value)
    assert "1 archives (deepfake_in_the_wild/real train/0.tar.gz): unpack" in str(refused.value)


def test_wilddeepfake_made_into_videos_has_its_own_test_split(tmp_path):
    touch(
        tmp_path,
        "deepfake_in_the_wild/real_train/0/real/3.mkv",
        "deepfake_in_the_wild/real_train/0/real/3/1.png",
        "deepfake_in_the_wild/real_train/0/real/4.mkv",
        "deepfake_in_the_wild/Fake Test/0/fake/3.mkv",
    )
    dataset = only(tmp_path)
    facts = [(v.id, v.label, v.identities, v.split) for v in dataset.videos]
    assert facts == [
        ("fake_test/0/fake/3", FAKE, ("fake_test/0",), "test"),
        ("real_train/0/real/3", REAL, ("real_train/0",), ""),
        ("real_train/0/real/4", REAL, ("real_train/0",), ""),
    ]
    assert (dataset.open_splits, dataset.notes, dataset.rejects) == (("train", "val"), (), ())
    splits = {v.id: v.split for v in split_videos(dataset).videos}
    assert splits["real_train/0/real/3"] == splits["real_train/0/real/4"]


# --- the command


def shown(root: Path, capsys) -> str:
    assert main(["datasets", str(root)]) == 0
    return capsys.readouterr().out


def test_the_command_shows_each_of_them(deeper, forgery, capsys):
    touch(forgery, "simswap/ff/000_003.mp4", "real_test/0/1.mkv")
    out = shown(forgery, capsys)
    names = ("deeperforensics: 9 videos", "df40: 1 ", "forgerynet: 3 ", "wild_deepfake: 1 ")
    assert all(name in out for name in names)
    found: list[Dataset] = find_videos(forgery)
    assert sum(len(dataset.videos) for dataset in found) == 14

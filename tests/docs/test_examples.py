"""The scripts of examples/, run as they are on the small sample set."""

import csv
import runpy
import sys

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.datasets import find_videos
from tests.fixtures import ROOT

EXAMPLES = ROOT / "examples"
MAX_LINES = 60


@pytest.fixture
def run_example(monkeypatch):
    """Runs a script as `python examples/NAME ARGUMENTS` would, in this process, which is faster."""

    def run(name: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return run


@pytest.mark.pages
def test_a_folder_of_videos_is_scored_and_a_damaged_one_does_not_stop_it(
    run_example, exported, sample, tmp_path, capsys
):
    folder = tmp_path / "videos"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "a.mp4").symlink_to(next(sample.rglob("*.mp4")))
    (folder / "b.mp4").write_bytes(b"no video")
    run_example("score_folder.py", exported.parent, folder)
    refused, judged, total = capsys.readouterr().out.splitlines()
    assert judged.startswith("DEMO MODEL: no verdict  score 0.") and judged.endswith("a.mp4")
    assert refused.startswith("not judged") and "b.mp4" in refused
    assert total == f"2 videos in {folder}, by dfdetect/1"


@pytest.mark.pages
def test_a_model_is_trained_on_a_csv_list_of_videos(
    run_example, sample_shards, tmp_path, capsys, unchecked
):
    """The list has what a user would write. Splits too: six people are too few to deal to three."""
    columns = ["uri", "label", "identities", "split"]
    with open(sample_shards / "manifest.csv", newline="") as manifest:
        rows = [[row[column] for column in columns] for row in csv.DictReader(manifest)]
    with open(tmp_path / "videos.csv", "w", newline="") as listed:
        csv.writer(listed).writerows([columns, *rows])
    run_example("train_on_csv.py", tmp_path / "videos.csv", tmp_path / "mine")
    assert (tmp_path / "mine" / "model" / "dfdetect" / "1" / "saved_model.pb").is_file()
    assert (tmp_path / "mine" / "evaluation" / "report.html").is_file()
    assert f"model: {tmp_path / 'mine' / 'model' / 'dfdetect' / '1'}" in capsys.readouterr().out


def test_each_folder_of_images_becomes_a_lossless_video_beside_it(run_example, tmp_path, capsys):
    folder = tmp_path / "fake_train" / "0" / "fake" / "7"
    folder.mkdir(parents=True)
    for number in (2, 10, 1):
        picture = np.random.default_rng(number).integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
    run_example("images_to_videos.py", tmp_path)
    with av.open(str(folder.with_suffix(".mkv"))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 3
    for number, frame in zip((1, 2, 10), frames, strict=True):
        assert np.array_equal(frame, np.asarray(Image.open(folder / f"{number}.png")))
    (dataset,) = find_videos(tmp_path)
    assert [video.id for video in dataset.videos] == ["fake_train/0/fake/7"]
    assert not any("of images" in note for note in dataset.notes)
    run_example("images_to_videos.py", tmp_path)
    made, again = capsys.readouterr().out.splitlines()
    assert (made, again) == (f"1 videos made in {tmp_path}", f"0 videos made in {tmp_path}")


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_named_in_the_readme(script):
    assert len(script.read_text().splitlines()) <= MAX_LINES
    assert script.name in (EXAMPLES / "README.md").read_text()

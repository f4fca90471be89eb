"""The recipe for an accelerator: what it takes along, and the weights that come back."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from pipelines.clip import FAKE, REAL, Clip, Video
from pipelines.config import PreprocessConfig
from tests.fixtures import ROOT
from tests.fixtures.clip_datasets import write_clip_dataset

GPU = ROOT / "recipes" / "gpu"


def face(shade: int, side: int) -> bytes:
    return cv2.imencode(".jpg", np.full((side, side, 3), shade, np.uint8))[1].tobytes()


def clips(name: str, label: int, number: int, side: int, split: str) -> list[tuple[Video, Clip]]:
    video = Video(name, "", label, "own", source_id=name, split=split)
    zeros = [np.zeros((1, *shape), np.float32) for shape in ((), (4,), (5, 2), (), (2, 3))]
    return [(video, Clip(i, 0, 25.0, [face(40 * i + 40, side)], *zeros)) for i in range(number)]


def shards(folder, side: int, margin: float):
    splits = {
        "train": clips("still", REAL, 1, side, "train")
        + clips("video", REAL, 3, side, "train")
        + clips("fake", FAKE, 1, side, "train"),
        "val": clips("other", REAL, 2, side, "val"),
        "test": clips("kept apart", REAL, 1, side, "test"),
    }
    config = PreprocessConfig(crop_size=side, margin=margin, frames_per_clip=1)
    return write_clip_dataset(folder, config, splits)


@pytest.fixture(scope="module")
def canvases(tmp_path_factory):
    file = tmp_path_factory.mktemp("canvases") / "faces.npz"
    data = shards(tmp_path_factory.mktemp("shards"), 320, 0.9)
    assert runpy.run_path(str(GPU / "canvases.py"))["main"]([str(data), str(file)]) == 0
    return file


def test_real_faces_of_training_and_validation_are_taken_along(canvases):
    arrays = np.load(canvases)
    assert arrays["is_val"].tolist() == [False] * 4 + [True] * 2
    assert arrays["is_video"].tolist() == [False, True, True, True, True, True]
    start, end = arrays["offsets"][2:4]
    picture = cv2.imdecode(arrays["pictures"][start:end], cv2.IMREAD_COLOR)
    assert picture.shape == (320, 320, 3) and abs(int(picture.mean()) - 80) <= 1
    assert arrays["imagenet/_conv_stem.weight"].shape == (32, 3, 3, 3)


def test_crops_of_another_size_are_refused_with_the_flags_to_give(tmp_path, capsys):
    data = shards(tmp_path, 96, 0.9)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(GPU / "canvases.py"))["main"]([str(data), str(tmp_path / "x.npz")])
    assert ended.value.code == 1
    assert "--crop-size 320 --margin 0.9" in capsys.readouterr().err


@pytest.mark.torch
def test_weights_come_back_into_the_keras_network(canvases, tmp_path):
    from trainer.model.efficientnet_lite import build_lite
    from trainer.model.pretrained import load_backbone

    out = tmp_path / "out"
    command = [sys.executable, GPU / "train.py", canvases, out, "--seconds", "1", "--batch", "4"]
    subprocess.run([*command, "--makers", "1"], check=True)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] >= 1 and 0 <= rows[-1]["all"] <= 1
    network = build_lite("efficientnet_lite0", (64, 64, 3))
    assert load_backbone(network, out / "backbone.safetensors") == []
    stem = load_file(out / "backbone.safetensors")["_conv_stem.weight"]
    ours = network.get_layer("stem_conv").kernel.numpy()
    np.testing.assert_array_equal(ours, stem.transpose(2, 3, 1, 0))

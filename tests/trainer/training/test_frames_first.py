"""Frames first, time after: training on still pictures, then over clips with that backbone."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.beam.settings import PreprocessSettings
from pipelines.config import PreprocessConfig
from pipelines.datasets import find_videos, write_manifest
from pipelines.preprocess import preprocess
from pipelines.shards.open import ClipDataset
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe
from trainer.config import TrainConfig
from trainer.input.clips import read_clips
from trainer.model.backbones import BACKBONE
from trainer.model.detector import load_model
from trainer.run import MODEL_NAME
from trainer.training.train import train

TINY = TrainConfig(backbone="resnext_tiny", temporal="mean", epochs=1, augment=False)


@pytest.fixture(scope="module")
def lists(sample, tmp_path_factory) -> tuple[Path, Path]:
    """CSV lists of a picture from each video of the sample set, and of these and the videos."""
    root = tmp_path_factory.mktemp("pictures")
    (dataset,) = find_videos(sample)
    pictures = []
    for number, video in enumerate(dataset.videos):
        (image,) = read_frames(probe(video.uri), [number % 8])
        Image.fromarray(image).save(root / f"{number}.png")
        uri = str(root / f"{number}.png")
        pictures.append(dataclasses.replace(video, id=f"{video.id}.png", uri=uri))
    (root / "pictures.csv").write_bytes(write_manifest(pictures))
    (root / "both.csv").write_bytes(write_manifest([*pictures, *dataset.videos]))
    return root / "pictures.csv", root / "both.csv"


def shards(root: Path, crops: PreprocessConfig, out: Path) -> list[list[bool]]:
    """Makes the shards; the masks of their training clips."""
    preprocess(str(root), str(out), crops, PreprocessSettings(shards=1))
    return [c["mask"].numpy().tolist() for c in read_clips(ClipDataset.open(out), "train")]


def backbone_weights(run: Path) -> list[np.ndarray]:
    backbone = load_model(run / MODEL_NAME).get_layer(BACKBONE)
    return [np.array(weight) for weight in backbone.trainable_weights]


def test_a_backbone_that_learnt_on_pictures_goes_under_a_temporal_model(
    lists, small_config, tmp_path
):
    pictures, both = lists
    one_frame = dataclasses.replace(small_config, frames_per_clip=1)
    masks = shards(pictures, one_frame, tmp_path / "pictures")
    assert masks and all(mask == [True] for mask in masks)
    frames = train(tmp_path / "pictures", tmp_path / "frames", TINY, verbose=False)
    masks = shards(both, small_config, tmp_path / "both")
    assert {sum(mask) for mask in masks} == {1, 4} and all(mask[0] for mask in masks)
    over_time = {"temporal": "lstm", "temporal_units": 8, "backbone_rate": 0.0}
    config = dataclasses.replace(TINY, **over_time, pretrained=str(frames / MODEL_NAME))
    clips = train(tmp_path / "both", tmp_path / "clips", config, verbose=False)
    for before, after in zip(backbone_weights(frames), backbone_weights(clips), strict=True):
        np.testing.assert_array_equal(before, after)
    history = json.loads((clips / "history.json").read_text())
    assert np.isfinite(history["epochs"]["val_loss"]).all()

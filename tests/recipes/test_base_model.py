"""The recipe of a base model: from real videos to the figures of its gate, on generated people."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from tests.fixtures import ROOT


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_real_footage_becomes_a_scored_model_and_a_second_call_makes_nothing_again(
    sample, tmp_path
):
    out, index = tmp_path / "out", tmp_path / "index"
    index.mkdir()
    with open(index / "index.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("uri", "label", "method", "pair"))
        for label, path in zip(
            ("real", "fake"),
            sorted(sample.glob("*_sequences/*/*/videos/*.mp4"))[::-1][:2],
            strict=True,
        ):
            (index / f"{label}.mp4").symlink_to(path)
            writer.writerow((f"{label}.mp4", label, f"faceswap {label}", "one"))
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "BLEND_FLAGS": "--seconds 0.5",
        "PREPROCESS_FLAGS": "--crop-size 48 --min-face 40 --shards 1",
        "TRAIN_FLAGS": "--backbone resnext_tiny --pretrained= --epochs 1",
        "INDEX": str(index / "index.csv"),
    }
    command = ["bash", str(ROOT / "recipes/base_model.sh"), str(sample), str(out)]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True) for _ in range(2)
    )
    # What one epoch on six people is worth: nothing, and the gate says so.
    assert first.returncode == 1, first.stdout + first.stderr
    assert first.stdout.endswith("The gate is NOT passed.\n")
    assert json.loads((out / "scores/scores_info.json").read_text())["videos"] == 2
    assert second.stdout.count("is there already, and kept.") == 6
    assert second.stdout.splitlines()[-8:] == first.stdout.splitlines()[-8:]

"""The gate of a base model: what it counts, and that it is passed and missed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import base_model_gate as gate
from tests.fixtures import ROOT

# uri, label, method, identities, pair; probability_fake, verdict
PASSING = [
    ("a_real.mp4", "real", "original", "a", "one", 0.1, "REAL"),
    ("a_fake.mp4", "fake", "faceswap:X", "a", "one", 0.9, "FAKE"),
    ("b_real.mp4", "real", "original", "b", "two", 0.6, "INCONCLUSIVE"),
    ("b_fake.mp4", "fake", "faceswap:X", "b", "two", 0.8, "FAKE"),
    ("c_fake.mp4", "fake", "talking head", "c", "", 0.7, "INCONCLUSIVE"),
    ("d_real.mp4", "real", "original (256px crop)", "d", "", 1.0, "FAKE"),
]


def write(folder: Path, rows: list[tuple]) -> tuple[Path, Path]:
    index, scores = folder / "index.csv", folder / "scores"
    scores.mkdir()
    with open(index, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("uri", "label", "method", "identities", "pair"))
        writer.writerows(row[:5] for row in rows)
    lines = [
        {"path": str(folder / row[0]), "probability_fake": row[5], "verdict": row[6]}
        for row in rows
    ]
    lines.append({"path": "/other/real.mp4", "probability_fake": None, "verdict": "NO_FACE"})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (scores / "scores-00000-of-00001.jsonl").write_text(text)
    return index, scores


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "benchmarks/base_model_gate.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_model_that_keeps_all_bounds_passes_without_the_methods_left_out(tmp_path):
    done = run(*write(tmp_path, PASSING))
    assert done.returncode == 0 and done.stdout.endswith("The gate is passed.\n")
    assert "false alarms: real called FAKE   0.000 [0.000, 0.000] of 3 videos" in done.stdout
    assert "swaps called FAKE                1.000" in done.stdout
    assert "fake called REAL                 0.000 [0.000, 0.000] of 3 videos" in done.stdout


def test_a_false_accusation_misses_the_gate(tmp_path):
    done = run(*write(tmp_path, PASSING), "--leave-out", "")
    assert done.returncode == 1 and done.stdout.endswith("The gate is NOT passed.\n")
    assert "of 4 videos  <= 0.05: NO" in done.stdout


def test_other_real_videos_count_as_false_alarms_and_not_in_the_auc(tmp_path):
    index, scores = write(tmp_path, PASSING)
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"path": "/r.mp4", "probability_fake": 1.0, "verdict": "FAKE"}))
    lines = {line[:32].strip(): line for line in run(index, scores, more).stdout.splitlines()}
    assert "0.250 [" in lines["false alarms: real called FAKE"]
    assert "1.000 [" in lines["AUC"]


@pytest.mark.parametrize(("fake", "expected"), [(0.4, 1.0), (0.3, 0.5), (0.2, 0.0)])
def test_order_is_the_share_of_pairs_whose_fake_scores_higher(fake, expected):
    videos = [
        gate.Video({"path": label, "probability_fake": score, "verdict": ""}, row)
        for label, score in (("real", 0.3), ("fake", fake))
        for row in [{"label": label, "method": label, "pair": "p"}]
    ]
    assert gate.order(videos) == expected

"""Recipes of published protocols: their steps on small trees of the same layout, their tables."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipes import table
from tests.fixtures import ROOT
from tests.fixtures.published_layouts import write_published_layouts

RECIPES = ROOT / "recipes"
QUICK = {
    "PREPROCESS_FLAGS": "--frames-per-clip 4 --crop-size 48 --min-face 40 --shards 1",
    "TRAIN_FLAGS": "--backbone resnext_tiny --pretrained= --epochs 1 --no-augment",
}


@pytest.fixture(scope="module")
def trees(made_once, sample) -> Path:
    return made_once("published", lambda root: write_published_layouts(sample, root))


def run(recipe: str, data: Path, out: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **QUICK}
    command = ["bash", str(RECIPES / f"{recipe}.sh"), str(data), str(out)]
    return subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True)


def check(recipe: str, trees: Path, out: Path, rows: dict[str, str]) -> None:
    """Runs a recipe to its end; rows: what is tested -> real and fake videos."""
    done = run(recipe, trees, out)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (out / "table.md").read_text()
    assert done.stdout.endswith(text)
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    counts = {row[1]: row[3] for row in cells if len(row) > 3}
    assert counts == {**counts, **rows} and len(counts) == len(rows) + 2
    # A second time nothing is done but the table.
    again = run(recipe, trees, out, PYTHON=str(RECIPES / "no-python"))
    assert "no-python" in again.stderr and "is there already" in again.stdout
    assert run(recipe, trees, out).stdout.endswith(text)


@pytest.mark.pages
@pytest.mark.timeout(1800)
def test_self_blends_are_trained_without_a_fake_and_tested_on_all_data_sets(trees, tmp_path):
    rows = {"Celeb-DF v2": "3 + 3", "DFD": "4 + 4", "DFDC": "4 + 4", "FF++ c23": "2 + 8"}
    check("sbi", trees, tmp_path / "out", rows)
    record = json.loads((tmp_path / "out" / "sbi" / "config.json").read_text())
    assert record["train"]["fakes"] == "self-blend"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_four_methods_are_trained_on_and_tested_across_data_sets(trees, tmp_path):
    rows = {"FF++ c23": "2 + 8", "DFD": "4 + 4", "DFDC": "4 + 4"}
    rows |= dict.fromkeys(("Celeb-DF v1", "Celeb-DF v2"), "3 + 3")
    check("deepfakebench", trees, tmp_path / "out", rows)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_method_is_left_out_of_a_training_and_tested_on(trees, tmp_path):
    check("leave_one_out", trees, tmp_path / "out", dict.fromkeys(table.METHODS, "2 + 2"))


@pytest.mark.parametrize("recipe", table.PROTOCOLS)
def test_without_faceforensics_a_recipe_says_what_is_missing(recipe, tmp_path):
    done = run(recipe, tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert f"{tmp_path / 'FaceForensics++'} is not there; recipes/README.md says" in done.stderr


def test_without_the_lists_of_its_splits_faceforensics_is_refused(tmp_path):
    (tmp_path / "FaceForensics++").mkdir()
    done = run("sbi", tmp_path, tmp_path / "out")
    assert done.returncode == 1 and "has no splits/{train,val,test}.json" in done.stderr


def test_a_recipe_without_its_two_folders_is_wrong_usage():
    done = subprocess.run(["bash", RECIPES / "sbi.sh"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: bash recipes/sbi.sh DATA OUT")


def metrics(real: int, fake: int, auc: float, **fields) -> dict:
    part = {"real": real, "fake": fake, "roc_auc": auc, "intervals": {"roc_auc": [auc - 0.1, auc]}}
    return {"video": part, "frame": {**part, "roc_auc": 0.5}, "sample_data": False, **fields}


def test_a_row_has_the_figure_of_its_level_or_method_with_its_interval(tmp_path):
    file = tmp_path / "metrics.json"
    of_method = {"name": "FaceSwap", **metrics(3, 2, 0.8)["video"]}
    file.write_text(json.dumps(metrics(3, 9, 0.75, slices={"method": [of_method]})))
    assert table.measured(file, "video") == ("75.0 [65.0, 75.0]", "3 + 9")
    assert table.measured(file, "frame") == ("50.0 [65.0, 75.0]", "3 + 9")
    assert table.measured(file, "video", "FaceSwap") == ("80.0 [70.0, 80.0]", "3 + 2")
    with pytest.raises(SystemExit, match="no video of Face2Face, but of FaceSwap"):
        table.measured(file, "video", "Face2Face")


def test_figures_of_generated_videos_are_marked(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(metrics(1, 1, 0.9, sample_data=True)))
    assert table.measured(file, "video")[1] == "1 + 1 (generated)"


def test_every_published_figure_is_of_a_row_and_has_a_source():
    with open(RECIPES / "published.csv", newline="") as file:
        figures = list(csv.DictReader(file))
    keys = [(row["protocol"], row["test"], row["detector"]) for row in figures]
    assert len(keys) == len(set(keys))
    for row in figures:
        assert row["test"] in {each.test for each in table.PROTOCOLS[row["protocol"]].rows}
        assert row["source"] in table.SOURCES and 50 < float(row["auc"]) < 100


def test_the_readme_holds_every_recipe_and_its_table_as_it_is_before_a_run():
    readme = (RECIPES / "README.md").read_text()
    assert {path.stem for path in RECIPES.glob("*.sh")} - {"steps", "base_model"} == set(
        table.PROTOCOLS
    )
    for recipe in table.PROTOCOLS:
        assert f"bash recipes/{recipe}.sh DATA" in readme
        assert table.table(recipe) in readme

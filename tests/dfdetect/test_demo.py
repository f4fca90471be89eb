"""What the demo claims, measured: unseen people are told apart, and only by true labels."""

import json

import pytest

from dfdetect import demo
from dfdetect.__main__ import main
from trainer.config import TrainConfig
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.metrics import ROC_AUC
from trainer.training.train import train


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_separates_unseen_people_and_shuffled_labels_do_not(tmp_path, capfd):
    out = tmp_path / "demo"
    assert main(["demo", "--output", str(out)]) == 0
    assert capfd.readouterr().out.count(", DEMO MODEL: no verdict ") == 2  # of the videos it asks
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["video"]["roc_auc"] >= 0.85

    config = TrainConfig(**demo.SETTINGS, epochs=10, shuffle_labels=True)
    train(out / "data", tmp_path / "shuffled", config, verbose=False)
    shuffled = evaluate(tmp_path / "shuffled", out / "data", tmp_path / "report").result
    # Thirty videos: chance alone moves the figure by 0.11 (one standard deviation).
    assert 0.28 < shuffled.video.value(ROC_AUC) < 0.72


def test_a_demo_is_not_overwritten_unasked(tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    assert main(["demo", "--output", str(tmp_path)]) == 1
    assert "--overwrite" in capsys.readouterr().err

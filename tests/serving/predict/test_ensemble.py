"""An ensemble from its calibration to a verdict: exports, one of them on a server."""

import json

import pytest

from dfdetect.__main__ import main
from pipelines.clip import FAKE, REAL
from serving.model_server.server import start_in_thread
from tests.fixtures.coloured_crops import GREEN, RED, write_run, write_shards
from trainer.evaluation.calibrate import calibrate
from trainer.exporting.export import export

# Video -> label and, of each clip, the track, its red and its green: each colour errs elsewhere.
VAL = {
    "r1": (REAL, [(0, 110, 100)]),
    "r2": (REAL, [(0, 150, 80)]),
    "r3": (REAL, [(0, 80, 150)]),
    "f1": (FAKE, [(0, 100, 190)]),
    "f2": (FAKE, [(0, 190, 100)]),
    "f3": (FAKE, [(0, 150, 160)]),
}


@pytest.fixture
def made(tmp_path, unchecked):
    """Shards, and two exports by name: one knows how red a crop is, the other how green."""
    data = write_shards(tmp_path / "shards", val=VAL)
    exports = {}
    for name, colour in (("red", RED), ("green", GREEN)):
        run = write_run(tmp_path / "runs" / name, colour)
        calibrate(run, data)
        exports[name] = export(run, tmp_path / "models", name)
    return data, exports


def test_what_was_calibrated_together_is_served_together(made, face_video, tmp_path, capsys):
    data, exports = made
    red, green, file = str(exports["red"]), str(exports["green"]), str(tmp_path / "e.json")
    argv = ["--ensemble", "mean-logit", "--model", red, "--model", green]
    assert main(["calibrate", *argv, "--data", str(data), "--out", file]) == 0
    capsys.readouterr()

    def judged(*flags):
        assert main(["predict", "--json", *flags, str(face_video)]) == 0
        (result,) = json.loads(capsys.readouterr().out)
        return result

    with start_in_thread(exports["green"].parent) as url:
        served = f"{url}/v1/models/dfdetect"
        result = judged("--model", red, "--model", served, "--ensemble", file)
        alone = [judged("--model", red), judged("--model", served)]
    assert result["model"] == "mean-logit/red/1+dfdetect/1"
    scores = [opinion["probability_fake"] for opinion in result["opinions"]]
    assert scores == pytest.approx([one["probability_fake"] for one in alone], abs=1e-6)
    assert [o["verdict"] for o in result["opinions"]] == [one["verdict"] for one in alone]
    said = json.loads((tmp_path / "e.json").read_text())
    low, high = (said["thresholds"][name] for name in ("real_below", "fake_above"))
    score = result["probability_fake"]
    expected = "FAKE" if score >= high else "REAL" if score <= low else "INCONCLUSIVE"
    assert result["verdict"] == expected or result["reasons"]


def test_a_member_that_was_calibrated_again_is_refused(made, face_video, tmp_path, capsys):
    data, exports = made
    file = tmp_path / "e.json"
    argv = ["--ensemble", "mean-logit"]
    for export_of in exports.values():
        argv += ["--model", str(export_of)]
    assert main(["calibrate", *argv, "--data", str(data), "--out", str(file)]) == 0
    values = json.loads(file.read_text())
    values["members"][0]["temperature"] *= 2
    file.write_text(json.dumps(values))
    models = [word for one in exports.values() for word in ("--model", str(one))]
    assert main(["predict", *models, "--ensemble", str(file), str(face_video)]) == 1
    assert "calibrated again since the ensemble was" in capsys.readouterr().err

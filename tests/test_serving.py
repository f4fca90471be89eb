"""Serving: the protocol of TensorFlow Serving over real HTTP, and verdicts on real files."""

import json
import socket

import numpy as np
import pytest

from pipelines.inspect import read_clips
from serving import predict
from serving.client import (
    InProcessModel,
    InvalidRequest,
    ModelConfig,
    NotFound,
    RestClient,
    Unreachable,
    newest_version,
)
from serving.model_server.server import start_in_thread


@pytest.fixture(scope="module")
def url(exported):
    with start_in_thread(exported.parent) as address:
        yield address


@pytest.fixture(scope="module")
def client(url):
    with RestClient(url) as model:
        model.wait_ready(5)
        yield model


@pytest.fixture(scope="module")
def clips(sample_shards):
    return [clip.images for _, clip in read_clips(sample_shards, "test")]


def test_the_server_and_the_model_in_process_give_the_same_numbers(client, exported, clips):
    here = InProcessModel(exported)
    assert here.config() == client.config()
    for a, b in zip(here.predict(clips), client.predict(clips), strict=True):
        assert a.probability_fake == pytest.approx(b.probability_fake, abs=1e-6)
        assert a.frame_probability == pytest.approx(b.frame_probability, abs=1e-6)


def test_clips_of_different_lengths_do_not_change_each_others_result(client, clips):
    together = client.predict([clips[0], clips[1][:2]])
    alone = [client.predict([clips[0]])[0], client.predict([clips[1][:2]])[0]]
    for a, b in zip(together, alone, strict=True):
        assert a.probability_fake == pytest.approx(b.probability_fake, abs=1e-5)


def test_nobody_at_the_address_is_an_error_that_says_what_to_start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with RestClient(address) as model:
        with pytest.raises(Unreachable, match="dfdetect serve"):
            model.config()
        with pytest.raises(Unreachable):
            model.wait_ready(0.1)


def test_errors_of_the_server_arrive_as_exceptions(url):
    with RestClient(url, "other") as model, pytest.raises(NotFound, match="not found"):
        model.config()
    with RestClient(url) as model, pytest.raises(InvalidRequest, match="status 400"):
        model.predict([[b"no image"]])


def test_a_model_trained_on_other_crops_is_refused_by_both_fingerprints(small_config):
    stored = json.dumps({"config": small_config.to_dict(), "fingerprint": "0123456789abcdef"})
    verdict = json.dumps({"real_below": 0.4, "fake_above": 0.6})
    with pytest.raises(ValueError, match=f"0123456789abcdef.*{small_config.fingerprint}"):
        ModelConfig.from_json(stored, verdict)


def test_the_newest_version_is_the_highest_number_not_the_last_name(tmp_path):
    for name in ("2", "10", "temp-11"):
        (tmp_path / name).mkdir()
    assert newest_version(tmp_path).name == "10"
    with pytest.raises(FileNotFoundError, match="dfdetect export"):
        newest_version(tmp_path / "2" / "none")


def test_predict_gives_verdicts_over_http_as_json(url, sample, capsys):
    videos = [str(p) for p in sorted(sample.rglob("*.mp4"))[:2]]
    assert predict.main([*videos, "--model-server", url, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [r["path"] for r in results] == videos
    for result in results:
        assert result["verdict"] in ("FAKE", "REAL", "INCONCLUSIVE")
        assert 0 <= result["probability_fake"] <= 1
        assert result["tracks"][0]["end_s"] > result["tracks"][0]["start_s"] >= 0
        assert result["frames_with_face"] == result["frames_sampled"] > 0


def test_one_bad_file_does_not_stop_the_others_and_the_exit_code_is_1(
    exported, sample, tmp_path, write_video, capsys
):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video\n")
    noise = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    faceless = write_video(tmp_path / "noise.mp4", noise)
    good = sorted(sample.rglob("*.mp4"))[0]
    argv = [str(bad), str(faceless), str(good), "--model-dir", str(exported), "--json"]
    assert predict.main(argv) == 1
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert results[0]["error"] == "unreadable" and "bad.mp4" in captured.err
    assert results[1]["verdict"] == "NO_FACE" and results[1]["probability_fake"] is None
    assert results[2]["verdict"] != "NO_FACE"


def test_predict_for_people_prints_a_line_a_video(exported, sample, capsys):
    video = str(sorted(sample.rglob("*.mp4"))[0])
    assert predict.main([video, "--model-dir", str(exported.parent)]) == 0
    line = capsys.readouterr().out
    assert video in line and "P(fake)" in line and "1 face(s)" in line


@pytest.mark.parametrize(
    "argv",
    [[], ["a.mp4"], ["a.mp4", "--model-dir", "x", "--model-server", "y"], ["a.mp4", "--guess"]],
)
def test_wrong_usage_of_predict_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        predict.main(argv)
    assert caught.value.code == 2 and capsys.readouterr().err


def test_a_missing_model_is_named_with_what_to_do(tmp_path, capsys):
    assert predict.main(["a.mp4", "--model-dir", str(tmp_path)]) == 1
    assert "dfdetect export" in capsys.readouterr().err

"""Scoring an archive: the verdicts of `predict`, at scale, with nothing lost on the way."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from apache_beam.io.components import adaptive_throttler
from apache_beam.utils import retry
from grpc import StatusCode
from rich.console import Console

from dfdetect.__main__ import main
from pipelines.beam.job_metrics import table
from pipelines.beam.output import PARTS
from pipelines.coverage import ScanSettings
from pipelines.names import escape, unescape
from serving.analysis.video_result import DEMO_REASON
from serving.batch import score, transforms
from serving.batch.transforms import MOMENTS
from serving.client import InProcessModel, ModelSource
from serving.model_server.rest import RestApi
from serving.model_server.server import start_in_thread
from serving.model_server.status import StatusError
from serving.predict.predict import predict_video
from serving.provenance.reader import FactsReader
from tests.fixtures import ROOT
from tests.fixtures.hostile_videos import claiming


@pytest.fixture(scope="module")
def archive(tmp_path_factory, sample, write_video) -> Path:
    """Four videos with a face, one without, one that is none, and a file that is no video's."""
    import numpy as np

    root = tmp_path_factory.mktemp("archive")
    (root / "deep" / "er").mkdir(parents=True)
    for i, video in enumerate(sorted(sample.rglob("*.mp4"))[:4]):
        shutil.copy(video, root / ("deep/er" if i % 2 else "") / f"{i}.mp4")
    noise = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    write_video(root / "noise.mp4", noise)
    (root / "text.mp4").write_text("no video\n")
    (root / "list.txt").write_text("0.mp4\n")
    return root


@pytest.fixture(scope="module")
def scored(archive, exported, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scores") / "out"
    assert run(archive, exported, out) == 0
    return out


def run(archive, model, out, *flags: str) -> int:
    argv = [
        "--input",
        str(archive),
        "--output",
        str(out),
        *(("--model", str(model)) if model else ()),
    ]
    return main(["score", *argv, *flags])


def results(out: Path) -> list[dict]:
    text = "".join(path.read_text() for path in out.glob("scores-*.jsonl"))
    return sorted(map(json.loads, text.splitlines()), key=lambda line: line["path"])


def assert_same(ours, theirs) -> None:
    """But for the last digits of scores, which depend on what shares a batch."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert_same(ours[name], value)
    elif isinstance(theirs, list):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        assert ours == (pytest.approx(theirs, abs=1e-6) if isinstance(theirs, float) else theirs)


def test_the_numbers_are_those_of_predict_on_the_same_files(scored, archive, exported, capsys):
    ours = results(scored)
    paths = [line["path"] for line in ours]
    assert len(paths) == 5 and all(path.endswith(".mp4") for path in paths)
    assert main(["predict", "--model", str(exported), "--json", *paths]) == 0
    theirs = json.loads(capsys.readouterr().out)
    for line in theirs:
        line.pop("seconds")
    for line in ours:
        line.pop("key")
    assert_same(ours, theirs)


def test_a_video_without_a_face_is_a_result_and_one_that_is_none_a_reject(scored):
    verdicts = {Path(line["path"]).name: line["verdict"] for line in results(scored)}
    assert verdicts["noise.mp4"] == "NO_FACE" and "text.mp4" not in verdicts
    assert {verdicts[f"{i}.mp4"] for i in range(4)} == {"DEMO"}  # the model is one
    assert all(line["frames_sampled"] > 0 for line in results(scored))
    assert {line["coverage"]["share"] for line in results(scored)} == {1.0}
    (line,) = map(json.loads, (scored / "rejects.jsonl").read_text().splitlines())
    assert line["reason"] == "unreadable" and line["uri"].endswith("text.mp4")
    info = json.loads((scored / "scores_info.json").read_text())
    assert info["videos"] == 6 and info["verdicts"] == {"NO_FACE": 1, "DEMO": 4}
    assert info["rejects"] == {"unreadable": 1} and info["model"] == "dfdetect/1"
    assert info["settings"]["every"] == 2.0 and info["computing"]["videos"] == 5
    hours = sum(line["coverage"]["duration_s"] for line in results(scored)) / 3600
    assert info["computing"]["hours_of_video"] == pytest.approx(hours, abs=1e-4)
    assert info["computing"]["seconds_per_hour"] > 0 and info["computing"]["seconds"] > 0


def test_facts_about_the_files_are_in_the_results(scored):
    told = [line["file_facts"] for line in results(scored)]
    assert all(facts["encoding"]["frames"] > 0 and not facts["problems"] for facts in told)
    assert {facts["content_credentials"]["signature"] for facts in told} == {"unknown"}


def test_a_small_file_that_claims_much_is_a_reject(exported, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hostile.mp4").write_bytes(claiming(10_000_000))
    assert run(tmp_path / "in", exported, tmp_path / "out") == 0
    (reject,) = map(json.loads, (tmp_path / "out" / "rejects.jsonl").read_text().splitlines())
    assert reject["reason"] == "unreadable" and "claim 10000000 samples" in reject["detail"]


def test_people_are_told_that_a_demo_model_gives_no_verdict(scored):
    said = Console(file=io.StringIO(), width=80)
    info = json.loads((scored / "scores_info.json").read_text())
    score.print_summary(said, str(scored), info, 1.0)
    lines = said.file.getvalue().splitlines()
    assert lines[:2] == ["verdicts: 4 DEMO MODEL: no verdict, 1 NO_FACE", DEMO_REASON]


def test_parquet_holds_what_the_json_lines_hold(scored):
    rows = [
        row
        for path in sorted(scored.glob("*.parquet"))
        for row in pyarrow.parquet.read_table(path).to_pylist(maps_as_pydicts="strict")
    ]
    assert sorted(rows, key=lambda row: row["path"]) == results(scored)


def test_several_files_hold_together_what_one_holds(scored, archive, exported, tmp_path):
    assert run(archive, exported, tmp_path / "out", "--shards", "3") == 0
    assert len(list((tmp_path / "out").glob("scores-*.parquet"))) == 3
    assert_same(results(tmp_path / "out"), results(scored))


def test_a_portable_runner_gives_the_same_results(scored, archive, exported, tmp_path):
    portable = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    assert run(archive, exported, tmp_path / "out", "--", *portable) == 0
    assert_same(results(tmp_path / "out"), results(scored))


@pytest.mark.parametrize(
    "engine",
    [
        ["@multiprocess", "--direct_num_workers=2"],
        pytest.param(["@prism"], marks=pytest.mark.prism),
        pytest.param(["@flink"], marks=pytest.mark.flink),
    ],
    ids=" ".join,
)
def test_an_engine_of_several_processes_gives_the_same_results(
    engine, scored, archive, exported, tmp_path
):
    out = tmp_path / "out"
    argv = ["--input", str(archive), "--model", str(exported), "--output", str(out), "--", *engine]
    done = subprocess.run(
        [sys.executable, "-m", "dfdetect", "score", *argv], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "rejects: 1 unreadable" in done.stdout, done.stderr
    assert "Resource module" not in done.stderr
    assert_same(results(out), results(scored))


def test_a_process_loads_the_model_once(archive, exported, tmp_path, monkeypatch):
    loaded, original = [], InProcessModel.__init__
    monkeypatch.setattr(
        InProcessModel,
        "__init__",
        lambda self, *given: loaded.append(given) or original(self, *given),
    )
    assert run(archive, exported, tmp_path / "out") == 0
    assert len(loaded) == 2  # by the launcher, to learn its settings, and by the worker


def watch_decoding(monkeypatch) -> list[str]:
    """The videos that are opened from now on."""
    decoded: list[str] = []
    local = transforms.local_video
    monkeypatch.setattr(
        transforms, "local_video", lambda uri, watch: decoded.append(uri) or local(uri, watch)
    )
    return decoded


def test_a_model_that_fails_midway_stops_the_job_and_the_next_run_goes_on(
    scored, archive, exported, tmp_path, monkeypatch, capsys
):
    out, original, asked = tmp_path / "out", InProcessModel.predict, []

    def fail_third(self, clips):
        asked.append(len(clips))
        if len(asked) == 3:
            raise MemoryError("by chance")
        return original(self, clips)

    with monkeypatch.context() as patch:
        patch.setattr(InProcessModel, "predict", fail_third)
        assert run(archive, exported, out) == 1
    error = capsys.readouterr().err
    assert "by chance" in error and "run the same command again" in error
    done = [name for name in os.listdir(out / PARTS) if name.endswith(".json")]
    assert done and not (out / "scores_info.json").exists()
    decoded = watch_decoding(monkeypatch)
    assert run(archive, exported, out) == 0
    assert len(decoded) == 6 - len(done)
    assert_same(results(out), results(scored))
    assert not (out / PARTS).exists()


def test_an_update_scores_what_is_new_and_forgets_what_is_gone(
    scored, archive, exported, tmp_path, monkeypatch
):
    out, videos = tmp_path / "out", tmp_path / "videos"
    shutil.copytree(scored, out)
    shutil.copytree(archive, videos)
    assert run(videos, exported, out) == 1  # finished, and nobody asked for more
    assert run(videos, exported, out, "--overwrite") == 0
    before = results(out)
    shutil.copy(videos / "0.mp4", videos / "new.mp4")
    (videos / "2.mp4").unlink()
    decoded = watch_decoding(monkeypatch)
    assert run(videos, exported, out, "--update") == 0
    assert sorted(decoded) == [str(videos / "new.mp4"), str(videos / "text.mp4")]
    kept = [line for line in results(out) if not line["path"].endswith("new.mp4")]
    assert kept == [line for line in before if not line["path"].endswith("2.mp4")]
    assert len(kept) == 4


@pytest.fixture(scope="module")
def long_archive(tmp_path_factory, write_video, astronaut) -> Path:
    """A video of 20 moments, of which COARSE looks at some and FINE at all."""
    import numpy as np

    root = tmp_path_factory.mktemp("long")
    still = np.stack([np.roll(astronaut, i % 9, axis=1)[::2, ::2] for i in range(160)])
    write_video(root / "long.mp4", still, crf="30")
    return root


COARSE, FINE = ScanSettings(every=1.0, max_clips=8), ScanSettings(every=0.2, max_clips=0)


def flags(settings: ScanSettings) -> tuple[str, ...]:
    return "--every", str(settings.every), "--max-clips", str(settings.max_clips)


def test_a_finer_run_takes_what_was_scored_and_gives_what_predict_gives(
    long_archive, exported, extractor, tmp_path, monkeypatch
):
    out, looked_at = tmp_path / "out", []
    looks = transforms._WatchedVideo.looks

    def watched(self, samples):
        looked_at.extend(samples)
        return looks(self, samples)

    monkeypatch.setattr(transforms._WatchedVideo, "looks", watched)
    assert run(long_archive, exported, out, *flags(COARSE)) == 0
    coarse = set(looked_at)
    assert 6 <= len(coarse) == results(out)[0]["coverage"]["moments"] <= 8
    looked_at.clear()
    assert run(long_archive, exported, out, *flags(FINE), "--update") == 0
    assert looked_at == sorted(set(range(20)) - coarse)
    assert len(list((out / MOMENTS).iterdir())) == 1
    (ours,) = results(out)
    del ours["key"]
    video = str(long_archive / "long.mp4")
    theirs = predict_video(
        video, extractor, InProcessModel(exported), FINE, facts_reader=FactsReader()
    ).to_dict()
    assert_same(ours, json.loads(json.dumps(theirs)))


def test_several_models_score_as_predict_has_them_and_each_moment_once(
    archive, exported, exported_judge, tmp_path, capsys
):
    out, video = tmp_path / "out", archive / "0.mp4"
    models = "--model", str(exported_judge), "--model", str(exported)
    assert run(video, None, out, *models) == 0
    assert main(["predict", str(video), *models, "--json"]) == 0
    printed = capsys.readouterr().out
    (theirs,), (ours,) = json.loads(printed[printed.index("[\n") :]), results(out)
    del ours["key"], theirs["seconds"]
    assert_same(ours, theirs)
    assert [opinion["verdict"] for opinion in ours["opinions"]] == [ours["verdict"], "DEMO"]
    (table,) = out.glob("*.parquet")
    (row,) = pyarrow.parquet.read_table(table).to_pylist()
    assert [opinion["model"] for opinion in row["opinions"]] == ["dfdetect/1 #1", "dfdetect/1 #2"]
    info = json.loads((out / "scores_info.json").read_text())
    assert info["models"] == ["dfdetect/1 #1", "dfdetect/1 #2"]
    # Another opinion is other work, and the same ones are none.
    assert run(video, None, out, *models, "--update") == 0
    assert json.loads((out / "scores_info.json").read_text())["computing"]["videos"] == 0
    assert run(video, None, out, *models[:2], "--update") == 0
    assert json.loads((out / "scores_info.json").read_text())["computing"]["videos"] == 1


def test_another_model_of_the_same_name_and_version_scores_everything_again(
    archive, exported, tmp_path
):
    other = tmp_path / "dfdetect" / "1"
    shutil.copytree(exported, other)
    ours, others = ModelSource((str(exported),)), ModelSource((str(other),))
    assert score._identity(others) == score._identity(ours)
    (other / "fingerprint.pb").write_bytes(b"other weights")
    assert score._identity(others) != score._identity(ours)


def test_videos_of_any_name_are_scored_each_once(archive, exported, tmp_path):
    folder, out = tmp_path / os.fsdecode(b"caf\xe9;"), tmp_path / "out"
    folder.mkdir()
    names = [os.fsdecode(name) for name in (b"a;b", b" a ", b"\xff", b"a\nb", b"*", b"-a")]
    for name in names:
        shutil.copy(archive / "noise.mp4", folder / f"{name}.mp4")
        shutil.copy(archive / "text.mp4", folder / f"{name}.mov")
    (folder / "link.mp4").symlink_to(folder / "-a.mp4")
    (folder / "dead.mp4").symlink_to("nowhere.mp4")
    assert run(folder, exported, out, "--shards", "2") == 0
    paths = {unescape(line["path"]) for line in results(out)}
    assert paths == {str(folder / f"{name}.mp4") for name in names}
    rejects = [*map(json.loads, (out / "rejects.jsonl").read_text().splitlines())]
    assert {unescape(line["uri"]) for line in rejects} == {
        str(folder / name) for name in ("dead.mp4", *(f"{name}.mov" for name in names))
    }
    table = pyarrow.parquet.read_table(sorted(out.glob("*.parquet"))[0])
    assert set(table["path"].to_pylist()) <= set(map(escape, paths))
    files = {path.name: path.read_bytes() for path in out.glob("scores-*")}
    assert run(folder, exported, out, "--shards", "2", "--update") == 0
    assert {path.name: path.read_bytes() for path in out.glob("scores-*")} == files


@pytest.fixture
def flaky(exported, monkeypatch):
    """A model server that is overloaded for the first two requests for scores."""
    answered = []
    ask = RestApi._ask

    def overloaded(self, head, call, body, deadline):
        if b"serving_default" not in body and b'"config"' not in body:
            answered.append((call.name, call.number))
            if len(answered) <= 2:
                raise StatusError(StatusCode.UNAVAILABLE, "overloaded")
        return ask(self, head, call, body, deadline)

    monkeypatch.setattr(RestApi, "_ask", overloaded)
    with start_in_thread(exported.parent) as url:
        yield url, answered


def test_model_servers_give_the_same_results_and_are_asked_again_when_overloaded(
    scored, archive, flaky, tmp_path, monkeypatch
):
    """Of two, one is not there. All are asked for the version that the job began with."""
    url, answered = flaky
    waited = []
    monkeypatch.setattr(retry.Clock, "sleep", lambda self, seconds: waited.append(seconds))
    monkeypatch.setattr(adaptive_throttler.time, "sleep", lambda seconds: None)
    servers = "--model-server", url, "--model-server", "http://127.0.0.1:9"
    assert run(archive, None, tmp_path / "out", *servers) == 0
    ours, theirs = results(tmp_path / "out"), results(scored)
    for line in (*ours, *theirs):
        line.pop("key")  # which knows the folder of a model, and only the name of a served one
    assert_same(ours, theirs)
    assert len(waited) == 2 and waited[1] > waited[0] > 1 and len(answered) > 2
    assert set(answered) == {("dfdetect", 1)}


def test_a_model_server_that_is_not_there_shows_before_any_work(archive, tmp_path, capsys):
    assert run(archive, "http://127.0.0.1:9", tmp_path / "out") == 1
    assert "no model server answers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model-server", "folder"), "'folder' is no address of a model server"),
        (("--model", "folder", "--model", "folder"), "folder is given twice"),
        (("--model", "http://a/v1/models/x/y"), "'x/y' names no model"),
        ((), "Give --model DIR"),
        (("--model", "folder", "--ensemble", "file"), "--ensemble needs its models"),
    ],
)
def test_models_that_cannot_be_are_wrong_usage_before_any_work(
    archive, tmp_path, capsys, flags, said
):
    with pytest.raises(SystemExit, match="2"):
        run(archive, None, tmp_path / "out", *flags)
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model_shows_before_any_work(archive, tmp_path, capsys):
    assert run(archive, tmp_path, tmp_path / "out") == 1
    assert "holds neither saved_model.pb" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_input_that_names_no_video_is_an_error(exported, tmp_path, capsys):
    assert run(tmp_path / "nothing" / "*.mp4", exported, tmp_path / "out") == 1
    assert "no video there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_files_folders_and_patterns_name_each_video_once(archive):
    def names(*inputs):
        found = score.find_files([str(archive / name) for name in inputs])
        return [os.path.relpath(f.path, archive) for f in found]

    everything = ["0.mp4", "2.mp4", "deep/er/1.mp4", "deep/er/3.mp4", "noise.mp4", "text.mp4"]
    assert names("") == names("**.mp4") == names("", "0.mp4") == everything
    assert names("*.mp4") == ["0.mp4", "2.mp4", "noise.mp4", "text.mp4"]
    assert names("deep") == names("deep/*/*") == ["deep/er/1.mp4", "deep/er/3.mp4"]
    assert names("list.txt") == ["list.txt"]  # named by itself: it may be a video all the same


def test_a_file_may_have_a_name_that_would_be_a_pattern(tmp_path):
    (tmp_path / "videos [a]").mkdir()
    video = tmp_path / "videos [a]" / "clip [1080p].mp4"
    video.touch()
    for name in (video, video.parent):
        assert [file.path for file in score.find_files([str(name)])] == [str(video)]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--shards", "0"], "--shards is 0; it must be from 1 to 99999"),
        (["--", "--colour=red"], "--colour=red is none of Beam's"),
        (["--", "@dataflow"], "Dataflow needs --project=PROJECT"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(
    extra, message, archive, exported, tmp_path, capsys
):
    with pytest.raises(SystemExit) as caught:
        run(archive, exported, tmp_path / "out", *extra)
    assert caught.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_run_did_is_counted_and_stored(scored):
    metrics = json.loads((scored / "job" / "metrics.json").read_text())
    assert metrics["counts"]["videos"] == 5
    assert metrics["counts"]["rejects/unreadable"] == 1
    assert {"decode", "detect", "crop", "model", "video"} <= set(metrics["stages"])
    said = io.StringIO()
    Console(file=said, width=100).print(table(metrics))
    assert "rejects/unreadable" in said.getvalue()

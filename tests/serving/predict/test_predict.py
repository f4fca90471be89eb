"""The command `dfdetect predict`: which files it takes, what it says of them, and to whom."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.coverage import Coverage
from pipelines.ensemble import Ensemble, Member
from pipelines.names import unescape
from pipelines.verdict import Segment, Thresholds
from serving.analysis.video_result import DEMO_REASON, TrackResult, VideoResult
from serving.client import ModelConfig, ModelServerError, Prediction
from serving.model_server.server import serve_in_thread
from serving.predict.csv_table import CsvTable
from serving.predict.inputs import Inputs, find_videos
from serving.predict.predict import outcomes, predict_video
from serving.predict.predict_files import describe
from tests.fixtures.file_facts import PLACE, file_facts
from tests.fixtures.hostile_videos import claiming, peak_mb_of_decoding
from tests.fixtures.model_servers import nobody_listens
from tests.fixtures.report_documents import VERDICT_WORDS
from tests.fixtures.signed_videos import GENERATED, Signer, actions, with_tags


@pytest.fixture(scope="module")
def videos(tmp_path_factory, sample, write_video) -> Path:
    """Two videos with a face, one without, one that is none, and a file that is no video's."""
    root = tmp_path_factory.mktemp("videos")
    (root / "more").mkdir()
    some = sorted(sample.rglob("*.mp4"))
    shutil.copy(some[0], root / "take10.mp4")
    shutil.copy(some[1], root / "more" / "take2.MP4")
    noise = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    write_video(root / "take1.mp4", noise)
    (root / "bad.mp4").write_text("no video\n")
    (root / "notes.txt").write_text("no video either\n")
    return root


def run(*argv: object) -> int:
    return main(["predict", *map(str, argv)])


@pytest.fixture(scope="module")
def servers(exported):
    """Addresses of the model over REST and gRPC."""
    with serve_in_thread(exported.parent) as addresses:
        yield addresses.rest, f"grpc://{addresses.grpc}"


def test_every_way_to_the_model_gives_the_same_verdicts(servers, exported, videos, capsys):
    paths = [str(videos / "take10.mp4"), str(videos / "more" / "take2.MP4")]
    said = []
    for where in (*(("--model-server", url) for url in servers), ("--model", exported.parent)):
        assert run(*paths, *where, "--json") == 0
        said.append(json.loads(capsys.readouterr().out))
    for results in said:
        assert [r["path"] for r in results] == paths
        for result, other in zip(results, said[0], strict=True):
            assert result["verdict"] == other["verdict"] == "DEMO"
            assert result["probability_fake"] == pytest.approx(other["probability_fake"], abs=1e-6)
            assert result["model"] == "dfdetect/1"
            assert result["tracks"][0]["end_s"] > result["tracks"][0]["start_s"] >= 0
            assert result["frames_with_face"] == result["frames_sampled"] > 0


def test_several_models_have_their_say_wherever_they_are_and_the_first_decides(
    servers, exported_judge, videos, tmp_path, capsys
):
    """One is on a server, the other is loaded here; the tiny models differ in what they may say."""
    path, table, reports = str(videos / "take10.mp4"), tmp_path / "t.csv", tmp_path / "reports"
    served, here = f"{servers[1]}/v1/models/dfdetect", str(exported_judge)
    alone = {}
    for place in (served, here):
        assert run(path, "--model", place, "--json") == 0
        (alone[place],) = json.loads(capsys.readouterr().out)
    flags = ("--json", "--csv", table, "--out-report", reports)
    assert run(path, "--model", here, "--model", served, *flags) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["verdict"] == alone[here]["verdict"] != "DEMO"
    opinions = result["opinions"]
    assert [opinion["model"] for opinion in opinions] == ["dfdetect/1 #1", "dfdetect/1 #2"]
    for opinion, place in zip(opinions, (here, served), strict=True):
        for name in ("verdict", "fingerprint", "decides", "reasons"):
            assert opinion[name] == alone[place][name]
        assert opinion["probability_fake"] == pytest.approx(
            alone[place]["probability_fake"], abs=1e-6
        )
    assert not result["models_disagree"] and alone[here]["opinions"] == []
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert row["opinions"].startswith(f"dfdetect/1 #1={result['verdict']} 0.")
    assert ";dfdetect/1 #2=DEMO 0." in row["opinions"] and row["models_disagree"] == "False"
    (page,) = reports.iterdir()
    assert "What each model says" in page.read_text()


def test_an_ensemble_of_other_models_ends_the_command_before_any_video(
    exported, exported_judge, videos, tmp_path, capsys
):
    members = Member("a/1", "a" * 64), Member("b/1", "b" * 64)
    ensemble = Ensemble(members, "f00", 1.0, Thresholds(), {})
    ensemble.write(tmp_path / "e.json")
    models = ("--model", exported, "--model", exported_judge)
    for file, said in (("e.json", "was calibrated for a/1"), ("none", "dfdetect calibrate")):
        argv = (videos, *models, "--ensemble", tmp_path / file, "--json")
        assert run(*argv) == 1
        captured = capsys.readouterr()
        assert said in captured.err and captured.out == ""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_servers_share_the_work_and_one_that_is_not_there_is_left_out(
    servers, videos, capsys, protocol
):
    with nobody_listens() as address:
        dead = f"{protocol}://{address}"
        (alive,) = [url for url in servers if url.startswith(protocol)]
        where = ("--model-server", dead, "--model-server", alive)
        assert run(videos / "take10.mp4", *where, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "DEMO" and result["model"] == "dfdetect/1"


def test_one_bad_file_does_not_stop_the_rest_of_a_folder(exported, videos, tmp_path, capsys):
    table = tmp_path / "table.csv"
    missing = tmp_path / "none.mp4"
    argv = (videos, missing, "--model", exported, "--json", "--csv", table)
    assert run(*argv) == 1
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    names = ["bad.mp4", "more/take2.MP4", "take1.mp4", "take10.mp4"]
    assert [r["path"] for r in results] == [str(videos / n) for n in names] + [str(missing)]
    bad, good, faceless, _, nothing = results
    assert bad["error"] == "unreadable" and "bad.mp4" in captured.err
    assert nothing["error"] == "not_found" and f"{missing}: not_found" in captured.err
    assert "skipped 1 file(s)" in captured.err
    assert faceless["verdict"] == "NO_FACE" and faceless["probability_fake"] is None
    assert good["verdict"] != "NO_FACE"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["path"] for row in rows] == [r["path"] for r in results]
    assert rows[0]["error"] == "unreadable" and rows[0]["verdict"] == ""
    assert rows[1]["tracks"] == "1" and rows[1]["track_verdicts"] == good["verdict"]
    assert float(rows[1]["probability_fake"]) == good["probability_fake"]
    assert rows[2]["tracks"] == "0" and rows[2]["probability_fake"] == ""
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_report_is_written_of_each_video_that_can_be_judged(exported, videos, tmp_path, capsys):
    (tmp_path / "again").mkdir()
    again = shutil.copy(videos / "take10.mp4", tmp_path / "again")
    reports = tmp_path / "reports"
    flags = ("--model", exported, "--json", "--out-report", reports)
    assert run(videos, again, *flags) == 1
    results = json.loads(capsys.readouterr().out)
    names = ["take2.html", "take1.html", "take10.html", "take10-2.html"]
    assert [r["report"] for r in results[1:]] == [str(reports / name) for name in names]
    assert sorted(os.listdir(reports)) == sorted(names)
    page = (reports / "take10.html").read_text()
    assert "take10.mp4" in page and f"{results[3]['probability_fake']:.0%}"[:-1] in page
    assert 'src="http' not in page and "NOT ANALYSED" in (reports / "take1.html").read_text()
    assert run(videos / "take10.mp4", "--model", exported, "--json") == 0
    (alone,) = json.loads(capsys.readouterr().out)
    for key in ("verdict", "tracks", "frames_with_face"):
        assert alone[key] == results[3][key]


def test_a_report_replaces_none_but_an_earlier_one_on_the_same_file(
    exported, videos, tmp_path, capsys
):
    other = tmp_path / "other" / "take10.mp4"
    other.parent.mkdir()
    shutil.copy(videos / "take1.mp4", other)
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "take10-2.html").write_text("of someone else")

    def report_on(video: Path) -> str:
        assert run(video, "--model", exported, "--json", "--out-report", reports) == 0
        return Path(json.loads(capsys.readouterr().out)[0]["report"]).name

    first = report_on(videos / "take10.mp4")
    pages = {name: (reports / name).read_bytes() for name in os.listdir(reports)}
    assert (first, report_on(other)) == ("take10.html", "take10-3.html")
    assert {name: (reports / name).read_bytes() for name in pages} == pages
    assert report_on(videos / "take10.mp4") == "take10.html"
    assert report_on(other) == "take10-3.html"
    assert sorted(os.listdir(reports)) == ["take10-2.html", "take10-3.html", "take10.html"]


ODD_NAMES = (b"a;b", b" a ", b"caf\xe9", b"a\nb", b"-a", b"\x1b[31m", b'"q"', b"y" * 251)


def test_a_video_of_any_name_has_a_line_a_row_and_a_page(exported, videos, tmp_path, capfd):
    folder, reports, table = tmp_path / "odd", tmp_path / "reports", tmp_path / "table.csv"
    folder.mkdir()
    paths = [folder / f"{os.fsdecode(name)}.mp4" for name in ODD_NAMES]
    for number, path in enumerate(paths):
        shutil.copy(videos / ("take1.mp4" if number % 2 else "bad.mp4"), path)
    flags = ("--model", exported, "--out-report", reports, "--csv", table)
    assert run(folder, *flags) == 1
    printed = capfd.readouterr()
    assert run(folder, *flags, "--json") == 1
    results = json.loads(capfd.readouterr().out)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["path"] for row in rows] == [result["path"] for result in results]
    assert {unescape(row["path"]) for row in rows} == set(map(str, paths))
    judged = [row for row in rows if not row["error"]]
    assert len(judged) == len(ODD_NAMES) // 2
    assert all(os.path.isfile(unescape(row["report"])) for row in judged)
    assert len(printed.out.splitlines()) == len(judged)
    assert "\x1b" not in printed.out


def test_for_people_there_is_a_line_a_video_and_nothing_else(exported, videos, capsys):
    video = videos / "take10.mp4"
    assert run(video, "--model", exported.parent) == 0
    captured = capsys.readouterr()
    assert str(video) in captured.out and "score = " in captured.out
    assert "1 face(s)" in captured.out and captured.err == ""


def test_a_demo_model_s_verdict_is_told_nowhere_and_its_score_everywhere(
    exported, exported_judge, videos, tmp_path, capsys
):
    """The two models differ in nothing but the mark."""
    video, table, reports = videos / "take10.mp4", tmp_path / "t.csv", tmp_path / "reports"
    assert run(video, "--model", exported_judge, "--json") == 0
    (judged,) = json.loads(capsys.readouterr().out)
    assert judged["verdict"] in ("FAKE", "REAL", "INCONCLUSIVE")
    assert DEMO_REASON not in judged["reasons"]

    assert run(video, "--model", exported, "--csv", table, "--out-report", reports) == 0
    text, page = capsys.readouterr().out, (reports / "take10.html").read_text()
    (row,) = csv.DictReader(table.read_text().splitlines())
    score = float(row["probability_fake"])
    assert score == pytest.approx(judged["probability_fake"])
    assert row["verdict"] == row["track_verdicts"] == "DEMO" and row["reasons"] == DEMO_REASON
    assert f"take10.mp4: DEMO MODEL: no verdict, score = {score:.2f}, 1 face(s)" in text
    assert text.endswith(f"\n  {DEMO_REASON}\n") and not VERDICT_WORDS.search(text)
    assert "<title>DEMO MODEL: no verdict: take10.mp4</title>" in page


def face(track: int, verdict: str, probability: float, *segments: Segment) -> TrackResult:
    return TrackResult(track, verdict, probability, 0.0, 1.5 + track, 8, segments=segments)


def two_faces() -> VideoResult:
    tracks = (face(0, "REAL", 0.1), face(1, "FAKE", 0.9, Segment(252.0, 281.0, 0.9, 5)))
    gaps = ((3.0, 12.0),)
    coverage = Coverage(590.0, 82.6, 64, 60, 9.0, 1024, 14_750, gaps)
    return VideoResult(
        "a.mp4", "FAKE", 0.9, "m/1", "f", 16, 16, 0.0, 2.5, tracks, coverage=coverage
    )


def test_a_video_of_several_faces_has_a_verdict_for_each(tmp_path):
    lines = describe(two_faces(), calibrated=True).splitlines()
    assert lines == [
        "a.mp4: FAKE, P(fake) = 0.90, 2 face(s); looked at 64 moments of 9:50 (14 % of the video), "
        "largest gap 9 s",
        "  Likely FAKE between 4:12 and 4:41; nothing else reached the threshold.",
        "  face 1: FAKE, P(fake) = 0.90, 8 frames, 0.0-2.5 s",
        "  face 2: REAL, P(fake) = 0.10, 8 frames, 0.0-1.5 s",
    ]
    reason = "Only 2 frames."
    unsure = dataclasses.replace(two_faces(), reasons=(reason,))
    assert describe(unsure, calibrated=True).splitlines()[4:] == [f"  {reason}"]
    turned = dataclasses.replace(unsure, notes=("Turned.",))
    assert describe(turned, calibrated=True).splitlines()[4:] == [f"  {reason}", "  Turned."]
    demo = describe(two_faces().without_verdict(), calibrated=False).splitlines()
    assert demo == [
        "a.mp4: DEMO MODEL: no verdict, score = 0.90, 2 face(s); looked at 64 moments of 9:50 "
        "(14 % of the video), largest gap 9 s",
        "  face 1: DEMO MODEL: no verdict, score = 0.90, 8 frames, 0.0-2.5 s",
        "  face 2: DEMO MODEL: no verdict, score = 0.10, 8 frames, 0.0-1.5 s",
        f"  {DEMO_REASON}",
    ]
    with contextlib.closing(CsvTable(tmp_path / "t.csv")) as table:
        table.add(two_faces().to_dict())
    (row,) = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert (row["tracks"], row["track_verdicts"]) == ("2", "REAL;FAKE")
    assert row["track_probabilities"] == "0.1;0.9" and row["segments"] == "252-281"
    assert (row["moments"], row["moments_with_face"], row["largest_gap_s"]) == ("64", "60", "9.0")
    assert row["coverage"] == "0.14"


def test_a_table_says_who_signed_a_file_and_what_is_claimed(tmp_path):
    results = [
        dataclasses.replace(two_faces(), file_facts=facts)
        for facts in (file_facts(), file_facts(content="fails"), None)
    ]
    with contextlib.closing(CsvTable(tmp_path / "t.csv")) as table:
        for result in results:
            table.add(result.to_dict())
    first, second, third = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert (first["content_credentials"], first["signed_by"]) == ("found", "Example News")
    assert first["ai_claimed"] == "edited with a generative model"
    assert (first["signature"], second["signature"], third["signature"]) == ("holds", "fails", "")
    assert first["device"] == "Example Phone 3" and first["created"].startswith("2026-01-30")
    assert third["content_credentials"] == third["device"] == ""


def test_what_a_file_claims_is_told_beside_the_score_and_changes_none(
    exported, sample, tmp_path, capsys
):
    pytest.importorskip("c2pa", reason="needs the extra `provenance`")
    plain = with_tags(min(sample.rglob("*.mp4")), tmp_path / "plain.mp4", {"location": PLACE})
    signer = Signer("Example News")
    made = [actions({"action": "c2pa.created", "digitalSourceType": GENERATED})]
    signed = signer.sign(plain, tmp_path / "signed.mp4", made)
    (tmp_path / "trusted.pem").write_text(signer.root)
    flags = ["--model", exported, "--json", "--c2pa-trust-list", tmp_path / "trusted.pem"]
    assert run(*flags, "--out-report", tmp_path, plain, signed) == 0
    out = capsys.readouterr().out
    ours, theirs = json.loads(out)
    credentials = [told["file_facts"]["content_credentials"] for told in (ours, theirs)]
    assert [c["status"] for c in credentials] == ["none_found", "found"]
    assert credentials[1]["trust"] == "trusted" and credentials[1]["ai"]
    assert ours["probability_fake"] == pytest.approx(theirs["probability_fake"], abs=1e-6)
    assert [ours["verdict"], ours["reasons"]] == [theirs["verdict"], theirs["reasons"]]
    assert theirs["file_facts"]["container"]["has_location"] and PLACE not in out
    page = (tmp_path / "signed.html").read_text()
    assert "made by a generative model" in page and PLACE not in page


def test_where_a_video_was_recorded_is_told_if_asked(exported, sample, tmp_path, capsys):
    video = with_tags(min(sample.rglob("*.mp4")), tmp_path / "here.mp4", {"location": PLACE})
    flags = ["--model", exported, "--json", "--show-location", "--out-report", tmp_path]
    assert run(*flags, video) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["file_facts"]["container"]["location"] == PLACE
    assert PLACE in (tmp_path / "here.html").read_text()


def test_a_trust_list_that_is_none_ends_the_command_before_any_work(exported, tmp_path, capsys):
    (tmp_path / "list.pem").write_text("nobody")
    flags = ["--model", exported, "--c2pa-trust-list", tmp_path / "list.pem"]
    assert run(*flags, "video.mp4") == 1
    assert "list.pem: no certificates in PEM" in capsys.readouterr().err


def test_people_are_told_of_credentials_where_there_are_any():
    found = dataclasses.replace(two_faces(), file_facts=file_facts())
    none = file_facts(status="none_found", summary="None were found.")
    without = dataclasses.replace(two_faces(), file_facts=none)
    assert "  Content Credentials: They name as signer: Example News." in describe(found, True)
    assert describe(without, True) == describe(two_faces(), True)


def test_a_model_that_stops_answering_is_an_error_of_the_video_not_a_verdict(
    extractor, sample, small_config
):
    class Gone:
        def config(self):
            return ModelConfig(small_config, Thresholds())

        def version(self):
            return "gone/1"

        def predict(self, clips):
            asked.append(len(clips))
            if len(asked) == 1:
                raise ModelServerError("gone")
            return [Prediction(0.9, [0.9] * len(clip)) for clip in clips]

    asked: list[int] = []
    paths = [str(path) for path in sorted(sample.rglob("*.mp4"))[:2]]
    model = Gone()
    done = outcomes(paths, lambda path: (predict_video(path, extractor, model), ""))
    first, second = done
    assert first.to_dict() == {"path": paths[0], "error": "model_server", "detail": "gone"}
    assert second.result.verdict == "FAKE" and second.seconds > 0


def test_a_version_that_takes_over_meanwhile_gives_no_verdict_on_clips_of_the_other(
    extractor, sample, small_config
):
    class Rolling:
        version_now, crops = 1, small_config

        def config(self):
            return ModelConfig(self.crops, Thresholds())

        def version(self):
            return f"rolling/{self.version_now}"

        def predict(self, clips):
            self.version_now = after.pop()
            return [Prediction(0.9, [0.9] * len(clip)) for clip in clips]

    path, model, after = str(sorted(sample.rglob("*.mp4"))[0]), Rolling(), [3, 2, 2, 1]

    def judge(path):
        return predict_video(path, extractor, model), ""

    first, across, second = outcomes([path] * 3, judge)
    assert first.result.model == "rolling/1" and second.result.model == "rolling/2"
    assert across.error == "model_server" and "took over from rolling/1" in across.detail
    model.crops = dataclasses.replace(small_config, margin=small_config.margin + 0.1)
    model.version_now = 3  # which wants other crops, and gets them
    (other,) = outcomes([path], judge)
    assert other.result.model == "rolling/3"
    assert other.result.fingerprint == model.crops.fingerprint != first.result.fingerprint


def test_on_a_terminal_progress_is_shown_and_what_is_piped_on_stays_clean():
    """Standard error is a terminal, standard output a pipe."""
    ours, theirs = pty.openpty()
    code = (
        "from serving.predict.predict_files import ProgressBar\n"
        "with ProgressBar(2) as bar:\n"
        "    bar.moments_done(1, 64)\n"
        "    print('a.mp4: REAL'); bar.video_done()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    with process, io.FileIO(ours) as terminal:
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := terminal.read(4096):
                shown += piece
        out = process.stdout.read().decode()
    assert process.returncode == 0, shown
    assert b"videos" in shown and b"1/2" in shown and b"1/64" in shown
    assert out == "a.mp4: REAL\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["a.mp4"],
        ["a.mp4", "--model", "x", "--model", "x"],
        ["a.mp4", "--model", "http://y", "--model-server", "http://y"],
        ["a.mp4", "--model", "http://y/v1/models/"],
        ["a.mp4", "--model", "http://y/v1/models/a/label/stable"],
        ["a.mp4", "--model", "x", "--ensemble", "e.json"],
        ["a.mp4", "--model-server", "127.0.0.1:8500"],
        ["a.mp4", "--model-server", "http://y", "--model-server", "y:8500"],
        ["a.mp4", "--model-server", "http://y", "--model-server", "http://y/"],
        ["a.mp4", "--model-server", "http://y", "--model-name", "dfdetect/label/stable"],
        ["a.mp4", "--guess"],
        ["a.mp4", "--model", "x", "--every", "0"],
    ],
)
def test_wrong_usage_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["predict", *argv])
    assert caught.value.code == 2 and capsys.readouterr().err


def test_a_missing_model_is_named_with_what_to_do(videos, tmp_path, capsys):
    assert run(videos / "take1.mp4", "--model", tmp_path) == 1
    assert "dfdetect export" in capsys.readouterr().err


def test_a_model_under_another_name_is_named(exported, videos, tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    for name in ("swaps", "talking-heads"):
        (tmp_path / name).symlink_to(exported.parent)
    assert run(videos / "take1.mp4", "--model", tmp_path) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}: holds neither" in said and "there: swaps, talking-heads. Give" in said
    argv = ("--model", tmp_path, "--model-name", "swaps", "--json")
    assert run(videos / "take1.mp4", *argv) == 0


def test_where_no_name_stands_for_a_video_no_model_is_asked(tmp_path, capsys):
    assert run(tmp_path / "*.mp4", "--model", tmp_path, "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["error"] == "not_found" and "export" not in captured.err


@pytest.mark.parametrize(("table", "text"), [("no/t.csv", "No such file"), (".", "is a folder")])
def test_a_table_that_cannot_be_written_is_told_before_any_work(
    videos, tmp_path, capsys, table, text
):
    argv = (videos / "take1.mp4", "--model", tmp_path, "--csv", tmp_path / table)
    assert run(*argv) == 1
    error = capsys.readouterr().err
    assert text in error and "dfdetect export" not in error


@pytest.mark.parametrize("folder", ["version", "model", "base"])
def test_a_model_is_taken_from_what_export_wrote_or_any_folder_in_it(
    exported, videos, tmp_path, capsys, folder
):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "dfdetect").symlink_to(exported.parent)
    folders = {"version": exported, "model": exported.parent, "base": tmp_path / "base"}
    assert run(videos / "take1.mp4", "--model", folders[folder], "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "NO_FACE"


def test_a_server_that_comes_late_is_waited_for_if_asked(exported, videos, capsys):
    with nobody_listens() as address, ThreadPoolExecutor(1) as pool:
        argv = ("--model-server", f"http://{address}", "--wait-seconds", 300, "--json")
        done = pool.submit(run, videos / "take1.mp4", *argv)
        port = int(address.rpartition(":")[2])
        with serve_in_thread(exported.parent, rest_port=port, grpc_port=-1):
            assert done.result(300) == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "NO_FACE"


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("b10.mp4", "b9.mp4", "a/1.mkv", "a/deep/2.avi", "a/list.csv", "[x]/3.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "b9.mp4")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["b10.mp4", "b9.mp4"], ["b10.mp4", "b9.mp4"]),  # as they are named
        (["b*.mp4"], ["b9.mp4", "b10.mp4"]),
        (["a"], ["a/1.mkv", "a/deep/2.avi"]),
        (["a/*"], ["a/1.mkv", "a/deep/2.avi"]),
        (["**/*.avi", "a"], ["a/deep/2.avi", "a/1.mkv"]),
        (["a/1.mkv", "a/../a/1.mkv", "a/1.mkv"], ["a/1.mkv"]),
        (["b9.mp4", "link.mp4"], ["b9.mp4"]),
        (["[x]"], ["[x]/3.mp4"]),
        (["a/list.csv"], ["a/list.csv"]),  # named by itself: it may be a video all the same
    ],
)
def test_files_folders_and_patterns_name_each_video_once(tree, monkeypatch, names, found):
    monkeypatch.chdir(tree)
    assert find_videos(names).videos == tuple(found)
    assert find_videos(names).nothing == ()


def test_what_is_no_video_is_counted_and_what_matches_nothing_is_named(tree, monkeypatch):
    monkeypatch.chdir(tree)
    (tree / "empty").mkdir()
    assert find_videos(["a", "a/*"]).skipped == 1
    assert find_videos(["a", "a/list.csv"]).skipped == 0
    names = ["none.mp4", "empty", "*.webm", "a/*.csv"]
    assert find_videos(names) == Inputs((), 1, tuple(names))


def test_a_small_file_that_claims_much_is_an_error_of_its_own(exported, videos, tmp_path, capsys):
    hostile = tmp_path / "hostile.mp4"
    hostile.write_bytes(claiming(10_000_000))
    assert run("--model", exported, "--json", hostile, videos / "take10.mp4") == 1
    refused, judged = json.loads(capsys.readouterr().out)
    assert refused["error"] == "unreadable" and "claim 10000000 samples" in refused["detail"]
    assert judged["verdict"] and peak_mb_of_decoding() < 300

"""Reviews of verdicts, over HTTP with the real application, and the manifest that comes of them."""

import csv
import hashlib
import stat

import pytest

from dfdetect.__main__ import main
from pipelines.clip import FAKE, REAL
from pipelines.datasets.manifest import find, read_manifest
from serving.web.reviews import Review, Reviews
from serving.web.settings import Settings
from tests.serving.web.live_server import LIMITS, finished, is_problem, running, send, until_ready


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("web") / "reviews"


@pytest.fixture(scope="module")
def video(sample):
    return sorted(sample.rglob("*.mp4"))[0].read_bytes()


@pytest.fixture(scope="module")
def web(exported_judge, folder, video):
    """A client, and the address of the job of `video`, with its verdict."""
    settings = Settings(
        model=(str(exported_judge),),
        folder=str(folder.parent / "uploads"),
        review_dir=str(folder),
        review_bytes=2 * len(video),
        spares=0,
        **LIMITS,
    )
    with running(settings) as (client, _):
        until_ready(client)
        links = finished(client, send(client, video))["links"]
        yield client, links["self"], client.get(links["report_json"]).json()["verdict"]


@pytest.fixture
def review(web, folder):
    """(fields, file) -> the answer to a review of the job. There is none before and after."""
    client, job, _ = web
    client.delete(f"{job}/review")

    def post(fields=None, content=None, name="video.mp4"):
        parts = [(k, (None, v)) for k, v in (fields or {}).items()]
        if content is not None:
            parts.append(("video", (name, content)))
        return client.post(f"{job}/review", files=parts or {"none": (None, "")})

    yield post
    client.delete(f"{job}/review")


def files_of(folder):
    """All that lies there of reviews."""
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    return names - {"lock", "start.lock"}


def test_a_review_is_a_line_of_a_manifest_and_keeps_nothing_of_the_video(review, folder, video):
    digest = hashlib.sha256(video).hexdigest()
    answer = review({"label": "fake", "identities": "anna;=bob"})
    assert answer.status_code == 200
    assert (answer.json()["label"], answer.json()["kept"]) == ("fake", False)
    assert answer.json()["identities"] == ["anna", "=bob"]
    assert files_of(folder) == {"review.csv"}
    with open(folder / "review.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["uri"] == str(folder / "videos" / digest)
    assert (row["id"], row["label"]) == (digest, "fake")
    (line,) = read_manifest(folder / "review.csv")
    assert (line.label, line.identities) == (FAKE, ("anna", "=bob"))


def test_a_video_that_the_reviewer_sends_again_is_kept_for_the_user_alone(review, folder, video):
    assert review({"label": "real"}, video).json()["kept"] is True
    digest = hashlib.sha256(video).hexdigest()
    assert files_of(folder) == {"review.csv", digest}
    assert (folder / "videos" / digest).read_bytes() == video
    (found,) = find(folder / "review.csv").videos
    assert (found.label, found.uri) == (REAL, str(folder / "videos" / digest))
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600) or not path.stat().st_size, path


def test_the_newest_review_counts_and_says_that_it_contradicts(web, review, folder, video):
    verdict = web[2]
    first = review({"label": "fake"}, video).json()
    assert first["earlier"] is None
    second = review({"label": "real"}).json()
    assert second["earlier"] == "fake" and "An earlier review called it fake" in second["detail"]
    assert second["kept"]  # as was chosen before
    (line,) = read_manifest(folder / "review.csv")
    assert line.label == REAL
    third = review({"label": "REAL"}).json()
    assert third["earlier"] == "real" and "An earlier" not in third["detail"]
    agrees = {"REAL": (False, True), "FAKE": (True, False)}.get(verdict, (None, None))
    assert (first["agrees"], second["agrees"]) == agrees


def test_a_review_that_is_taken_back_leaves_neither_line_nor_video(web, review, folder, video):
    client, job, _ = web
    review({"label": "fake"}, video)
    assert client.delete(f"{job}/review").status_code == 204
    assert files_of(folder) == {"review.csv"}
    assert read_manifest(folder / "review.csv") == []
    is_problem(client.delete(f"{job}/review"), 404, "not-found")


@pytest.mark.parametrize(
    "fields, content, status, name, detail",
    [
        ({}, None, 400, "bad-upload", "'label' is not there"),
        ({"label": "maybe"}, None, 400, "bad-upload", "'maybe'; expected real or fake"),
        ({"label": "f" * 5000}, None, 400, "bad-upload", "over 4096 bytes"),
        ({"label": "fake", "identities": "[1]"}, None, 400, "bad-upload", "a JSON list of names"),
        ({"label": b"\xff"}, None, 400, "bad-upload", "no UTF-8"),
        ({"label": "fake"}, b"another", 409, "another-file", "SHA-256"),
        ({"label": "fake"}, b"", 400, "bad-upload", "empty"),
        ({"label": "fake"}, bytes(LIMITS["max_bytes"] + 1), 413, "too-large", "are taken"),
        ({}, "the video", 400, "bad-upload", "'label' is not there"),
    ],
)
def test_what_is_no_review_is_refused_and_leaves_nothing(
    review, folder, video, fields, content, status, name, detail
):
    answer = review(fields, video if content == "the video" else content)
    is_problem(answer, status, name)
    assert detail in answer.json()["detail"]
    assert files_of(folder) <= {"review.csv"}
    assert not (folder / "review.csv").exists() or not read_manifest(folder / "review.csv")


@pytest.mark.parametrize(
    "body, detail",
    [
        (b"--b\r\nContent-Disposition: form-data; name=label\r\n\r\nfa", "'label' is not complete"),
        (
            2 * b"--b\r\nContent-Disposition: form-data; name=label\r\n\r\nfake\r\n" + b"--b--",
            "two fields 'label'",
        ),
    ],
)
def test_a_form_that_is_cut_off_or_says_two_things_is_refused(web, review, body, detail):
    client, job, _ = web
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post(f"{job}/review", content=body, headers=headers)
    is_problem(answer, 400, "bad-upload")
    assert detail in answer.json()["detail"]


def test_jobs_that_are_not_there_have_no_review(web):
    client = web[0]
    is_problem(client.post("/api/v1/jobs/none/review", files={"label": (None, "fake")}), 404,
               "not-found")  # fmt: skip
    is_problem(client.delete("/api/v1/jobs/none/review"), 404, "not-found")


def test_a_manifest_that_was_broken_by_hand_is_said_and_stays(review, folder):
    review({"label": "fake"})
    manifest = folder / "review.csv"
    whole, broken = manifest.read_bytes(), b"uri,label\nx,maybe\n"
    manifest.write_bytes(broken)
    try:
        is_problem(review({"label": "real"}), 507, "not-stored")
        assert manifest.read_bytes() == broken
    finally:
        manifest.write_bytes(whole)


def test_videos_beyond_the_room_for_them_are_refused_without_their_review(review, folder, video):
    full = folder / "videos" / "other"
    full.write_bytes(bytes(len(video) + 1))
    try:
        answer = review({"label": "fake"}, video)
        is_problem(answer, 507, "not-stored")
        assert "without the video" in answer.json()["detail"]
        assert review({"label": "fake"}).status_code == 200
    finally:
        full.unlink()


def test_lines_that_were_written_by_hand_stay(tmp_path):
    (tmp_path / "review.csv").write_text("uri,label,method\n/archive/a.mp4,fake,FaceSwap\n")
    reviews = Reviews(tmp_path, 0)
    reviews.add("0" * 64, Review(REAL), None)
    reviews.add("1" * 64, Review(FAKE), None)
    assert reviews.withdraw("1" * 64) and not reviews.withdraw("1" * 64)
    reviews.close()
    methods = sorted(video.method for video in read_manifest(tmp_path / "review.csv"))
    assert methods == ["FaceSwap", "original"]


def test_without_the_folder_no_reviews_are_taken_and_a_folder_that_is_none_is_named(
    settings, tmp_path, capsys
):
    with running(settings) as (client, _):
        assert "/api/v1/jobs/{id}/review" not in client.get("/api/v1/openapi.json").json()["paths"]
        answer = client.post("/api/v1/jobs/x/review", files={"label": (None, "fake")})
        is_problem(answer, 404, "not-found")
    (tmp_path / "file").write_text("")
    given = ["--model-server", "http://127.0.0.1:9", "--port", "0"]
    given += ["--review-dir", str(tmp_path / "file")]
    assert main(["web", *given]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err

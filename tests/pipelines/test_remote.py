"""Videos, models and results on remote file systems: an emulated Cloud Storage, and another."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from apache_beam.internal.gcp import auth
from apache_beam.io.localfilesystem import LocalFileSystem

from dfdetect.__main__ import main
from pipelines import datasets, storage
from pipelines.datasets.base import DatasetError
from pipelines.storage import local_copy, local_folder
from tests.fixtures.model_servers import nobody_listens

BUCKET = "gs://bucket-of-tests"
FLAGS = ["--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40", "--shards", "2"]
# Google's libraries take these for a user's, and never ask for others before the year 2999.
CREDENTIALS = {
    "type": "authorized_user",
    "client_id": "x",
    "client_secret": "x",
    "refresh_token": "x",
    "token": "x",
    "expiry": "2999-01-01T00:00:00Z",
}


@pytest.fixture(scope="session")
def cloud_storage(tmp_path_factory) -> str:
    """The address of an emulator of Google Cloud Storage in a process of its own."""
    log = tmp_path_factory.mktemp("storage") / "log"
    with nobody_listens() as address, log.open("wb") as said:
        host, _, port = address.partition(":")
        argv = ["start", f"--host={host}", f"--port={port}", "--in-memory", "--quiet"]
        server = subprocess.Popen(
            [sys.executable, "-m", "gcp_storage_emulator", *argv]
            + [f"--default-bucket={BUCKET.removeprefix('gs://')}"],
            stdout=said,
            stderr=said,
        )
        url = f"http://{address}"
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(url, timeout=10).close()
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            yield url
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture
def gcs(cloud_storage, monkeypatch, tmp_path) -> str:
    """An empty bucket; temporary files go to tmp_path/temporary, which must be empty after."""
    urllib.request.urlopen(cloud_storage + "/wipe?keep-buckets=1", timeout=5).close()
    credentials = tmp_path / "user.json"
    credentials.write_text(json.dumps(CREDENTIALS))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud_storage)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
    monkeypatch.setattr(auth._Credentials, "_credentials", None)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    timeout = socket.getdefaulttimeout()
    yield BUCKET
    socket.setdefaulttimeout(timeout)  # Beam's client changes it for the process
    left = os.listdir(tmp_path / "temporary")
    # TensorFlow removes its own when the process ends.
    assert [name for name in left if not name.startswith("__autograph_generated_file")] == []


def upload(folder: Path, to: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            storage.write_atomically(f"{to}/{name}", [path.read_bytes()])


def checksums(folder: str) -> dict[str, str]:
    """Of all but job/."""
    digests = {}
    for name in storage.names(folder, "*"):
        with storage.open_file(f"{folder}/{name}") as handle:
            digests[name] = hashlib.sha256(handle.read()).hexdigest()
    return digests


def run(source: str, output: str, *flags: str) -> int:
    return main(["preprocess", "--input", source, "--output", output, *FLAGS, *flags])


def test_a_remote_data_set_becomes_the_shards_of_a_local_one(gcs, sample, tmp_path):
    upload(sample, f"{gcs}/set")
    assert run(f"{gcs}/set", f"{gcs}/data") == 0
    assert run(str(sample), str(tmp_path / "data")) == 0
    remote, local = checksums(f"{gcs}/data"), checksums(str(tmp_path / "data"))
    assert remote.keys() == local.keys()
    differing = {name for name in remote if remote[name] != local[name]}
    assert differing == {"dataset_info.json", "manifest.csv"}  # these name the root
    left = {m.path.removeprefix(f"{gcs}/data/job/") for m in storage.listing(f"{gcs}/data/job")}
    assert {name.split("/")[0] for name in left} == {"index", "metrics.json", "options.json"}


def test_a_remote_data_set_grows_and_only_what_must_change_is_touched(gcs, face_video, tmp_path):
    for name in "abcd":
        storage.write_atomically(f"{gcs}/set/real/{name}.mp4", [face_video.read_bytes()])
    assert run(f"{gcs}/set", f"{gcs}/data") == 0
    before = checksums(f"{gcs}/data")
    storage.write_atomically(f"{gcs}/set/real/new.mp4", [face_video.read_bytes()])
    assert run(f"{gcs}/set", f"{gcs}/data", "--update") == 0
    after = checksums(f"{gcs}/data")
    assert len([n for n in after if n.endswith("tfrecord") and after[n] != before[n]]) == 1
    metrics = storage.read_json(f"{gcs}/data/job/metrics.json")
    assert metrics["stages"]["decode"]["count"] == 1


def test_a_remote_archive_is_scored_by_a_remote_model(gcs, sample, exported, tmp_path):
    upload(sample, f"{gcs}/archive/deep")
    upload(exported, f"{gcs}/models/dfdetect/1")
    where = {"remote": (f"{gcs}/archive/**.mp4", f"{gcs}/models/dfdetect", f"{gcs}/scores")}
    where["local"] = (str(sample), str(exported), str(tmp_path / "scores"))
    found = {}
    for name, (archive, model, output) in where.items():
        assert main(["score", "--input", archive, "--model", model, "--output", output]) == 0
        lines = list(storage.read_lines(f"{output}/scores-00000-of-00001.jsonl"))
        found[name] = {
            line["path"].split("manipulated" if "manipulated" in line["path"] else "original")[1]: (
                line["verdict"],
                pytest.approx(line["probability_fake"], abs=1e-6),
                line["model"],
            )
            for line in lines
        }
    assert found["remote"] == found["local"] and len(found["local"]) == 18


def test_a_remote_manifest_names_videos_wherever_they_are(gcs, face_video):
    storage.write_atomically(f"{gcs}/lists/a.mp4", [face_video.read_bytes()])
    storage.write_atomically(f"{gcs}/b.mp4", [face_video.read_bytes()])
    rows = f"uri,label\na.mp4,real\n{gcs}/b.mp4,fake\ngone.mp4,real\n"
    storage.write_atomically(f"{gcs}/lists/videos.csv", [rows.encode()])
    (found,) = datasets.find_videos(f"{gcs}/lists/videos.csv")
    assert [v.uri for v in found.videos] == [f"{gcs}/lists/a.mp4", f"{gcs}/b.mp4"]
    assert found.missing == ("gone.mp4",) and f"{gcs}/lists/videos.csv: 1 of 3" in found.notes[0]


def test_a_remote_video_that_is_gone_is_a_reject(gcs, face_video, tmp_path):
    storage.write_atomically(f"{gcs}/a.mp4", [face_video.read_bytes()])
    manifest = tmp_path / "videos.csv"
    manifest.write_text(f"uri,label\n{gcs}/a.mp4,real\n{gcs}/gone.mp4,fake\n")
    assert run(str(manifest), f"{gcs}/data") == 0
    (line,) = storage.read_lines(f"{gcs}/data/rejects.jsonl")
    assert line["reason"] == "unreachable" and f"{gcs}/gone.mp4" in line["detail"]


def test_a_remote_root_that_is_no_data_set_is_named_as_it_was_given(gcs):
    with pytest.raises(DatasetError, match=f"^{gcs}/nothing: holds nothing"):
        datasets.find_videos(f"{gcs}/nothing")
    storage.write_atomically(f"{gcs}/set/holiday/a.mp4", [b"x"])
    with pytest.raises(DatasetError, match=f"^{gcs}/set: holds holiday; expected"):
        datasets.find_videos(f"{gcs}/set")


class OtherScheme(LocalFileSystem):
    """The local disk under other://, standing for any remote file system."""

    @classmethod
    def scheme(cls):
        return "other"

    def open(self, path, *args, **kwargs):
        return super().open(path.removeprefix("other:/"), *args, **kwargs)

    def _list(self, path):
        for metadata in super()._list(path.removeprefix("other:/")):
            metadata.path = "other:/" + metadata.path
            yield metadata

    def split(self, path):
        folder, name = super().split(path.removeprefix("other:/"))
        return "other:/" + folder, name

    def exists(self, path):
        return super().exists(path.removeprefix("other:/"))


def test_a_remote_file_is_copied_for_reading_and_removed_even_after_an_error(tmp_path):
    source = tmp_path / "a.mp4"
    source.write_bytes(b"data")
    with pytest.raises(RuntimeError), local_copy(f"other:/{source}") as path:
        assert Path(path).read_bytes() == b"data"
        raise RuntimeError
    assert not Path(path).exists() and source.exists()


def test_nothing_is_left_of_a_file_that_cannot_be_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Exception, match="nowhere"), local_copy("other:///nowhere.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_remote_folder_is_copied_under_its_own_name_and_removed(tmp_path):
    (tmp_path / "model" / "1" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "1" / "variables" / "a").write_text("weights")
    with local_folder(f"other:/{tmp_path}/model/1") as folder:
        assert Path(folder, "variables", "a").read_text() == "weights"
        assert Path(folder).name == "1" and Path(folder).parent.name == "model"
    assert not Path(folder).exists()


def test_a_remote_file_may_not_name_a_place_outside_of_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        storage, "listing", lambda *_: [type("File", (), {"path": "other://set/../../a.mp4"})]
    )
    with pytest.raises(DatasetError, match="names a file outside of other://set"):
        datasets.find_videos("other://set")
    shutil.rmtree(tmp_path)

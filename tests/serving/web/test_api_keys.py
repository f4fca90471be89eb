"""Named API keys over HTTP: who may, how much in a day, in which turn, and what is written down."""

import base64
import dataclasses
import hashlib
import json
import re
import stat
import threading

import pytest

from dfdetect.__main__ import main
from serving.web import arrivals, receive
from serving.web.api_keys import Keyring, add_key, read_keys, revoke_key
from serving.web.audit_log import job_hash
from serving.web.settings import Settings
from serving.web.usage import Quota
from tests.serving.web.live_server import (
    JOBS,
    Held,
    at_work,
    end_of,
    is_problem,
    running,
    send,
    wait_until,
)
from tests.serving.web.test_arrivals import HEAD, under_way, uploading

JUNK = b"no video at all, only so many bytes"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def settings(tmp_path, path):
    """Of a server with one worker, whose model server is down."""
    return Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        folder=str(tmp_path / "uploads"),
        keys_file=str(path),
        workers=1,
    )


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def sent(client, key, content=JUNK):
    """The job of a video that is sent with the key, which the client goes on with."""
    client.headers.update(bearer(key))
    answer = send(client, content)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_a_key_opens_as_bearer_and_as_password_until_it_is_revoked(settings, path):
    newsroom, desk = add_key(path, "newsroom", Quota()), add_key(path, "desk", Quota())
    with running(settings) as (client, _):
        ways = (
            bearer(newsroom),
            {"authorization": "Basic " + base64.b64encode(f"any:{newsroom}".encode()).decode()},
        )
        for headers in ways:
            assert client.get(f"{JOBS}/x", headers=headers).status_code == 404
        revoke_key(path, "newsroom")
        for headers in ways:
            is_problem(client.get(f"{JOBS}/x", headers=headers), 401, "unauthorized")
        later = add_key(path, "later", Quota())
        for key, status in ((later, 404), (desk, 404), (newsroom, 401)):
            assert client.get(f"{JOBS}/x", headers=bearer(key)).status_code == status


def test_without_a_known_key_nothing_is_done(settings, path):
    add_key(path, "newsroom", Quota())
    (kept,) = read_keys(path)
    wrong = ("Bearer", "Basic !", b"Bearer \xff", f"Bearer {kept.sha256}", f"Bearer {kept.name}")
    with running(settings) as (client, app):
        for headers in ({}, *({"authorization": value} for value in wrong)):
            answer = send(client, JUNK, headers=headers)
            is_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Basic")
        assert app.state.jobs.folder.files() == []
        assert client.get("/healthz").status_code == 200


def test_a_file_that_was_spoilt_opens_no_door_until_it_is_mended(path, caplog):
    key = add_key(path, "newsroom", Quota()).encode()
    ring, good = Keyring(path), path.read_text()
    path.write_text(good[:40])
    assert ring.find(key) is None and ring.find(key) is None
    assert [record.name for record in caplog.records] == ["dfdetect.web"]
    path.write_text(good)
    assert ring.find(key).name == "newsroom"
    path.unlink()
    assert ring.find(key) is None
    add_key(path, "other", Quota())
    assert ring.find(key) is None


def test_the_file_has_hashes_for_its_owner_s_eyes_and_keeps_its_rights(path):
    keys = [add_key(path, name, Quota()) for name in ("one", "two")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(key in path.read_text() for key in keys)
    assert [one.sha256 for one in read_keys(path)] == [
        hashlib.sha256(key.encode()).hexdigest() for key in keys
    ]
    path.chmod(0o640)  # the server is of the group
    revoke_key(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in read_keys(path)] == ["two"]


def test_keys_that_are_made_at_once_are_all_there(path):
    names = [f"k{number}" for number in range(16)]
    threads = [threading.Thread(target=add_key, args=(path, name, Quota())) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in read_keys(path)) == sorted(names)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "Expecting value"),
        ("[]", "format"),
        ({"format": "dfdetect-keys/2", "keys": []}, "format"),
        ({"keys": 3}, "no list of keys"),
        ({"keys": [3]}, "not iterable"),
        ({"keys": [{"name": "a", "made": ""}]}, "sha256 of a is none"),
        ({"keys": [{"name": "192.0.2.1", "sha256": "0" * 64}]}, "first is a letter"),
        ({"keys": [{"name": "a", "sha256": "0" * 64, "videos_a_day": -1}]}, "is -1"),
        ({"keys": [{"name": "a", "sha256": "0" * 64, "videos_a_day": True}]}, "is True"),
        ({"keys": [{"name": "a", "sha256": "0" * 64, "x": 1}]}, "'x'"),
        ({"keys": [{"name": "a", "sha256": c * 64} for c in "01"]}, "the same name"),
        ({"keys": [{"name": n, "sha256": "0" * 64} for n in "ab"]}, "the same sha256"),
    ],
)
def test_what_is_no_file_of_keys_is_refused_with_the_reason(path, document, why):
    if isinstance(document, dict):
        document = json.dumps({"format": "dfdetect-keys/1", **document})
    path.write_text(document)
    path.chmod(0o600)
    with pytest.raises(ValueError, match=f"keys.json: is no file of keys .*{re.escape(why)}"):
        Keyring(path)


def test_a_file_that_others_may_write_is_refused(path):
    add_key(path, "newsroom", Quota())
    path.chmod(0o620)
    with pytest.raises(ValueError, match="chmod 600"):
        Keyring(path)


def test_the_command_makes_lists_and_revokes_keys(path, capsys):
    keys = ["web", "keys"]
    file = ["--keys-file", str(path)]
    assert main([*keys, "add", "newsroom", "--videos-a-day", "50", *file]) == 0
    key = capsys.readouterr().out.strip()
    assert Keyring(path).find(key.encode()).quota == Quota(videos_a_day=50)
    assert main([*keys, "list", *file]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^newsroom +\d{4}-\S+ +50 +any$", told, re.M) and key not in told
    assert main([*keys, "add", "newsroom", *file]) == 1
    assert "has a key 'newsroom'" in capsys.readouterr().err
    assert main([*keys, "revoke", "desk", *file]) == 1
    assert "it has newsroom" in capsys.readouterr().err
    assert main([*keys, "revoke", "newsroom", *file]) == 0
    assert read_keys(path) == []


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["add", "a"],
        ["add", "1a", "--keys-file", "k"],
        ["add", "a/b", "--keys-file", "k"],
        ["add", "a", "--keys-file", "k", "--videos-a-day", "0"],
        ["add", "a", "--keys-file", "k", "--bytes-a-day", "x"],
        ["revoke", "--keys-file", "k"],
    ],
)
def test_wrong_usage_exits_2_and_makes_no_file(argv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["web", "keys", *argv])
    assert caught.value.code == 2 and capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_server_asks_for_a_token_or_for_keys():
    with pytest.raises(ValueError, match="either --token-file or --keys-file"):
        Settings(model=("m",), token_file="t", keys_file="k")


def test_a_key_sends_its_videos_a_day_and_no_more_also_after_a_restart(settings, path, tmp_path):
    few, other = add_key(path, "few", Quota(videos_a_day=2)), add_key(path, "other", Quota())
    kept = dataclasses.replace(settings, results_dir=str(tmp_path / "results"))
    with running(kept) as (client, app):
        for _ in range(2):
            end_of(client, sent(client, few))
        answer = send(client, JUNK, headers=bearer(few))
        assert "2 of 2 videos" in is_problem(answer, 429, "quota-exceeded")["detail"]
        assert 1 <= int(answer.headers["retry-after"]) <= 86_400
        assert app.state.jobs.folder.files() == []
        sent(client, other)
    with running(kept) as (client, _):
        is_problem(send(client, JUNK, headers=bearer(few)), 429, "quota-exceeded")
        sent(client, other)


def test_bytes_of_a_day_are_counted_as_they_come(settings, path):
    key = add_key(path, "small", Quota(bytes_a_day=3 * len(JUNK) - 1))
    with running(settings) as (client, app):
        for _ in range(2):
            end_of(client, sent(client, key))
        answer = send(client, JUNK)
        said = is_problem(answer, 429, "quota-exceeded")["detail"]
        assert f"{2 * len(JUNK)} of {3 * len(JUNK) - 1} bytes" in said
        assert app.state.jobs.folder.files() == []
        sent(client, key, JUNK[:-1])  # what is left of the day
        is_problem(send(client, b"x"), 429, "quota-exceeded")


def test_keys_take_turns_from_one_address(settings, path, monkeypatch):
    many, alone = add_key(path, "many", Quota()), add_key(path, "alone", Quota())
    with running(settings) as (client, app):
        Held(app, monkeypatch)
        first = sent(client, many)
        at_work(client, first)
        jobs = [sent(client, key) for key in (many, many, alone)]
        places = [client.get(job["links"]["self"]).json()["progress"]["position"] for job in jobs]
        assert places == [2, 3, 1]


def test_uploads_are_shared_out_between_keys(settings, path, monkeypatch):
    monkeypatch.setattr(arrivals, "STALLED_S", 1e5)
    monkeypatch.setattr(receive, "DRAIN_S", 0.1)
    slow, other = add_key(path, "slow", Quota()), add_key(path, "other", Quota())
    authorized = HEAD.replace("\r\n\r\n", f"\r\nAuthorization: Bearer {slow}\r\n\r\n")
    monkeypatch.setattr("tests.serving.web.test_arrivals.HEAD", authorized)
    room = dataclasses.replace(settings, uploads=2, upload_grace=1e6)
    with running(room) as (client, _), uploading(client, 1):
        client.headers.update(bearer(other))
        wait_until(lambda: under_way(client) == 1)
        refused = is_problem(send(client, JUNK, headers=bearer(slow)), 429, "busy")
        assert "1 uploads from this client" in refused["detail"]
        sent(client, other)


def test_the_audit_log_names_the_key_and_the_file_s_hash_and_outlives_rotation(
    settings, path, tmp_path
):
    key, log = add_key(path, "newsroom", Quota()), tmp_path / "audit.log"
    with running(dataclasses.replace(settings, audit_log=str(log))) as (client, _):
        first = sent(client, key)
        end_of(client, first)
        log.rename(tmp_path / "audit.log.1")
        second = sent(client, key)
        end_of(client, second)
    for file, job in (("audit.log.1", first), ("audit.log", second)):
        text = (tmp_path / file).read_text()
        line = json.loads(text)  # one
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]{12}\+00:00", line.pop("time"))
        assert line == {
            "client": "newsroom",
            "job": job_hash(job["id"]),
            "sha256": hashlib.sha256(JUNK).hexdigest(),
            "state": "failed",
            "verdict": None,
            "problem": "model-server-down",
            "model": None,
        }
        assert not any(secret in text for secret in (key, job["id"], job["name"]))
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600


def test_an_audit_log_that_cannot_be_written_is_named_at_the_start(tmp_path, capsys):
    argv = ["web", "--model-server", "http://127.0.0.1:9", "--audit-log", str(tmp_path)]
    assert main(argv) == 1
    assert f"{tmp_path}: Is a directory" in capsys.readouterr().err


def test_an_audit_log_that_is_lost_later_stops_nothing(settings, path, tmp_path, caplog):
    key, folder = add_key(path, "newsroom", Quota()), tmp_path / "audit"
    folder.mkdir()
    log = folder / "log"
    with running(dataclasses.replace(settings, audit_log=str(log))) as (client, _):
        log.unlink()
        folder.rmdir()
        assert end_of(client, sent(client, key))["state"] == "failed"
    assert "a line of the audit log is lost" in caplog.text

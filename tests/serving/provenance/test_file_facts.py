"""Facts about a file, read in a process of its own: all of them, and what becomes of a failure."""

import dataclasses
import json
import re
import shutil
import sys

import pytest

from pipelines.dataclass_json import from_json
from serving.provenance.file_facts import FactsProcess, FileFacts, facts_of
from serving.provenance.reader import FactsReader
from serving.provenance.settings import ProvenanceSettings
from tests.fixtures import ROOT
from tests.fixtures.signed_videos import write_video

PLACE = "+52.3702+004.8952/"


@pytest.fixture(scope="module")
def located(tmp_path_factory):
    path = tmp_path_factory.mktemp("located") / "a b\udcff:c.mp4"
    return write_video_as(path, {"location": PLACE})


def test_the_page_s_lines_of_python_work(video, monkeypatch, tmp_path, capsys):
    shutil.copy(video, tmp_path / "video.mp4")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/provenance.md").read_text(), re.S)
    exec(compile(code, "docs/provenance.md", "exec"), {})
    assert "'P': 9" in capsys.readouterr().out


def write_video_as(path, tags):
    plain = write_video(path.with_name("plain.mp4"), frames=12, tags=tags)
    return plain.rename(path)


def test_all_parts_are_read_in_one_go(signed, newsroom):
    facts = facts_of(str(signed), newsroom.root)
    assert facts.content_credentials.trust == "trusted"
    assert facts.container.brands.startswith("isom") and facts.encoding.frames == 30
    assert facts.problems == ()


def test_the_json_is_the_facts(signed, newsroom):
    facts = facts_of(str(signed), newsroom.root)
    assert from_json(FileFacts, json.loads(json.dumps(facts.to_dict())), exact=True) == facts


@pytest.mark.parametrize("shown", [False, True])
def test_a_place_is_told_only_where_that_was_asked_for(located, shown):
    reader = FactsReader.of(ProvenanceSettings(show_location=shown))
    with reader.begin(str(located)) as process:
        facts = process.facts()
    assert facts.location == PLACE
    told = reader.shown(facts)
    assert told.container.has_location and (PLACE in json.dumps(told.to_dict())) == shown


def test_the_json_is_the_same_however_often_it_is_written(video):
    """Parquet keeps the order of names, and the job's files on the way sort them."""
    told = facts_of(str(video)).to_dict()
    again = json.loads(json.dumps(told, sort_keys=True))
    for part, names in (("container", "tags"), ("encoding", "frame_types")):
        assert list(told[part][names]) == list(again[part][names])


def test_what_is_no_video_is_told_part_by_part(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("no video at all")
    facts = facts_of(str(path))
    assert facts.container is None and facts.encoding is None
    assert len(facts.problems) == 2
    assert all("could not be read: " in problem for problem in facts.problems)


def program(tmp_path, text: str) -> str:
    """An executable that stands in for Python, and does this instead of reading a file."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kill -SEGV $$", "ended with code -11"),
        ("exit 3", "ended with code 3"),
        ('cat > /dev/null; echo \'{"part": "container"}\'', "sent all is 'None'"),
        ("cat > /dev/null; echo '[1]'", "sent "),
        ("cat > /dev/null; echo hello", "sent "),
    ],
)
def test_a_process_that_fails_leaves_a_fact(video, tmp_path, monkeypatch, text, why):
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    facts = facts_of(str(video))
    assert facts.content_credentials.status == "unreadable"
    assert len(facts.problems) == 3 and all(why in problem for problem in facts.problems)


def test_what_was_read_before_a_crash_stays(video, tmp_path, monkeypatch):
    encoding = json.dumps(
        {"part": "encoding", "value": dataclasses.asdict(facts_of(str(video)).encoding)}
    )
    crash = f"cat > /dev/null; echo '{encoding}'; kill -SEGV $$"
    monkeypatch.setattr(sys, "executable", program(tmp_path, crash))
    facts = facts_of(str(video))
    assert facts.encoding.frames == 30 and facts.container is None


def test_a_process_that_takes_too_long_is_ended(video, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 600"))
    with FactsProcess(str(video), time_limit_s=0.2) as process:
        facts = process.facts()
    assert all("took longer than 0.2 s" in problem for problem in facts.problems)


def test_who_does_not_ask_does_not_wait(video, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 600"))
    with FactsProcess(str(video)):
        pass  # the test would take ten minutes


def test_where_no_process_can_be_started_that_is_told(video, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-program"))
    facts = facts_of(str(video))
    assert all("no process could be started" in problem for problem in facts.problems)


@pytest.mark.parametrize("content", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_trust_list_without_a_certificate_is_refused(tmp_path, content):
    path = tmp_path / "list.pem"
    path.write_text(content)
    with pytest.raises(ValueError, match="list.pem: no certificates in PEM .* expected blocks"):
        FactsReader.of(ProvenanceSettings(c2pa_trust_list=str(path)))


def test_a_trust_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        FactsReader.of(ProvenanceSettings(c2pa_trust_list=str(tmp_path / "list.pem")))


def test_a_trust_list_may_hold_several_certificates_and_comments(newsroom, tmp_path):
    path = tmp_path / "list.pem"
    path.write_text(f"# newsrooms\n{newsroom.root}\n# again\n{newsroom.root}")
    assert FactsReader.of(ProvenanceSettings(c2pa_trust_list=str(path))).trust_list

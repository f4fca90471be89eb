"""Content Credentials of files that are signed here: what holds, what is claimed, what is told."""

import random
import socket
import sys
from pathlib import Path

import pytest

from serving.provenance.content_credentials import (
    NONE_FOUND,
    NOT_INSTALLED,
    ContentCredentials,
    read_content_credentials,
)
from tests.fixtures.signed_videos import CAPTURED, GENERATED, Signer, actions, tampered, write_video

CAPTURE = {"action": "c2pa.created", "digitalSourceType": CAPTURED}
pytestmark = pytest.mark.usefixtures("newsroom")  # nothing to read without the library


def read_from(path: Path, trust_list: str = "") -> ContentCredentials:
    with open(path, "rb") as file:
        return read_content_credentials(file, trust_list)


def test_a_trusted_signature_that_holds_is_told_with_all_that_is_claimed(signed, newsroom):
    read = read_from(signed, newsroom.root)
    assert (read.status, read.signature, read.content, read.claims) == ("found", *["holds"] * 3)
    assert read.trust == "trusted" and read.problems == ()
    assert read.signer == "Example News (Example News desk)" and read.tool == "Example Editor 1.0"
    assert [action.action for action in read.actions] == ["c2pa.created", "c2pa.edited"]
    assert read.actions[0].software == "Gen 2" and read.actions[1].description == "face swapped"
    assert "The signature holds, and the file is as it was signed." in read.summary
    assert "on the trust list" in read.summary


def test_a_claim_that_a_generative_model_made_it_is_told(signed):
    read = read_from(signed)
    assert [(claim.assertion, claim.says) for claim in read.ai] == [
        ("c2pa.created", "made by a generative model")
    ]
    assert "They claim that AI took part: made by a generative model." in read.summary


def test_an_assertion_that_is_not_known_is_named_and_does_no_harm(signed, newsroom):
    read = read_from(signed, newsroom.root)
    assert read.assertions == ("org.example.unknown",) and read.problems == ()


def test_without_a_trust_list_trust_is_not_checked(signed):
    read = read_from(signed)
    assert (read.trust, read.signature, read.problems) == ("not_checked", "holds", ())
    assert "was not checked" in read.summary and "anyone can sign" in read.summary


def test_a_signer_of_another_root_of_the_same_name_is_not_trusted(signed):
    read = read_from(signed, Signer("Example News").root)
    assert (read.trust, read.signature, read.content) == ("untrusted", "holds", "holds")
    assert "not on the trust list" in read.summary


@pytest.mark.parametrize(
    ("where", "offset", "checks"),
    [
        (b"mdat", 400, ("holds", "fails", "holds")),
        (b"face swapped", 0, ("holds", "holds", "fails")),
        (b"Example Editor", 0, ("fails", "holds", "holds")),
    ],
    ids=["the pictures", "an assertion", "the claim"],
)
def test_a_byte_that_was_changed_after_signing_shows(signed, newsroom, where, offset, checks):
    read = read_from(tampered(signed, where, offset), newsroom.root)
    assert (read.signature, read.content, read.claims) == checks
    assert read.problems and "as it was signed" not in read.summary
    assert ("on the trust list" in read.summary) == (read.signature == "holds")


def test_a_camera_claims_no_ai(video, newsroom, tmp_path):
    signed = newsroom.sign(video, tmp_path / "camera.mp4", [actions(CAPTURE)])
    read = read_from(signed)
    assert read.ai == () and "AI" not in read.summary


@pytest.mark.parametrize("source", ["compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"])
def test_an_edit_with_a_generative_model_is_a_claim_of_ai(video, newsroom, tmp_path, source):
    url = GENERATED.rsplit("/", 1)[0] + "/" + source
    edit = {"action": "c2pa.edited", "digitalSourceType": url}
    signed = newsroom.sign(video, tmp_path / "edited.mp4", [actions(CAPTURE, edit)])
    assert [claim.assertion for claim in read_from(signed).ai] == ["c2pa.edited"]


def test_an_ai_disclosure_is_told_with_its_model(video, newsroom, tmp_path):
    disclosure = {
        "label": "c2pa.ai-disclosure",
        "data": {"modelType": "c2pa.types.model", "modelName": "Swapper 3"},
    }
    signed = newsroom.sign(video, tmp_path / "told.mp4", [actions(CAPTURE), disclosure])
    read = read_from(signed)
    assert [claim.says for claim in read.ai] == ["AI took part by Swapper 3"]
    assert read.assertions == ()


def test_what_the_video_was_made_from_keeps_its_claims(signed, newsroom, tmp_path):
    opened = {"action": "c2pa.edited"}
    made = newsroom.sign(
        signed, tmp_path / "cut.mp4", [actions(opened)], title="cut", parent=signed
    )
    read = read_from(made, newsroom.root)
    assert read.title == "cut" and read.ingredients == ("signed.mp4",)
    assert [(claim.says, claim.of) for claim in read.ai] == [("made by a generative model", "clip")]


def test_a_video_without_any_is_said_to_have_none_and_no_more(video):
    read = read_from(video)
    assert (read.status, read.summary) == ("none_found", NONE_FOUND)


def test_a_format_that_has_none_is_not_checked(tmp_path):
    read = read_from(write_video(tmp_path / "clip.mkv", frames=3))
    assert read.status == "not_checked" and "of this format" in read.summary


def test_a_manifest_that_is_kept_elsewhere_is_not_fetched(video, newsroom, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        signed = newsroom.sign(video, tmp_path / "remote.mp4", [actions(CAPTURE)], remote_url=url)
        read = read_from(signed, newsroom.root)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert read.status == "elsewhere" and url in read.summary and "not fetched" in read.summary


def test_a_damaged_manifest_is_a_fact_and_never_an_error(signed, tmp_path):
    data = signed.read_bytes()
    start = data.index(b"jumb") - 8
    path, seen = tmp_path / "damaged.mp4", set()
    for seed in range(60):
        dice, damaged = random.Random(seed), bytearray(data)
        for _ in range(dice.randint(1, 20)):
            damaged[dice.randrange(start, min(start + 4000, len(data)))] = dice.randrange(256)
        path.write_bytes(damaged)
        read = read_from(path)
        seen.add(read.status)
        assert read.status != "unreadable" or read.summary.startswith("There are some, and they")
        assert read.status != "found" or "as it was signed." not in read.summary
    assert "unreadable" in seen


def test_text_of_a_manifest_cannot_turn_what_is_written_around_it(video, newsroom, tmp_path):
    edit = {"action": "c2pa.edited", "description": "a\u202eb\n<script>" + "x" * 1000}
    signed = newsroom.sign(video, tmp_path / "hostile.mp4", [actions(CAPTURE, edit)])
    said = read_from(signed).actions[1].description
    assert said.startswith("a\\u202eb\\x0a<script>") and len(said) < 250


def test_many_actions_are_cut_off(video, newsroom, tmp_path):
    made = [CAPTURE, *[{"action": "c2pa.edited"}] * 200]
    signed = newsroom.sign(video, tmp_path / "many.mp4", [actions(*made)])
    assert len(read_from(signed).actions) == 50


def test_without_the_package_it_says_how_to_install_it(signed, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    read = read_from(signed)
    assert (read.status, read.summary) == ("not_checked", NOT_INSTALLED)

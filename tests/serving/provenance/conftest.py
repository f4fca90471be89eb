"""One video, and one that a trusted signer signed, for all tests of provenance."""

import pytest

from tests.fixtures.signed_videos import GENERATED, Signer, actions, write_video

UNKNOWN = {"label": "org.example.unknown", "data": {"a": 1}}
GENERATION = {"action": "c2pa.created", "digitalSourceType": GENERATED, "softwareAgent": "Gen 2"}
EDIT = {"action": "c2pa.edited", "description": "face swapped"}


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "clip.mp4")


@pytest.fixture(scope="session")
def newsroom():
    pytest.importorskip("c2pa", reason="needs the extra `provenance`")
    return Signer("Example News")


@pytest.fixture(scope="session")
def signed(video, newsroom):
    made = [actions(GENERATION, EDIT), UNKNOWN]
    return newsroom.sign(video, video.with_name("signed.mp4"), made)

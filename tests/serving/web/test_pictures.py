"""Pictures in place of videos: all of them are told so, in the same words."""

import io

import numpy as np
import pytest
from PIL import Image, features

from pipelines.clip import VideoError
from pipelines.faces.detect import MtcnnDetector
from pipelines.faces.extract import FaceExtractor
from pipelines.video.confined import LocalReader
from pipelines.video.memory import MemoryBudget
from serving.web.decoder import Decoder
from serving.web.file_kinds import picture_kind
from serving.web.limits import VideoLimits
from serving.web.problems import of_video

KINDS = {
    "JPEG": "JPEG", "PNG": "PNG", "GIF": "GIF", "WEBP": "WebP", "BMP": "BMP", "TIFF": "TIFF",
    "JPEG2000": "JPEG 2000", "AVIF": "AVIF",
}  # fmt: skip
LIMITS = VideoLimits(max_seconds=600.0, max_pixels=1_000_000, max_frames=1000)


def picture(form: str, frames: int = 1) -> bytes:
    """A picture of noise, or an animation of several."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(frames)]
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:], "duration": 100} if frames > 1 else {}
    images[0].save(file, form, **more)
    return file.getvalue()


class Answers:
    """The server's end of the pipe."""

    def __init__(self):
        self.sent = []

    def send_bytes(self, message):
        self.sent.append(message)


@pytest.fixture(scope="module")
def opened(small_config):
    """What the decoder says of a file: its metadata. Raises VideoError."""
    reader = LocalReader()
    detector = MtcnnDetector(small_config.min_face, 1)
    extractor = FaceExtractor(small_config, detector, threads=1, reader=reader)
    decoder = Decoder(Answers(), extractor, reader, LIMITS, MemoryBudget(10**9))
    return lambda path: decoder._open(path, extractor)


@pytest.mark.parametrize("form", [f for f in KINDS if f != "AVIF" or features.check("avif")])
@pytest.mark.parametrize("length", [None, 100], ids=["whole", "cut off"])
def test_every_picture_is_called_one_whether_it_is_whole_or_not(opened, tmp_path, form, length):
    (tmp_path / "upload").write_bytes(picture(form)[:length])
    with pytest.raises(VideoError) as refused:
        opened(str(tmp_path / "upload"))
    problem = of_video(refused.value, str(tmp_path / "upload"))
    assert (problem.status, problem.name) == (415, "picture")
    assert problem.detail == (
        f"It is a {KINDS[form]} picture. A verdict rests on many frames: send the video itself."
    )


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_an_animation_is_a_video(opened, tmp_path, form):
    (tmp_path / "upload").write_bytes(picture(form, frames=5))
    assert opened(str(tmp_path / "upload")).metadata.frames == 5


@pytest.mark.parametrize("head", [b"", b"BMW is a car", b"\0\0\0\x20ftypisom", b"RIFF....AVI LIST"])
def test_what_is_no_picture_is_not_called_one(head):
    assert picture_kind(head) == ""

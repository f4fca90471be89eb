"""From a video file to clips: which faces are kept, what is filled, and what is masked."""

import dataclasses

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces import extract
from pipelines.faces.align import TEMPLATE
from pipelines.faces.detect import Face
from pipelines.faces.extract import FaceExtractor
from pipelines.video import confined

CONFIG = PreprocessConfig(
    clips_per_video=1, frames_per_clip=16, frame_stride=1, crop_size=64, min_face=40
)


@pytest.fixture(scope="module")
def detector():
    from pipelines.faces.detect import MtcnnDetector

    return MtcnnDetector(CONFIG.min_face)


def clips_of(path, detector, **changes):
    return FaceExtractor(dataclasses.replace(CONFIG, **changes), detector).extract(str(path))


def test_extracting_gives_upright_crops_with_times(extractor, face_video, small_config):
    clips = extractor.extract(str(face_video))
    assert [clip.index for clip in clips] == list(range(small_config.clips_per_video))
    for clip in clips:
        assert clip.has_crop.all() and len(clip.images) == small_config.frames_per_clip
        assert (np.diff(clip.times_s) > 0).all()
        image = cv2.imdecode(np.frombuffer(clip.images[0], np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (48, 48, 3) and image.std() > 20
        mapped = np.einsum("tij,tkj->tki", clip.transforms[:, :, :2], clip.landmarks)
        mapped += clip.transforms[:, None, :, 2]
        expected = ((TEMPLATE - 0.5) / 1.3 + 0.5) * 48
        assert np.abs(mapped - expected).max() < 4


def test_extracting_twice_gives_the_same_bytes(extractor, face_video):
    a, b = (extractor.extract(str(face_video)) for _ in range(2))
    assert [clip.images for clip in a] == [clip.images for clip in b]


def test_a_video_without_a_face_says_so(tmp_path, write_video, extractor):
    frames = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    path = write_video(tmp_path / "noise.mp4", frames)
    with pytest.raises(VideoError, match="no face of 40 px") as caught:
        extractor.extract(str(path))
    assert caught.value.reason == "no_face"


def test_png_crops_hold_the_exact_pixels(face_video):
    config = PreprocessConfig(frames_per_clip=2, crop_size=48, image_format="png")
    clip = FaceExtractor(config).extract(str(face_video))[0]
    assert clip.images[0].startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def two_people(tmp_path_factory, write_video, astronaut):
    """The same face twice: small on the left, large on the right."""
    small = cv2.resize(astronaut, (160, 160), interpolation=cv2.INTER_AREA)
    frame = np.full((256, 448, 3), 90, np.uint8)
    frame[40:200, 10:170], frame[:, 192:] = small, astronaut
    return write_video(tmp_path_factory.mktemp("two") / "two.mp4", np.stack([frame] * 16))


def test_the_largest_face_is_kept_or_all_of_them_largest_first(two_people, detector):
    (largest,) = clips_of(two_people, detector)
    assert largest.boxes[0, 0] > 200
    first, second = clips_of(two_people, detector, faces="all")
    assert (first.track, second.track) == (0, 1)
    assert first.images == largest.images and second.boxes[0, 2] < 170


@pytest.fixture(scope="module")
def they_change_size(tmp_path_factory, write_video, astronaut):
    """Two in their places, of whom first the right one is the larger, then the left one."""
    before, after = np.full((2, 256, 512, 3), 90, np.uint8)
    for frame, sides in ((before, (220, 256)), (after, (256, 220))):
        for left, side in zip((0, 256), sides, strict=True):
            frame[:side, left : left + side] = cv2.resize(astronaut, (side, side))
    frames = [before] * 8 + [after] * 8
    return write_video(tmp_path_factory.mktemp("change") / "change.mp4", np.stack(frames))


def test_a_face_keeps_its_number_from_clip_to_clip(they_change_size, detector):
    options = {"clips_per_video": 2, "frames_per_clip": 4}
    clips = clips_of(they_change_size, detector, faces="all", **options)
    assert [(clip.index, clip.track) for clip in clips] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    at = {(clip.index, clip.track): clip.boxes[0, 0] for clip in clips}
    assert at[0, 0] > 256 > at[0, 1]  # the larger one comes first
    assert at[1, 0] > 256 > at[1, 1]  # and stays first where it is
    alone = clips_of(they_change_size, detector, **options)
    assert [clip.track for clip in alone] == [0, 1]  # each time the largest, which is another


@pytest.fixture(scope="module")
def leaves_and_returns(tmp_path_factory, write_video, astronaut):
    """The face is hidden in frames 5 and 6, and from 9 to 15, in a picture that stays."""
    seen = np.full((448, 448, 3), 90, np.uint8)
    seen[96:352, 96:352] = astronaut
    hidden = seen.copy()
    hidden[150:276, 176:276] = 90
    frames = [hidden if t in (5, 6) or t >= 9 else seen for t in range(16)]
    return write_video(tmp_path_factory.mktemp("gap") / "gap.mp4", np.stack(frames), crf="1")


def test_a_short_gap_is_filled_and_a_long_one_is_masked(leaves_and_returns, detector):
    (clip,) = clips_of(leaves_and_returns, detector, min_face_share=0.4)
    assert clip.has_crop.tolist() == [True] * 9 + [False] * 7
    for values in (clip.boxes, clip.landmarks, clip.confidence, clip.transforms):
        assert not values[9:].any() and values[:9].any()


def test_a_face_in_too_few_frames_is_not_kept(leaves_and_returns, detector):
    with pytest.raises(VideoError, match="in 50% of the frames of any clip") as caught:
        clips_of(leaves_and_returns, detector, min_face_share=0.5)
    assert caught.value.reason == "no_face"


def test_a_face_of_too_low_confidence_is_not_kept(two_people, detector):
    with pytest.raises(VideoError, match="with score 1.0"):
        clips_of(two_people, detector, min_confidence=1.0)


def test_a_face_too_small_at_the_default_side_is_found_when_paid_for(
    tmp_path, write_video, astronaut
):
    # 1280 px wide: at 640 the face of 20 px has 10.
    small = cv2.resize(astronaut, (64, 64), interpolation=cv2.INTER_AREA)
    frame = np.full((240, 1280, 3), 90, np.uint8)
    frame[60:124, 600:664] = small
    path = str(write_video(tmp_path / "wide.mp4", np.stack([frame] * 4), crf="10"))
    config = dataclasses.replace(CONFIG, frames_per_clip=4, min_face=24)
    with pytest.raises(VideoError, match="no face"):
        FaceExtractor(config).extract(path)
    (clip,) = FaceExtractor(dataclasses.replace(config, detect_side=1280)).extract(path)
    assert clip.has_crop.all() and 14 < clip.boxes[0, 2] - clip.boxes[0, 0] < 30


def test_a_frame_that_does_not_decode_is_masked(face_video, detector, monkeypatch):
    def with_holes(info, indices, threads):
        for i, frame in enumerate(extract_read(info, indices, threads)):
            yield None if i in (0, 7) else frame

    extract_read = confined.read_frames
    monkeypatch.setattr(confined, "read_frames", with_holes)
    (clip,) = clips_of(face_video, detector)
    assert np.flatnonzero(~clip.has_crop).tolist() == [0, 7]
    assert not clip.boxes[7].any() and clip.boxes[6].any() and clip.boxes[8].any()


def test_a_video_of_which_most_frames_do_not_decode_is_damaged(face_video, detector, monkeypatch):
    monkeypatch.setattr(confined, "read_frames", lambda *_: (None for _ in range(16)))
    with pytest.raises(VideoError, match="16 of 16 frames from 0.28 s on do not decode") as caught:
        clips_of(face_video, detector)
    assert caught.value.reason == "damaged"


def test_a_video_of_ever_other_sizes_is_refused_with_advice(face_video, detector, monkeypatch):
    sizes = [np.zeros((64, 64 + 16 * (t // 4), 3), np.uint8) for t in range(16)]
    monkeypatch.setattr(confined, "read_frames", lambda *_: (image for image in sizes))
    with pytest.raises(VideoError, match="64x64, 80x64, 96x64, 112x64 px.*scale=112:64") as caught:
        clips_of(face_video, detector)
    assert (caught.value.reason, caught.value.stage) == ("damaged", "decode")


def changing(astronaut, changes_at: int, frames: int = 32) -> list[np.ndarray]:
    """A face in a picture of half the size before this frame."""
    half = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    return [half if t < changes_at else astronaut for t in range(frames)]


@pytest.mark.parametrize("changes_at", [4, 8, 12])
def test_a_clip_has_one_size_that_of_most_of_its_frames(
    face_video, detector, monkeypatch, astronaut, changes_at
):
    images = changing(astronaut, changes_at)
    monkeypatch.setattr(confined, "read_frames", lambda *_: (image for image in images))
    (clip,) = clips_of(face_video, detector)
    small = changes_at >= 8
    assert clip.has_crop.tolist() == [(t < changes_at) == small for t in range(16)]


def test_clips_before_and_after_a_change_of_size_are_judged_as_one_face(
    tmp_path, detector, astronaut
):
    path = tmp_path / "call.h264"
    parts = []
    for i, images in enumerate((changing(astronaut, 32), changing(astronaut, 0))):
        part = tmp_path / f"{i}.h264"
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    for faces in ("largest", "all"):
        clips = clips_of(path, detector, clips_per_video=4, faces=faces)
        assert [(clip.index, clip.track) for clip in clips] == [(i, 0) for i in range(4)]
        assert all(clip.has_crop.all() for clip in clips)
        small, large = clips[0].boxes[0], clips[-1].boxes[0]
        np.testing.assert_allclose(2 * small, large, atol=12)


def test_clips_are_the_same_however_many_are_searched_together(face_video, detector, monkeypatch):
    sampling = {"clips_per_video": 3, "frames_per_clip": 8}
    together = clips_of(face_video, detector, **sampling)
    monkeypatch.setattr(extract, "BATCH_BYTES", 1)
    alone = clips_of(face_video, detector, **sampling)
    assert [clip.index for clip in together] == [clip.index for clip in alone] == [0, 1, 2]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        assert a.images == b.images


def test_taking_all_frames_gives_every_one_of_them_once(face_video, detector):
    clips = clips_of(face_video, detector, sampling="all", frames_per_clip=8)
    assert [len(clip.images) for clip in clips] == [8, 8, 8, 6]
    times = np.concatenate([clip.times_s for clip in clips])
    np.testing.assert_allclose(times, np.arange(30) / 25, atol=1e-3)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_that_lies_gives_the_crops_of_one_that_stands(
    tmp_path, write_video, detector, astronaut, quarters
):
    upright = np.full((256, 400, 3), 90, np.uint8)
    upright[:, 40:296] = astronaut
    lying = np.ascontiguousarray(np.rot90(upright, -quarters))
    (stands,), (lies,) = (
        clips_of(write_video(tmp_path / f"{i}.mp4", np.stack([frame] * 16), crf="4"), detector)
        for i, frame in enumerate((upright, lying))
    )
    assert stands.notes == ()
    assert lies.notes == (
        f"A face lies in the picture, which was turned by {90 * quarters} degrees against the "
        "clock to find it.",
    )
    for a, b in zip(stands.images, lies.images, strict=True):
        a, b = (cv2.imdecode(np.frombuffer(x, np.uint8), cv2.IMREAD_GRAYSCALE) for x in (a, b))
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
    # Boxes, landmarks and transforms are of the picture as it is shown.
    found = Face(lies.boxes[0], lies.landmarks[0], 1.0)
    turned = found.turned_back(4 - quarters, upright.shape[1::-1])
    np.testing.assert_allclose(turned.landmarks, stands.landmarks[0], atol=1.5)
    np.testing.assert_allclose(turned.box, stands.boxes[0], atol=8)
    mapped = lies.landmarks[0] @ lies.transforms[0, :, :2].T + lies.transforms[0, :, 2]
    assert np.abs(mapped - ((TEMPLATE - 0.5) / 1.3 + 0.5) * 64).max() < 4


@given(quarters=st.integers(0, 3), width=st.integers(1, 9), height=st.integers(1, 9))
def test_a_point_of_a_turned_picture_goes_back_to_its_pixel(quarters, width, height):
    numbers = np.arange(width * height).reshape(height, width)
    turned = np.rot90(numbers, quarters)
    for y, x in np.ndindex(turned.shape):
        points = np.full((5, 2), [x, y], np.float32)
        face = Face(np.array([x, y, x, y], np.float32), points, 1.0)
        back = face.turned_back(quarters, (width, height))
        column, row = back.landmarks[0].astype(int)
        assert numbers[row, column] == turned[y, x]
        assert back.box.tolist() == [column, row, column, row]


class Counting:
    """A detector that counts the frames that are searched for any face."""

    def __init__(self, detector):
        self._detector, self.searched = detector, 0

    def detect(self, frames):
        self.searched += len(frames)
        return self._detector.detect(frames)

    def refine(self, *args):
        return self._detector.refine(*args)


def test_only_what_shows_no_upright_face_is_searched_again(
    tmp_path, face_video, write_video, detector
):
    counting = Counting(detector)
    clips_of(face_video, counting)
    assert counting.searched == 2  # the first and the last frame of its clip
    noise = np.random.default_rng(0).integers(0, 255, (16, 96, 128, 3), np.uint8)
    counting.searched = 0
    with pytest.raises(VideoError, match="no face"):
        clips_of(write_video(tmp_path / "noise.mp4", noise), counting)
    assert counting.searched == 4 * 2


def test_every_clip_of_real_people_gives_its_face(real_clips, extractor):
    for path in real_clips:
        clips = extractor.extract(str(path))
        assert len(clips) == 2 and all(clip.has_crop.mean() > 0.9 for clip in clips), path.name

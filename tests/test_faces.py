"""Faces: found where they are, followed, turned upright, and cut out without a jump."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces.align import TEMPLATE, crop, similarity
from pipelines.faces.detect import Face, MtcnnDetector, iou
from pipelines.faces.track import fill_gaps, link, smooth_landmarks


def face_at(x: float, y: float = 0.0, side: float = 100.0, score: float = 0.99) -> Face:
    corner = np.array([x, y], np.float32)
    return Face(
        np.concatenate([corner, corner + side]),
        (corner + side * TEMPLATE).astype(np.float32),
        score,
    )


@pytest.fixture(scope="module")
def detector():
    return MtcnnDetector()


def test_the_face_of_a_portrait_is_found_where_it_is(detector, astronaut):
    (faces,) = detector.detect(astronaut[None])
    assert len(faces) == 1 and faces[0].score > 0.95
    x1, y1, x2, y2 = faces[0].box
    assert 80 < x1 < 95 and 165 < x2 < 175 and 55 < y1 < 72 and 160 < y2 < 178
    eyes, mouth = faces[0].landmarks[:2], faces[0].landmarks[3:]
    assert eyes[0, 0] < eyes[1, 0] and mouth[:, 1].min() > eyes[:, 1].max()


def test_a_frame_without_a_face_gives_none_and_does_not_shift_its_neighbours(detector, astronaut):
    blank = np.full_like(astronaut, 90)
    faces = detector.detect(np.stack([blank, astronaut, blank, astronaut]))
    assert [len(f) for f in faces] == [0, 1, 0, 1]


def test_a_batch_finds_the_same_faces_as_one_frame_at_a_time(detector, astronaut):
    frames = np.stack([np.roll(astronaut, 7 * i, axis=1) for i in range(4)])
    together = detector.detect(frames)
    alone = [detector.detect(frame[None])[0] for frame in frames]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a[0].box, b[0].box, atol=0.1)


def test_detection_agrees_with_the_mtcnn_package(detector, astronaut):
    from mtcnn import MTCNN

    (theirs,) = MTCNN().detect_faces(astronaut)
    x, y, width, height = theirs["box"]
    ours = detector.detect(astronaut[None])[0][0]
    assert iou(ours.box, np.array([[x, y, x + width, y + height]]))[0] > 0.85
    eye = np.array(theirs["keypoints"]["left_eye"])
    assert np.linalg.norm(ours.landmarks[0] - eye) < 3


def test_frames_of_another_type_are_refused(detector):
    with pytest.raises(ValueError, match="expected uint8"):
        detector.detect(np.zeros((1, 64, 64, 3), np.float32))


def test_two_faces_that_stay_apart_are_two_tracks():
    tracks = link([[face_at(10 * t), face_at(500 - 10 * t, side=60)] for t in range(8)])
    assert len(tracks) == 2
    assert all(track.seen.all() for track in tracks)
    assert tracks[0].size > tracks[1].size


def test_a_short_gap_is_filled_and_a_long_one_stays_empty():
    faces = [[face_at(t)] if t not in (2, 3, 6, 7, 8, 9, 10) else [] for t in range(12)]
    first = fill_gaps(link(faces)[0])
    assert first.seen.tolist()[:6] == [True] * 6
    assert first.faces[2].box[0] == pytest.approx(2.0)
    assert not first.seen[6:11].any()


def test_smoothing_removes_jitter_and_keeps_steady_motion():
    rng = np.random.default_rng(0)
    clean = np.array([face_at(3.0 * t).landmarks for t in range(16)])
    noisy = clean + rng.normal(0, 1, clean.shape).astype(np.float32)
    (track,) = link([[Face(face_at(3.0 * t).box, noisy[t], 0.99)] for t in range(16)])
    smooth = smooth_landmarks(track)
    inner = slice(2, -2)
    assert np.abs((smooth - clean)[inner]).mean() < 0.65 * np.abs((noisy - clean)[inner]).mean()
    (steady,) = link([[face_at(3.0 * t)] for t in range(16)])
    np.testing.assert_allclose(smooth_landmarks(steady), clean, atol=1e-3)


@given(
    angle=st.floats(-0.6, 0.6),
    scale=st.floats(20, 400),
    x=st.floats(-100, 900),
    y=st.floats(-100, 900),
    margin=st.floats(0, 1),
)
def test_alignment_undoes_any_turn_size_and_place(angle, scale, x, y, margin):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = scale * TEMPLATE @ turn.T + [x, y]
    matrix = similarity(landmarks, 112, margin)
    expected = ((TEMPLATE - 0.5) / (1 + margin) + 0.5) * 112
    np.testing.assert_allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], expected, atol=0.05)


def test_a_face_at_the_border_has_no_black_wedge():
    frame = np.full((200, 200, 3), 150, np.uint8)
    matrix = similarity(120 * TEMPLATE - 40, 64, 0.3)
    assert crop(frame, matrix, 64).min() == 150


def test_a_much_larger_face_is_reduced_without_aliasing():
    stripes = np.tile(np.array([0, 255], np.uint8), 500)[None, :, None].repeat(1000, 0).repeat(3, 2)
    image = crop(stripes, similarity(800 * TEMPLATE + 100, 64, 0.0), 64)
    assert image.std() < 12


def test_extracting_gives_upright_crops_with_times(extractor, face_video, small_config):
    clips = extractor.extract(str(face_video))
    assert [clip.index for clip in clips] == list(range(small_config.clips_per_video))
    for clip in clips:
        assert clip.found.all() and len(clip.images) == small_config.frames_per_clip
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
    from pipelines.faces.extract import FaceExtractor

    config = PreprocessConfig(frames_per_clip=2, crop_size=48, image_format="png")
    clip = FaceExtractor(config).extract(str(face_video))[0]
    assert clip.images[0].startswith(b"\x89PNG")


def test_every_clip_of_real_people_gives_its_face(real_clips, extractor):
    for path in real_clips:
        clips = extractor.extract(str(path))
        assert len(clips) == 2 and all(clip.found.mean() > 0.9 for clip in clips), path.name

"""Faces: found where they are, followed, turned upright, and cut out without a jump."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.faces.align import TEMPLATE, crop, similarity
from pipelines.faces.boxes import iou
from pipelines.faces.detect import Face, MtcnnDetector, suppress
from pipelines.faces.follow import detect_through
from pipelines.faces.track import fill_gaps, link, smooth_landmarks
from pipelines.tensorflow_settings import compute_reproducibly
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe
from pipelines.video.sampling import sample_clips
from tests.fixtures import ROOT


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


def faces_of_some_frames(threads: int) -> str:
    """To the last bit, as JSON."""
    detector, face = MtcnnDetector(threads=threads), skimage.data.astronaut()[:256, 96:352]
    found = [detector.detect([np.roll(face, 9 * i, axis=1)])[0] for i in range(5)]
    return json.dumps([[(f.box.tolist(), f.landmarks.tolist(), f.score) for f in x] for x in found])


# Only a process in which TensorFlow has not begun can be one of a machine with many cores.
ON_EIGHT_CORES = """
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(8)  # the default on such a machine
from pipelines.tensorflow_settings import compute_reproducibly
compute_reproducibly()
from tests.pipelines.faces.test_faces import faces_of_some_frames
print(faces_of_some_frames(8))
"""


def test_faces_are_the_same_to_the_last_bit_for_any_number_of_cores():
    """Here an operation has one thread, as on one core: see conftest.py."""
    command = [sys.executable, "-c", ON_EIGHT_CORES]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    here = faces_of_some_frames(1)
    assert said.strip() == here and [len(faces) for faces in json.loads(here)] == [1] * 5


def test_a_process_that_computes_already_is_told_that_last_bits_may_differ(caplog):
    tf.zeros(1) + 1
    compute_reproducibly()
    assert "crops may differ in their last bits" in caplog.text


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


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 64, 64), np.uint8),
        [np.zeros((64, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)],
    ],
    ids=["type", "grey", "sizes"],
)
def test_frames_of_another_kind_are_refused(detector, frames):
    with pytest.raises(ValueError, match="expected uint8"):
        detector.detect(frames)


def test_refining_finds_the_landmarks_from_a_box_that_is_off_and_doubts_one_on_nothing(
    detector, astronaut
):
    (faces,) = detector.detect(astronaut[None])
    shifted = faces[0].box + np.array([6, -5, 8, 4], np.float32)
    elsewhere = np.array([0, 180, 60, 250], np.float32)
    again, nothing = detector.refine(
        astronaut[None], np.array([0, 0]), np.stack([shifted, elsewhere])
    )
    assert again.score > 0.9 and nothing.score < 0.8
    eyes_px = np.linalg.norm(faces[0].landmarks[1] - faces[0].landmarks[0])
    assert np.abs(again.landmarks - faces[0].landmarks).mean() < 0.04 * eyes_px
    assert detector.refine(astronaut[None], np.empty(0, int), np.empty((0, 4))) == []


def test_a_face_keeps_its_place_at_a_smaller_size(detector, astronaut):
    small = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    large_face, small_face = (detector.detect(i[None])[0][0] for i in (astronaut, small))
    # Pixel centres lie at halves.
    expected = (large_face.landmarks + 0.5) / 2 - 0.5
    assert np.abs((small_face.landmarks - expected).mean(0)).max() < 0.4


@given(
    boxes=st.lists(
        st.tuples(*[st.integers(0, 90)] * 2, *[st.integers(5, 40)] * 2), min_size=1, max_size=30
    ),
    seed=st.integers(0, 99),
)
def test_suppression_keeps_the_best_of_overlapping_boxes_of_a_frame(boxes, seed):
    rng = np.random.default_rng(seed)
    array = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float64)
    scores = rng.permutation(len(array)) / len(array) + 0.01
    owners = rng.integers(0, 2, len(array))
    keep = suppress(array, scores, owners, 0.5)
    assert (np.diff(scores[keep]) < 0).all()
    for i in range(len(array)):
        near = [k for k in keep if owners[k] == owners[i] and scores[k] >= scores[i]]
        overlaps = iou(array[i], array[near]) if near else np.zeros(1)
        # Kept, or under a better one that was kept.
        assert i in keep or overlaps.max() > 0.5 - 1e-6


class MovingFace:
    """A detector that knows where the faces are, and counts the frames it is made to search."""

    def __init__(self, faces_at):
        self.faces_at, self.searched = faces_at, 0

    def detect(self, frames):
        self.searched += len(frames)
        return [self.faces_at(frame[0, 0, 0]) for frame in frames]

    def refine(self, frames, owners, boxes):
        found = []
        for owner, box in zip(owners, boxes, strict=True):
            there = self.faces_at(frames[owner][0, 0, 0])
            near = [f for f in there if iou(box, f.box[None])[0] > 0.3]
            found.append(near[0] if near else Face(box, np.zeros((5, 2), np.float32), 0.1))
        return found


def numbered(frames: int) -> list[np.ndarray]:
    return [np.full((4, 4, 3), t, np.uint8) for t in range(frames)]


def test_a_face_that_moves_is_followed_with_two_searches_a_clip():
    detector = MovingFace(lambda t: [face_at(3.0 * t, 1.0 * t)])
    first, second = detect_through(detector, [numbered(16), numbered(16)])
    assert detector.searched == 4
    for found in (first, second):
        assert [faces[0].box[0] for faces in found] == [3.0 * t for t in range(16)]


@pytest.mark.parametrize("change", range(1, 15))
def test_a_cut_to_somebody_else_is_noticed_at_the_right_frame(change):
    detector = MovingFace(lambda t: [face_at(0.0 if t < change else 700.0)])
    (found,) = detect_through(detector, [numbered(16)])
    assert [f[0].box[0] for f in found] == [0.0] * change + [700.0] * (16 - change)
    assert all(len(faces) == 1 for faces in found)
    assert detector.searched < 16


def test_faces_that_come_and_go_are_found_while_they_are_there():
    detector = MovingFace(lambda t: [face_at(0.0)] + ([face_at(500.0)] if 5 <= t else []))
    (found,) = detect_through(detector, [numbered(16)])
    assert [len(faces) for faces in found] == [1] * 5 + [2] * 11


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_clips_of_any_length_are_followed(frames):
    (found,) = detect_through(MovingFace(lambda t: [face_at(float(t))]), [numbered(frames)])
    assert [faces[0].box[0] for faces in found] == list(range(frames))


def test_two_tracks_that_turn_out_to_be_one_face_are_merged():
    class Drawn(MovingFace):
        def refine(self, frames, owners, boxes):
            return [face_at(0.0, score=0.9 + 0.01 * i) for i, _ in enumerate(boxes)]

    detector = Drawn(lambda t: [face_at(0.0), face_at(60.0)])
    (found,) = detect_through(detector, [numbered(5)])
    assert [len(faces) for faces in found[1:4]] == [1, 1, 1]


def test_following_finds_what_searching_every_frame_finds(real_clips, detector):
    for path in real_clips:
        info = probe(str(path))
        (indices,) = sample_clips(info.times_s, 1, 16, 2)
        frames = list(read_frames(info, indices.tolist()))
        (followed,) = detect_through(detector, [frames])
        for mine, every in zip(followed, detector.detect(frames), strict=True):
            for face in every:
                overlap = iou(face.box, np.array([f.box for f in mine]).reshape(-1, 4))
                unsure = face.score < 0.97 or face.box[2] - face.box[0] < 40
                assert unsure or overlap.max(initial=0) > 0.6, path.name


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


@pytest.mark.parametrize("noise", [2, 5, 10])
def test_a_still_face_under_noise_gives_crops_that_hardly_move(detector, astronaut, noise):
    rng = np.random.default_rng(noise)
    frames = [
        np.clip(astronaut + rng.normal(0, noise, astronaut.shape), 0, 255).astype(np.uint8)
        for _ in range(16)
    ]
    (track,) = link(detect_through(detector, [frames])[0])
    raw = np.array([face.landmarks for face in track.faces])
    still = raw.mean(0)

    def largest_step(landmarks):
        moves = np.array([similarity(points, 224, 0.3) for points in landmarks])
        places = np.einsum("tij,kj->tki", moves[:, :, :2], still) + moves[:, None, :, 2]
        return np.linalg.norm(np.diff(places, axis=0), axis=-1).max()

    assert largest_step(smooth_landmarks(track)) < 0.5
    assert largest_step(raw) > 0.5  # so that it is the smoothing that is tested


def test_smoothing_removes_jitter_and_keeps_steady_motion():
    rng = np.random.default_rng(0)
    clean = np.array([face_at(3.0 * t).landmarks for t in range(16)])
    noisy = clean + rng.normal(0, 1, clean.shape).astype(np.float32)
    (track,) = link([[Face(face_at(3.0 * t).box, noisy[t], 0.99)] for t in range(16)])
    smooth = smooth_landmarks(track)
    assert np.abs(smooth - clean).mean() < 0.65 * np.abs(noisy - clean).mean()
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

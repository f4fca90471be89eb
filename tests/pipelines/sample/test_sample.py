"""The generated set: people who differ, and fakes that only the face gives away."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dfdetect.__main__ import main
from pipelines.faces.align import crop, similarity
from pipelines.faces.detect import MtcnnDetector
from pipelines.sample import generate
from pipelines.sample.identities import _mirror, make_identity
from pipelines.sample.portraits import CENTRE, POINTS
from pipelines.sample.warp import Bump, displacement, move, warp
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe

PEOPLE = 6
FRAMES = 16  # as the fixture has it


@pytest.fixture(scope="module")
def people(sample) -> list[np.ndarray]:
    """Every frame of every real video, by person."""
    return [read_all(path) for path in sorted(sample.glob("original_sequences/**/*.mp4"))]


@pytest.fixture(scope="module")
def detector():
    return MtcnnDetector(min_face=40)


def read_all(path: Path) -> np.ndarray:
    info = probe(str(path))
    return np.stack(list(read_frames(info, range(info.frames))))


def fakes_of(sample: Path, person: int) -> list[Path]:
    return sorted(sample.glob(f"manipulated_sequences/*/c23/videos/{person:03d}_*.mp4"))


def test_the_layout_is_that_of_faceforensics(sample):
    names = {p.relative_to(sample).as_posix() for p in sample.rglob("*.mp4")}
    assert len(names) == 3 * PEOPLE
    assert "original_sequences/youtube/c23/videos/000.mp4" in names
    assert "manipulated_sequences/FaceSwap/c23/videos/000_001.mp4" in names
    assert "manipulated_sequences/SelfBlend/c23/videos/001_001.mp4" in names
    pairs = [
        pair
        for split in ("train", "val", "test")
        for pair in json.loads((sample / "splits" / f"{split}.json").read_text())
    ]
    assert sorted(i for pair in pairs for i in pair) == [f"{i:03d}" for i in range(PEOPLE)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_people(sample, tmp_path):
    def digests(folder):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.mp4")}

    again = generate.generate(tmp_path / "again", identities=PEOPLE, seed=1, frames=FRAMES)
    other = generate.generate(tmp_path / "other", identities=PEOPLE, seed=2, frames=FRAMES)
    assert digests(again) == digests(sample)
    assert not set(digests(other).values()) & set(digests(sample).values())


def test_every_face_is_found_in_real_and_fake(sample, detector):
    for path in sample.rglob("*.mp4"):
        assert all(len(faces) >= 1 for faces in detector.detect(read_all(path)[::3])), path


def test_two_people_differ_more_than_one_person_over_time(people, detector):
    def face(frame):
        found = detector.detect(frame[None])[0][0]
        return crop(frame, similarity(found.landmarks, 64, 0.0), 64).astype(float)

    faces = [(face(frames[0]), face(frames[-1])) for frames in people]
    within = [np.abs(a - b).mean() for a, b in faces]
    between = [np.abs(faces[i][0] - faces[j][0]).mean() for i in range(PEOPLE) for j in range(i)]
    assert min(between) > 1.5 * np.median(within)


def test_people_differ_in_the_proportions_of_their_faces():
    bases = list(generate._portraits(None).values())
    shapes = []
    for i in range(PEOPLE):
        points = make_identity(bases, i, seed=1).points[:5]
        matrix = similarity(points, 100, 0.0)  # size, place and turn of the head taken out
        shapes.append(points @ matrix[:, :2].T + matrix[:, 2])
    for i in range(PEOPLE):
        for j in range(i):
            assert np.abs(shapes[i] - shapes[j]).max() > 0.5, (i, j)


def test_size_length_rate_and_codec_do_not_tell_the_label(sample):
    facts = {
        (i.codec, i.width, i.height, i.fps, i.frames)
        for i in (probe(str(p)) for p in sample.rglob("*.mp4"))
    }
    assert facts == {("h264", 256, 256, 25.0, FRAMES)}


def test_file_size_does_not_tell_the_label(sample):
    labels, sizes = [], []
    for path in sample.rglob("*.mp4"):
        labels.append("manipulated" in path.as_posix())
        sizes.append(path.stat().st_size)
    assert 0.35 < roc_auc_score(labels, sizes) < 0.65


def test_a_fake_is_about_as_large_as_its_own_real_video(sample):
    for person in range(PEOPLE):
        (real,) = sample.glob(f"original_sequences/**/{person:03d}.mp4")
        for fake in fakes_of(sample, person):
            assert fake.stat().st_size / real.stat().st_size == pytest.approx(1, abs=0.12), fake


def test_mirroring_keeps_every_point_on_its_side_of_the_picture():
    _, mirrored = _mirror(np.zeros((256, 256, 3), np.uint8), POINTS)
    assert np.abs(mirrored - POINTS).max() < 4


def test_overwriting_replaces_the_whole_folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old.mp4").touch()
    argv = [str(tmp_path / "set"), "--identities", "6", "--frames", "1", "--overwrite"]
    assert main(["sample-data", *argv]) == 0
    assert not (tmp_path / "set" / "old.mp4").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_background_is_the_same_and_the_face_is_not(sample, people):
    y, x = np.mgrid[:256, :256]
    head = np.hypot((x - CENTRE[0]) / 90, (y - CENTRE[1]) / 100)
    for person, real in enumerate(people):
        for path in fakes_of(sample, person):
            change = np.abs(read_all(path).astype(int) - real).mean((0, 3))
            # Compression spreads a change a little; the face itself changes far more.
            assert change[head > 1].mean() < 2.0, path
            assert change[head < 0.4].mean() > 2 * change[head > 1].mean(), path


def test_points_move_with_the_picture():
    image = np.zeros((256, 256, 3), np.uint8)
    image[118:123, 98:103] = 255
    bumps = [Bump((110, 120), (60, 50), (6, -4), ((0.1, -0.05), (0.05, 0.1)))]
    (moved,) = move(bumps, np.array([[100.0, 120.0]]))
    y, x = np.nonzero(warp(image, bumps)[..., 0] > 128)
    assert [x.mean(), y.mean()] == pytest.approx(moved, abs=0.5)
    assert np.abs(displacement(bumps, np.array([[250.0, 10.0]]))).max() < 0.01


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--identities", "7"], "an even number from 6"),
        (["--identities", "4"], "an even number from 6"),
        (["--portraits", "/nowhere"], "no such folder"),
        (["--people", "8"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_exits_2(argv, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sample-data", str(tmp_path / "out"), *argv])
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_an_existing_folder_is_kept_unless_overwriting_is_asked_for(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit):
        main(["sample-data", str(tmp_path)])
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()


def test_a_portrait_without_a_face_is_named_and_nothing_is_left_behind(tmp_path, capsys):
    import cv2

    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    argv = [str(tmp_path / "out"), "--portraits", str(tmp_path / "photos")]
    assert main(["sample-data", *argv]) == 1
    error = capsys.readouterr().err
    assert "wall.png" in error and "no face found" in error
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_an_empty_folder_of_portraits_says_what_is_expected(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    argv = [str(tmp_path / "out"), "--portraits", str(tmp_path / "photos")]
    assert main(["sample-data", *argv]) == 1
    assert "no photos there" in capsys.readouterr().err

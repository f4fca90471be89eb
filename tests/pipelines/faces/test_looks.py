"""Looks: any moments of a video, each as if it alone were asked for; and shots within them."""

import dataclasses

import cv2
import numpy as np
import pytest

from pipelines.clip import Look, VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces.detect import MtcnnDetector
from pipelines.faces.extract import FaceExtractor
from pipelines.sample.portraits import align, builtin
from pipelines.video import confined
from pipelines.video.sampling import sample_clips

CONFIG = PreprocessConfig(
    clips_per_video=1, frames_per_clip=16, frame_stride=1, crop_size=64, min_face=40, faces="all"
)
STREET = (40, 150, 70)  # what the picture is where nobody is in it


@pytest.fixture(scope="module")
def detector():
    return MtcnnDetector(CONFIG.min_face)


@pytest.fixture(scope="module")
def people(detector) -> tuple[np.ndarray, np.ndarray]:
    """Two portraits (256, 256, 3) whose faces lie in the same place."""
    ann, ben = align(builtin(), detector)
    return ann, ben


@pytest.fixture
def look_at(tmp_path, write_video, detector):
    """Looks at the first 16 of these pictures as one moment."""

    def look_at(pictures, **changes) -> Look:
        path = write_video(tmp_path / "video.mp4", np.stack(pictures), crf="0")
        video = FaceExtractor(dataclasses.replace(CONFIG, **changes), detector).open(str(path))
        (look,) = video.looks({0: np.arange(16)})
        return look

    return look_at


def frames_of(clip) -> list[int]:
    return clip.has_crop.nonzero()[0].tolist()


def crops_of(look: Look) -> list[list[bytes]]:
    return [clip.images for clip in look.clips]


@pytest.fixture(scope="module")
def passing(tmp_path_factory, write_video, people):
    """6 s of two people who move, and for a while are not there."""
    wide = np.full((256, 640, 3), STREET, np.uint8)
    frames = []
    for t in range(150):
        frame = wide.copy()
        for person, x in ((people[0], t), (people[1], 380 - t // 2)):
            if not 60 <= t < 90:
                frame[:, x : x + 240] = person[:, 8:248]
        frames.append(frame)
    return write_video(
        tmp_path_factory.mktemp("passing") / "passing.mp4", np.stack(frames), crf="20"
    )


def all_moments(video) -> dict[int, np.ndarray]:
    return dict(enumerate(sample_clips(video.frame_times.times_s, 1, 8, 2, "all")))


@pytest.fixture(scope="module")
def every(passing) -> dict[int, Look]:
    video = FaceExtractor(CONFIG, threads=2).open(str(passing))
    return {look.moment: look for look in video.looks(all_moments(video))}


@pytest.mark.parametrize(
    ("asked_for", "threads"), [([0], 1), ([8], 3), ([2, 3], 3), ([1, 2, 5, 7], 1)], ids=str
)
def test_a_moment_looks_the_same_whichever_others_are_asked_for(passing, every, asked_for, threads):
    video = FaceExtractor(CONFIG, threads=threads).open(str(passing))
    samples = {moment: all_moments(video)[moment] for moment in asked_for}
    looks = list(video.looks(samples))
    assert [look.moment for look in looks] == asked_for
    for look in looks:
        other = every[look.moment]
        assert crops_of(look) == crops_of(other) and look.thumbnail == other.thumbnail
        sightings = [[clip.sighting.to_dict() for clip in x.clips] for x in (look, other)]
        assert sightings[0] == sightings[1]


def test_every_moment_comes_in_order_also_one_without_a_face(passing, detector):
    video = FaceExtractor(CONFIG, detector).open(str(passing))
    looks = list(video.looks(dict(reversed(all_moments(video).items()))))
    assert [look.moment for look in looks] == list(range(10))
    assert [len(look.clips) for look in looks] == [2, 2, 2, 2, 0, 0, 2, 2, 2, 2]
    for look in looks:
        assert [(clip.index, clip.track) for clip in look.clips] == [
            (look.moment, i) for i in range(len(look.clips))
        ]
        assert look.frames == len(all_moments(video)[look.moment]) and not look.damaged


def test_the_thumbnail_is_the_whole_picture_160_px_wide(passing, detector):
    video = FaceExtractor(CONFIG, detector).open(str(passing))
    (look,) = video.looks({3: all_moments(video)[3]})
    image = cv2.imdecode(np.frombuffer(look.thumbnail, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (64, 160, 3) and len(look.thumbnail) < 10_000


def test_a_video_can_be_looked_at_again(passing, detector):
    video = FaceExtractor(CONFIG, detector).open(str(passing))
    samples = all_moments(video)
    first, again = (list(video.looks({2: samples[2], 9: samples[9]})) for _ in range(2))
    assert [crops_of(look) for look in first] == [crops_of(look) for look in again]


def test_a_moment_that_does_not_decode_is_damaged_and_the_others_are_seen(
    passing, detector, monkeypatch
):
    def with_holes(info, indices, threads):
        for i, frame in zip(indices, read_frames(info, indices, threads), strict=True):
            yield None if 16 <= i < 28 else frame

    read_frames = confined.read_frames
    monkeypatch.setattr(confined, "read_frames", with_holes)
    video = FaceExtractor(CONFIG, detector).open(str(passing))
    before, damaged, after = video.looks(
        {moment: all_moments(video)[moment] for moment in (0, 1, 2)}
    )
    assert before.clips and after.clips and not before.damaged and not after.damaged
    assert (damaged.clips, damaged.frames, damaged.thumbnail) == ((), 0, b"")
    assert damaged.damaged == "6 of 8 frames from 0.64 s on do not decode; get the file again."


def test_looking_takes_no_longer_than_it_may(passing, detector):
    extractor = FaceExtractor(CONFIG, detector)
    video = extractor.open(str(passing))
    extractor._time_limit_s = 1e-9
    with pytest.raises(VideoError, match="passing.mp4: decoding took longer") as caught:
        list(video.looks(all_moments(video)))
    assert caught.value.reason == "timeout"


def test_a_cut_between_two_people_at_the_same_place_makes_two_tracks(look_at, people):
    ann, ben = people
    look = look_at([ann] * 10 + [ben] * 6)
    assert [frames_of(clip) for clip in look.clips] == [list(range(10)), list(range(10, 16))]
    # As if each shot were all that is there: nothing is averaged or filled across the cut.
    (alone,) = look_at([ann] * 10 + [np.full_like(ann, STREET)] * 6).clips
    np.testing.assert_array_equal(look.clips[0].landmarks, alone.landmarks)
    assert look.clips[0].images == alone.images


def test_a_face_is_one_track_before_and_after_a_cut_away(look_at, people):
    ann, ben = people
    look = look_at([ann] * 6 + [ben] * 4 + [ann] * 6)
    away = list(range(6, 10))
    assert [frames_of(clip) for clip in look.clips] == [[*range(6), *range(10, 16)], away]


def test_a_face_that_fills_one_shot_counts_however_short_that_is_in_the_moment(look_at, people):
    nobody = np.full_like(people[0], STREET)
    for frames in (12, 4):
        (clip,) = look_at([nobody] * (16 - frames) + [people[0]] * frames).clips
        assert frames_of(clip) == list(range(16 - frames, 16))


def test_a_face_in_fewer_than_four_frames_of_a_moment_with_a_cut_does_not_count(look_at, people):
    assert not look_at([np.full_like(people[0], STREET)] * 13 + [people[0]] * 3).clips


def test_a_face_in_too_small_a_share_of_its_shot_does_not_count(look_at, people):
    nobody = np.full_like(people[0], STREET)
    hidden = people[0].copy()
    hidden[70:200, 75:181] = hidden[70:200, 75:181].mean(axis=(0, 1))
    shot = [people[0]] * 4 + [hidden] * 6
    assert not look_at([nobody] * 6 + shot).clips
    (clip,) = look_at([nobody] * 6 + shot, min_face_share=0.4).clips
    assert frames_of(clip)[:4] == [6, 7, 8, 9]


def test_the_largest_face_of_a_moment_is_the_one_that_lasts(look_at, people):
    ann, ben = people
    (largest,) = look_at([ann] * 5 + [ben] * 11, faces="largest").clips
    assert frames_of(largest) == list(range(5, 16))


def test_clips_of_a_video_are_numbered_over_all_of_it(tmp_path, write_video, detector, people):
    ann, ben = people
    path = write_video(tmp_path / "cut.mp4", np.stack([ann] * 26 + [ben] * 38), crf="8")
    config = dataclasses.replace(CONFIG, sampling="all")
    clips = FaceExtractor(config, detector).extract(str(path))
    assert [(clip.index, clip.track) for clip in clips] == [(0, 0), (1, 0), (1, 1), (2, 1), (3, 1)]

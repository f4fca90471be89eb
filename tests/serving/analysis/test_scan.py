"""The whole video is looked at: films made of pieces, with what is to be found in each."""

import dataclasses
import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipelines.clip import VideoError
from pipelines.coverage import ScanSettings
from pipelines.faces.extract import FaceExtractor
from serving.analysis.panel import Voice
from serving.analysis.scan import ScoredMoment, result, scan
from serving.analysis.video_result import VideoResult
from serving.predict.predict import predict_video
from tests.fixtures.films import Watched, film, swapped


@pytest.fixture(scope="session")
def other(sample) -> np.ndarray:
    """Another person, before another background."""
    with av.open(str(sorted(sample.rglob("youtube/c23/videos/*.mp4"))[0])) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA)


@pytest.fixture
def judge(faces, model, tmp_path):
    """Makes a film of pieces and judges it."""

    def judged(*pieces, settings: ScanSettings | None = None, **more) -> VideoResult:
        path = film(tmp_path / "film.mp4", *pieces, **more)
        return predict_video(path, faces, model, settings)

    return judged


def overlap(result: VideoResult, *truth: tuple[float, float]) -> float:
    """Intersection over union of the segments with where the video really is fake."""
    times_s = np.arange(0, result.coverage.duration_s, 0.05)

    def inside(parts):
        return np.any([(a <= times_s) & (times_s < b) for a, b in parts], axis=0)

    said, true = inside(result.segments), inside(truth)
    return (said & true).sum() / (said | true).sum()


def test_a_video_that_is_real_only_where_one_used_to_look_is_fake(judge, head):
    fake = swapped(head)
    pieces = (149.2, fake), (1.6, head), (298.4, fake), (1.6, head), (149.2, fake)
    result = judge(*pieces)
    assert result.verdict == "FAKE"
    assert overlap(result, (0, 149.2), (150.8, 449.2), (450.8, 600)) > 0.9
    assert 48 <= result.coverage.moments <= 64 and result.coverage.largest_gap_s < 30


def test_half_a_minute_of_ten_is_found_with_its_bounds(judge, head):
    result = judge((300, head), (30, swapped(head)), (270, head))
    assert result.verdict == "FAKE" and overlap(result, (300, 330)) >= 0.5
    assert result.coverage.moments == 64 and result.coverage.largest_gap_s < 25


def test_ten_minutes_that_are_real_are_real(judge, head):
    result = judge((600, head))
    assert result.verdict == "REAL" and result.segments == [] and result.reasons == ()
    assert result.coverage.moments == 64 and 0.15 < result.coverage.share < 0.2


def test_five_seconds_of_sixty_are_found(judge, head):
    result = judge((37, head), (5, swapped(head)), (18, head), fps=10)
    assert result.verdict == "FAKE" and overlap(result, (37, 42)) >= 0.5
    assert result.coverage.moments <= 64 and result.coverage.largest_gap_s < 4


def test_of_two_faces_the_one_that_is_swapped_for_a_while_is_fake(judge, head, other):
    both = np.concatenate([head, other], axis=1)
    result = judge((20, both), (15, swapped(both, left=128)), (25, both), fps=10)
    left, right = sorted(result.tracks, key=lambda track: track.verdict == "FAKE")
    assert (left.verdict, right.verdict, len(result.tracks)) == ("REAL", "FAKE", 2)
    assert left.segments == () and overlap(result, (20, 35)) >= 0.5
    assert result.verdict == "FAKE" and result.decides == right.track


def test_a_swapped_shot_does_not_make_who_was_at_its_place_before_fake(judge, head, other):
    result = judge((20.3, head), (20, swapped(other)), fps=10)
    before, after = sorted(result.tracks, key=lambda track: track.start_s)
    assert (before.verdict, after.verdict) == ("REAL", "FAKE")
    assert before.end_s < 20.3 <= after.start_s and overlap(result, (20.3, 40.3)) > 0.9
    assert result.coverage.usable_share > 0.9


@pytest.mark.parametrize("fake", [False, True], ids=["real", "swapped"])
def test_a_face_in_the_last_three_seconds_alone_can_be_fake_and_not_real(judge, head, fake):
    nobody = np.full_like(head, 99)
    result = judge((57, nobody), (3, swapped(head) if fake else head), fps=10)
    assert 1 <= result.coverage.moments_with_face <= 5 and result.coverage.largest_gap_s < 4
    if fake:
        assert result.verdict == "FAKE" and overlap(result, (57, 60)) >= 0.5
    else:
        assert result.verdict == "INCONCLUSIVE" and "REAL needs half" in result.reasons[0]


def test_an_hour_at_a_frame_a_second_is_looked_at_all_over(judge, head):
    result = judge((1000, head), (300, swapped(head)), (2300, head), fps=1)
    assert result.verdict == "FAKE" and overlap(result, (1000, 1300)) >= 0.5
    assert result.coverage.moments == 64 and result.coverage.duration_s == 3600


def test_real_needs_that_nothing_long_was_left_out(judge, head):
    result = judge((900, head), fps=1, settings=ScanSettings(max_clips=20))
    assert result.verdict == "INCONCLUSIVE" and "were not looked at" in result.reasons[0]
    closer = ScanSettings(every=0.5, max_clips=0)
    result = judge((900, head), fps=1, settings=closer)
    assert result.verdict == "REAL" and result.coverage.share == 1 and result.coverage.gaps == ()


def test_frames_that_are_shown_for_various_times_are_looked_at_by_time(judge, head):
    pieces = (20, head), (20, head), (8, swapped(head)), (12, head)
    result = judge(*pieces, rates=(25, 4, 12, 4))
    assert result.verdict == "FAKE" and overlap(result, (40, 48)) >= 0.5
    assert result.coverage.duration_s == pytest.approx(60, abs=0.5)
    assert result.coverage.largest_gap_s < 5


def test_a_first_minute_of_black_hides_nothing(judge, head):
    black = np.zeros_like(head)
    result = judge((60, black), (40, head), (10, swapped(head)), (10, head))
    assert result.verdict == "FAKE" and overlap(result, (100, 110)) >= 0.5
    assert 0.4 < result.coverage.usable_share < 0.75 and result.start_s >= 60


def test_the_result_is_the_same_for_any_number_of_threads(head, model, tmp_path):
    pieces = (12, head), (5, swapped(head)), (13, head)
    path = film(tmp_path / "film.mp4", *pieces, fps=10)
    config = model.config().preprocess
    one, two, four = (
        predict_video(path, FaceExtractor(config, threads=threads), model) for threads in (1, 2, 4)
    )
    assert one == two == four and one.verdict == "FAKE"


def scanned(path, faces, model, settings, video, **more):
    # Not by its bytes, which another version of the encoder would make otherwise.
    if "known" in more:
        more["known"] = [more["known"]]
    (seen,) = scan(video, [model], [voice_of(model)], settings, Path(path).name, **more)
    return seen


def voice_of(model) -> Voice:
    return Voice(model.version(), model.config())


def result_of(path, faces, model, settings, video) -> VideoResult:
    return result(path, scanned(path, faces, model, settings, video), voice_of(model), settings)


SETTINGS = ScanSettings(every=1.0, max_clips=32)


def test_known_moments_are_not_looked_at_again_and_change_nothing(films, faces, model):
    path = films["end"]
    first, again = Watched(faces.open(path)), Watched(faces.open(path))
    before = scanned(path, faces, model, SETTINGS, first)
    known = {m.moment: ScoredMoment.from_dict(m.to_dict()) for m in before.moments}
    after = scanned(path, faces, model, SETTINGS, again, known=known)
    assert len(first.passes) > 1 and again.passes == []
    assert after.scores == before.scores and after.coverage == before.coverage
    half = {moment: known[moment] for moment in list(known)[::2]}
    third = Watched(faces.open(path))
    assert scanned(path, faces, model, SETTINGS, third, known=half).scores == before.scores
    assert sorted(itertools.chain(*third.passes)) == sorted(set(known) - set(half))


def test_known_moments_that_are_not_asked_for_do_not_count(films, faces, model):
    path, everything = films["end"], ScanSettings(every=0.5, max_clips=0)
    whole = scanned(path, faces, model, everything, faces.open(path))
    known = {moment.moment: moment for moment in whole.moments}
    video = Watched(faces.open(path))
    taken = scanned(path, faces, model, SETTINGS, video, known=known)
    fresh = scanned(path, faces, model, SETTINGS, faces.open(path))
    assert video.passes == [] and len(known) == 75
    assert taken.scores == fresh.scores and taken.coverage == fresh.coverage


@pytest.mark.parametrize("limit", [0.003, 0.000001])
def test_a_video_that_is_too_much_to_decode_is_an_error_with_figures(films, faces, model, limit):
    settings = dataclasses.replace(SETTINGS, max_gigapixels=limit)
    with pytest.raises(VideoError, match=r"\d+ moments need \d+ frames of 128x128 px") as caught:
        result_of(films["end"], faces, model, settings, faces.open(films["end"]))
    assert caught.value.reason == "too_much_to_decode"
    assert f"{limit:g} are allowed" in caught.value.detail
    assert "--max-gigapixels" in caught.value.detail and films["end"] in caught.value.detail


def test_what_was_seen_before_it_was_too_much_may_be_fake(films, faces, model):
    settings = dataclasses.replace(SETTINGS, max_gigapixels=0.003)
    path = films["start"]
    result = result_of(path, faces, model, settings, faces.open(path))
    assert result.verdict == "FAKE" and result.coverage.largest_gap_s > 20
    assert result.notes[-1].startswith("The rest was not looked at: ")


@pytest.mark.parametrize("film_of", ["start", "end"])
def test_a_first_pass_that_takes_too_long_leaves_what_it_saw_if_that_is_fake(
    films, faces, model, film_of
):
    video = Watched(faces.open(films[film_of]), error_in_pass=1, after=10)
    if film_of == "start":
        result = result_of(films[film_of], faces, model, SETTINGS, video)
        note = "The rest was not looked at: decoding took longer than 9 s."
        assert result.verdict == "FAKE" and result.notes == (note,)
        assert result.coverage.moments == 10
    else:
        with pytest.raises(VideoError, match="decoding took longer than 9 s") as caught:
            result_of(films[film_of], faces, model, SETTINGS, video)
        assert caught.value.reason == "timeout"
    assert len(video.passes) == 1


def test_a_later_pass_that_takes_too_long_leaves_the_result_of_those_before(films, faces, model):
    video = Watched(faces.open(films["real"]), error_in_pass=2)
    result = result_of(films["real"], faces, model, SETTINGS, video)
    assert result.verdict == "REAL" and result.coverage.moments == 24 and len(video.passes) == 2
    assert result.notes == ("It was not looked at more closely: decoding took longer than 9 s.",)


def test_a_file_without_an_index_is_gone_through_twice_at_most(films, faces, model):
    video = Watched(faces.open(films["stream"]))
    assert not video.frame_times.seekable
    result = result_of(films["stream"], faces, model, SETTINGS, video)
    assert len(video.passes) == 2 and result.coverage.moments == 32
    assert result.verdict == "FAKE" and overlap(result, (30, 38)) >= 0.5


class Damaged(Watched):
    """Some moments of the video do not decode."""

    def __init__(self, video, damaged):
        super().__init__(video)
        self._damaged = damaged

    def looks(self, samples):
        for look in super().looks(samples):
            if look.moment in self._damaged:
                yield dataclasses.replace(look, clips=(), frames=0, damaged="4 of 4 do not decode.")
            else:
                yield look


def test_moments_that_do_not_decode_are_gaps_in_the_coverage(films, faces, model):
    whole = ScanSettings(every=0.5, max_clips=0)
    video = Damaged(faces.open(films["real"]), range(10, 15))
    result = result_of(films["real"], faces, model, whole, video)
    assert result.verdict == "REAL" and result.coverage.gaps == ((8.0, 12.0),)
    assert result.coverage.moments == 70 and result.notes[0].startswith("5 of 75 moments do not")


def test_a_video_of_which_nothing_decodes_is_an_error(films, faces, model):
    video = Damaged(faces.open(films["real"]), range(100))
    with pytest.raises(VideoError, match="real.mp4: 4 of 4 do not decode") as caught:
        result_of(films["real"], faces, model, SETTINGS, video)
    assert caught.value.reason == "damaged" and len(video.passes) == 1


def test_progress_counts_the_moments_of_all_passes(films, faces, model):
    told = []
    seen = scanned(
        films["real"], faces, model, SETTINGS, faces.open(films["real"]),
        on_moment=lambda *counts: told.append(counts),
    )  # fmt: skip
    number = len(seen.moments)
    assert [done for done, _ in told] == list(range(1, number + 1)) and 24 < number <= 32
    assert (told[0], told[-1]) == ((1, 24), (number, number))

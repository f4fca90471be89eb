"""A video's report: one rule for every user of the system, and what is shown of the evidence."""

import dataclasses
import json
import re
from itertools import count

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.clip import REAL, Clip, Look, Sighting, Video, VideoError
from pipelines.config import PreprocessConfig
from pipelines.coverage import Coverage, ScanSettings
from pipelines.verdict import MIN_FACE_PX, MIN_FRAMES, Evidence, Thresholds, Verdict, decide
from pipelines.video.moments import Moments
from pipelines.video.probe import FrameTimes, VideoMetadata
from serving.analysis.analyse import Cancelled, analyse, jpeg
from serving.analysis.crops import EXTREMES, FACES, STRIP, CropSelection
from serving.analysis.report_document import MAX_TRACKS, peaks
from serving.analysis.scan import sha256_of
from serving.analysis.video_result import DEMO, DEMO_REASON, ClipScore, judge
from serving.client import (
    InProcessModel,
    InvalidRequest,
    ModelConfig,
    ModelProvenance,
    ModelServerError,
    Prediction,
    ReliabilityBin,
)
from serving.predict.predict import predict_video
from tests.fixtures.report_documents import VERDICT_WORDS
from trainer.evaluation.scored import ScoredClip, score_videos

THRESHOLDS = Thresholds(0.4, 0.6, search_cost=0.0)
CONFIG = PreprocessConfig(frames_per_clip=4, crop_size=48, faces="all")
JPEG = cv2.imencode(".jpg", np.zeros((48, 48, 3), np.uint8))[1].tobytes()


FRAMES = 8  # of a moment, of which every second one is sampled
PICTURE = np.zeros((9, 16, 3), np.uint8)


def clip(index=0, track=0, size=100.0, missing=(), start=None) -> Clip:
    """Four frames of a face `size` px wide, 0.1 s apart; not found in the frames `missing`."""
    found = np.array([t not in missing for t in range(4)])
    left = 200.0 * track
    boxes = np.where(found[:, None], [left, 0.0, left + size, size + 20], 0.0).astype(np.float32)
    start = float(index) if start is None else start
    return Clip(
        index=index,
        track=track,
        fps=10.0,
        images=[JPEG + bytes([index % 256, t]) if f else b"" for t, f in enumerate(found)],
        times_s=(start + np.arange(4) / 10).astype(np.float32),
        boxes=boxes,
        landmarks=np.zeros((4, 5, 2), np.float32),
        confidence=found.astype(np.float32),
        transforms=np.zeros((4, 2, 3), np.float32),
        sighting=Sighting(
            (640, 360), boxes[found][0], boxes[found][-1], np.eye(9)[track], PICTURE, PICTURE
        ),
    )


class Faces:
    """A video of which the clips are known; its moments that have none show no face."""

    config = CONFIG

    def __init__(self, clips, error=None, moments=0):
        self._error = error
        self._clips = {}
        for one in clips:
            self._clips.setdefault(one.index, []).append(one)
        self._moments = (
            max(moments, *self._clips, 0) if moments else max(self._clips, default=0) + 1
        )
        self.passes = []

    def open(self, path):
        return self

    def for_crops(self, config):
        assert config == CONFIG
        return self

    @property
    def metadata(self):
        return VideoMetadata("mov", "h264", 640, 360, 10.0, 1.0, FRAMES * self._moments)

    @property
    def frame_times(self):
        starts = [
            float(self._clips[m][0].times_s[0]) if m in self._clips else float(m)
            for m in range(self._moments)
        ]
        times_s = np.add.outer(starts, np.arange(FRAMES) / 20).ravel()
        return FrameTimes(times_s, np.arange(0, len(times_s), FRAMES))

    def looks(self, samples):
        self.passes.append(list(samples))
        for moment, sampled in sorted(samples.items()):
            assert sampled.tolist() == list(range(FRAMES * moment, FRAMES * (moment + 1), 2))
            yield Look(moment, tuple(self._clips.get(moment, ())), 4, JPEG + bytes([moment % 256]))
        if self._error:
            raise self._error


MODEL = ModelConfig(CONFIG, THRESHOLDS)
DEMO_MODEL = ModelConfig(CONFIG, THRESHOLDS, ModelProvenance(sample_data=True))


class Scores:
    """A model that gives these frame probabilities, by the order of the clips."""

    def __init__(self, *of_clips, config=MODEL):
        self._of_clips, self._config = iter(of_clips), config
        self.asked = 0

    def version(self):
        return "dfdetect/7"

    def config(self):
        return self._config

    def predict(self, clips):
        self.asked += 1
        found = [next(self._of_clips) for _ in clips]
        return [Prediction(float(np.mean(p)), list(p)) for p in found]

    def explain(self, clips):
        """Maps that tell of which crop they are: the last byte of each of `clip`'s images."""
        return [np.array([[[i[-1] if i else 0]] for i in c], np.float32) for c in clips]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "video.mp4"
    file.write_bytes(b"some bytes")
    return str(file)


@pytest.fixture(scope="module")
def model(exported):
    return InProcessModel(exported)


@pytest.fixture(scope="module")
def video(sample):
    return str(sorted(sample.rglob("*.mp4"))[0])


def test_the_report_says_what_predict_says(extractor, model, video):
    result = predict_video(video, extractor, model)
    document = analyse(video, extractor, model).document
    for name in ("verdict", "probability_fake", "frames_sampled", "frames_with_face"):
        assert document[name] == getattr(result, name)
    (track,), (expected,) = document["tracks"], result.tracks
    assert {name: track[name] for name in ("start_s", "end_s", "frames", "verdict")} == {
        name: getattr(expected, name) for name in ("start_s", "end_s", "frames", "verdict")
    }


def test_what_was_done_to_see_the_faces_is_said_once_in_result_and_report(path):
    clips = [dataclasses.replace(clip(i), notes=("Turned.", "Squared.")[:i]) for i in (0, 1, 2)]
    analysis = analyse(path, Faces(clips), Scores(*[[0.9] * 4] * 3))
    assert analysis.result.notes == ("Turned.", "Squared.")
    assert analysis.result.to_dict()["notes"] == ["Turned.", "Squared."]
    assert analysis.document["reasons"][-2:] == ["Turned.", "Squared."]


@pytest.mark.parametrize("faces", ["throughout", "in the first half", "nowhere"])
def test_frames_sampled_are_all_that_were_looked_at(
    extractor, model, tmp_path, write_video, astronaut, faces
):
    still, grey = (np.stack([picture] * 24) for picture in (astronaut, np.full_like(astronaut, 99)))
    halves = {"throughout": (still, still), "in the first half": (still, grey)}
    frames = np.concatenate(halves.get(faces, (grey, grey)))
    path = str(write_video(tmp_path / "video.mp4", frames))
    sampled = sum(map(len, Moments.of(np.arange(48) / 25, extractor.config).samples))
    share = {"throughout": 1, "in the first half": 0.5, "nowhere": 0}[faces]
    found = predict_video(path, extractor, model), analyse(path, extractor, model).result
    for result in found:
        assert (result.frames_sampled, result.frames_with_face) == (sampled, share * sampled)
    assert found[0].verdict == found[1].verdict
    assert (found[0].verdict == "NO_FACE") == (faces == "nowhere")


def test_the_report_of_a_real_file_is_complete_and_json(extractor, model, video):
    analysis = analyse(video, extractor, model, name="holiday.mp4")
    document = json.loads(json.dumps(analysis.document, allow_nan=False))
    assert document["schema"] == "dfdetect-report/1"
    file = document["file"]
    assert file["name"] == "holiday.mp4" and file["sha256"] == sha256_of(video)
    assert (file["codec"], file["width"], file["height"]) == ("h264", 256, 256)
    assert file["duration_s"] == pytest.approx(16 / 25) and file["fps"] == 25
    assert document["model"]["name"] == "dfdetect" and document["model"]["version"] == "1"
    assert document["model"]["fingerprint"] == extractor.config.fingerprint
    assert 0 < document["processing_s"]["model"] < document["processing_s"]["total"]
    assert len(analysis.crops) == len(analysis.heat_maps) == len(document["faces"])
    for crop in analysis.crops:
        pixels = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (48, 48, 3)
    assert document["faces"][document["tracks"][0]["face"]]["kind"] == "best"


def test_a_track_shows_every_sampled_frame_and_null_where_its_face_was_not(path):
    clips = [clip(0, 0), clip(0, 1, missing=(0, 2)), clip(1, 0, start=1.5)]
    scores = Scores([0.1, 0.2, 0.3, 0.4], [0, 0.9, 0, 0.7], [0.2] * 4)
    document = analyse(path, Faces(clips), scores).document
    second, first = document["tracks"]  # the highest-scoring first
    times_s = [0.0, 0.1, 0.2, 0.3, 1.5, 1.6, 1.7, 1.8]
    assert first["times_s"] == second["times_s"] == times_s
    assert first["frame_probability"] == [0.1, 0.2, 0.3, 0.4] + [0.2] * 4
    assert second["frame_probability"] == [None, 0.9, None, 0.7] + [None] * 4
    assert document["frames_sampled"] == document["frames_with_face"] == 8


def test_a_track_tells_where_its_face_is_in_each_frame_in_px_of_the_picture_shown(path):
    clips = [clip(0, 0), clip(0, 1, missing=(0, 2)), clip(1, 0, start=1.5, size=50.4)]
    scores = Scores([0.1] * 4, [0, 0.9, 0, 0.7], [0.2] * 4)
    document = analyse(path, Faces(clips), scores).document
    second, first = json.loads(json.dumps(document["tracks"]))
    assert document["picture"] == {"width": 640, "height": 360}
    assert first["boxes"] == [[0, 0, 100, 120]] * 4 + [[0, 0, 50, 70]] * 4
    assert second["boxes"] == [None, [200, 0, 300, 120], None, [200, 0, 300, 120]] + [None] * 4


def test_the_highest_scoring_face_decides_and_the_report_says_so(path):
    scores = Scores([0.1] * 4, [0.9] * 4)
    document = analyse(path, Faces([clip(0, 0), clip(0, 1, size=64)]), scores).document
    assert document["verdict"] == "FAKE" and document["median_face_px"] == 64
    assert [t["decides"] for t in document["tracks"]] == [True, False]
    assert [t["verdict"] for t in document["tracks"]] == ["FAKE", "REAL"]
    assert "the highest-scoring one decides" in document["reasons"][1]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (clip(size=20), "The face is 20 px wide; a verdict needs 32 px."),
        (clip(missing=(0,)), "Only 3 frames with a usable face; a verdict needs 4."),
    ],
)
def test_a_small_face_or_few_frames_are_inconclusive_and_the_report_says_why(path, one, reason):
    document = analyse(path, Faces([one]), Scores([0.99] * 4)).document
    assert document["verdict"] == "INCONCLUSIVE" and reason in document["reasons"]
    assert document["probability_fake"] > 0.7  # the number is shown all the same


def test_a_score_between_the_thresholds_is_inconclusive_and_the_report_says_why(path):
    document = analyse(path, Faces([clip()]), Scores([0.5] * 4)).document
    assert document["verdict"] == "INCONCLUSIVE"
    assert "between the two thresholds" in document["reasons"][1]


def test_a_demo_model_gives_its_score_the_reason_and_no_verdict(path):
    faces = Faces([clip(0, 0), clip(0, 1, size=20)])
    judged = analyse(path, faces, Scores([0.7] * 4, [0.9] * 4)).document
    document = analyse(path, faces, Scores([0.7] * 4, [0.9] * 4, config=DEMO_MODEL)).document
    assert judged["verdict"] == "FAKE" and judged["tracks"][1]["segments"]
    assert [document["verdict"], *(t["verdict"] for t in document["tracks"])] == [DEMO] * 3
    assert document["probability_fake"] == judged["probability_fake"] == pytest.approx(0.7)
    assert [t["segments"] for t in document["tracks"]] == [[], []]
    assert document["reasons"][0] == DEMO_REASON and "face: 1 of 1" in document["reasons"][1]
    assert document["model"]["sample_data"] and not judged["model"]["sample_data"]
    assert not set(document["limits"]) & set(judged["limits"])
    assert not re.search(VERDICT_WORDS, " ".join(document["reasons"]))


def test_what_a_demo_model_scored_for_generated_videos_is_not_told_of_others(path):
    bins = (ReliabilityBin(0.0, 1.0, 9, 9),)
    for sample, expected in ((True, None), (False, dataclasses.asdict(bins[0]))):
        provenance = ModelProvenance(reliability=bins, sample_data=sample)
        model = Scores([0.9] * 4, config=ModelConfig(CONFIG, THRESHOLDS, provenance))
        assert analyse(path, Faces([clip()]), model).document["reliability"] == expected


def test_a_video_without_a_face_is_not_analysed_by_a_demo_model_either(path):
    document = analyse(path, Faces([]), Scores(config=DEMO_MODEL)).document
    assert document["verdict"] == "NO_FACE" and document["reasons"][0] == DEMO_REASON


def test_what_two_versions_of_the_model_judged_together_is_no_report(path):
    class Rolling(Scores):
        def version(self):
            return f"dfdetect/{7 + self.asked}"

    with pytest.raises(ModelServerError, match="dfdetect/8 took over from dfdetect/7"):
        analyse(path, Faces([clip()]), Rolling([0.9] * 4))


def test_a_speck_that_scores_higher_takes_no_verdict_from_a_face_that_is_fake(path):
    faces = Faces([clip(), clip(track=1, size=20)])
    document = analyse(path, faces, Scores([0.8] * 4, [0.9] * 4)).document
    assert (document["verdict"], document["probability_fake"]) == ("FAKE", pytest.approx(0.8))
    assert [track["decides"] for track in document["tracks"]] == [False, True]
    assert document["reasons"][-1].startswith("A face that scores higher is seen too small")


def test_a_video_without_a_face_is_a_report_without_a_score(path):
    document = analyse(path, Faces([]), Scores()).document
    assert document["verdict"] == "NO_FACE" and document["probability_fake"] is None
    assert document["detail"].startswith("no face of 24 px or more (at 640 px) with score 0.9 in")
    assert path not in document["detail"]  # where the file lay is nobody's business
    assert document["coverage"]["moments"] == 1 and document["coverage"]["moments_with_face"] == 0
    assert document["tracks"] == document["faces"] == document["peaks"] == []


def test_a_video_that_cannot_be_read_is_no_report(path):
    with pytest.raises(VideoError, match="cut"):
        analyse(path, Faces([clip()], VideoError("damaged", "decode", "cut")), Scores([0.5] * 4))


def test_a_cancelled_analysis_asks_the_model_no_more(path):
    clips = [clip(i) for i in range(40)]
    scores = Scores(*[[0.5] * 4] * 40)
    with pytest.raises(Cancelled):
        analyse(path, Faces(clips), scores, cancelled=lambda: scores.asked == 2)
    assert scores.asked == 2


def test_progress_goes_through_the_stages_in_order(path):
    told = []
    analyse(
        path,
        Faces([clip(), clip(1)]),
        Scores([0.5] * 4, [0.5] * 4),
        on_progress=lambda *progress: told.append(progress),
    )
    expected = [("decode", None, ""), ("faces", 0.5, "1 of 2 moments")]
    expected += [("faces", 1.0, "2 of 2 moments"), ("model", None, "2 clips")]
    assert told == [*expected, ("model", None, "1 clip"), ("report", None, "")]


def test_peaks_are_runs_above_the_threshold_within_a_clip_highest_first():
    frames = {0: {0.0: 0.7, 0.1: 0.8, 0.2: 0.1, 0.3: 0.6, 1.0: 0.95}, 1: {0.0: 0.1}}
    sampled = [(0.0, 0.1, 0.2, 0.3), (1.0, 1.1)]
    assert [
        (p["start_s"], p["end_s"], p["probability_fake"]) for p in peaks(frames, sampled, 0.6)
    ] == [
        (1.0, 1.0, 0.95),
        (0.0, 0.1, 0.8),
        (0.3, 0.3, 0.6),
    ]


def test_at_most_five_peaks_are_listed():
    frames = {0: {float(t): 0.9 * (t % 2) for t in range(40)}}
    assert len(peaks(frames, [tuple(map(float, range(40)))], 0.6)) == 5


def shown_of(clips, of_frames) -> tuple[CropSelection, dict]:
    """A selection of the crops of one face in a pass, and the tracks of its faces."""
    shown = CropSelection()
    for one, values in zip(clips, of_frames, strict=True):
        shown.add(Look(one.index, (one,), 4, b""), [Prediction(0.5, values)])
    return shown, {(one.index, one.track): 0 for one in clips}


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_the_shown_crops_are_the_extremes_of_all_frames(of_clips):
    shown, tracks = shown_of([clip(index) for index in range(len(of_clips))], of_clips)
    ordered = sorted(value for values in of_clips for value in values)
    number = min(EXTREMES, len(ordered) // 2)
    chosen = shown.chosen(tracks, [0])
    most = [crop.frame_probability for kind, _, crop in chosen if kind == "most"]
    least = [crop.frame_probability for kind, _, crop in chosen if kind == "least"]
    assert most == ordered[::-1][:number] and least == ordered[:number]


def test_of_a_long_video_the_crops_of_a_few_clips_are_kept():
    rng = np.random.default_rng(0)
    shown, _ = shown_of([clip(i) for i in range(500)], rng.random((500, 4)).tolist())
    kept = {id(c.images) for heap in (shown._most, shown._least) for _, _, c in heap}
    assert len(kept | {id(c.images) for _, _, c in shown._best.values()}) <= 2 * EXTREMES + 1


def test_of_a_video_of_many_faces_pictures_of_the_most_suspicious_are_kept():
    shown, scores = CropSelection(), np.random.default_rng(0).random(60)
    for moment, score in enumerate(scores):  # each shot shows somebody else
        face = clip(moment)
        place = np.array([0.0, 0.0, 9.0, 9.0]) + 10 * moment
        other = dataclasses.replace(
            face.sighting, first_box=place, last_box=place, appearance=np.eye(60)[moment]
        )
        face = dataclasses.replace(face, sighting=other)
        shown.add(Look(moment, (face,), 4, b""), [Prediction(score, [score] * 4)])
    assert len(shown._best) == FACES
    ranked = np.argsort(-scores)[:MAX_TRACKS].tolist()
    chosen = shown.chosen({(moment, 0): moment for moment in range(60)}, ranked)
    assert [track for kind, track, _ in chosen if kind == "best"] == ranked
    assert {track for _, track, _ in chosen} == set(ranked)


def test_a_strip_of_pictures_lies_evenly_over_the_video(path):
    few = analyse(path, Faces([clip(i) for i in range(5)]), Scores(*[[0.1] * 4] * 5))
    assert [picture["n"] for picture in few.document["strip"]] == [0, 1, 2, 3, 4]
    assert [picture["time_s"] for picture in few.document["strip"]] == [0.2, 1.2, 2.2, 3.2, 4.2]
    assert [thumbnail[-1] for thumbnail in few.strip] == [0, 1, 2, 3, 4]
    many = analyse(path, Faces([], moments=200), Scores(), ScanSettings(every=0.1, max_clips=0))
    times_s = [picture["time_s"] for picture in many.document["strip"]]
    assert len(times_s) == len(many.strip) == STRIP
    assert np.abs(np.diff(times_s) - 200 / STRIP).max() < 4 and times_s[0] < 16


def test_each_shown_crop_has_its_own_heat_map(path):
    clips = [clip(i) for i in range(12)]
    rng = np.random.default_rng(0)
    analysis = analyse(path, Faces(clips), Scores(*rng.random((12, 4)).tolist()))
    assert len(analysis.heat_maps) == 1 + 2 * EXTREMES
    for face, heat_map in zip(analysis.document["faces"], analysis.heat_maps, strict=True):
        assert face["heat_map"] and heat_map.shape == (1, 1)
        assert heat_map[0, 0] == round(10 * face["time_s"]) % 10  # the frame within its clip


def test_a_model_that_makes_no_heat_maps_gives_a_report_without(path):
    class Mute(Scores):
        def explain(self, clips):
            raise InvalidRequest("no signature explain")

    analysis = analyse(path, Faces([clip()]), Mute([0.5] * 4))
    assert set(analysis.heat_maps) == {None}
    assert not any(face["heat_map"] for face in analysis.document["faces"])


def test_the_report_names_the_bin_of_the_models_test_that_holds_the_score(path):
    bins = tuple(ReliabilityBin(i / 10, (i + 1) / 10, 10 + i, i) for i in range(10))

    class Tested(Scores):
        def config(self):
            facts = ModelProvenance(("ff",), ("ff", "dfd"), 145, 0.02, bins)
            return ModelConfig(CONFIG, THRESHOLDS, facts)

    document = analyse(path, Faces([clip()]), Tested([0.85] * 4)).document
    assert document["reliability"] == {"low": 0.8, "high": 0.9, "videos": 18, "fake": 8}
    assert document["model"]["tested_on"] == ["ff", "dfd"]
    assert document["model"]["false_alarm_rate"] == 0.02


def test_crops_of_any_format_are_shown_as_jpeg():
    png = cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
    assert jpeg(png).startswith(b"\xff\xd8") and jpeg(JPEG) is JPEG


@pytest.mark.parametrize(
    ("frames", "face_px", "verdict"),
    [
        (MIN_FRAMES, MIN_FACE_PX, Verdict.FAKE),
        (MIN_FRAMES, None, Verdict.FAKE),  # of shards that do not hold the boxes
        (MIN_FRAMES - 1, MIN_FACE_PX, Verdict.INCONCLUSIVE),
        (MIN_FRAMES, MIN_FACE_PX - 0.1, Verdict.INCONCLUSIVE),
    ],
)
def test_a_score_with_too_little_behind_it_is_inconclusive(frames, face_px, verdict):
    assert decide(0.9, THRESHOLDS, Evidence(frames, face_px)) is verdict
    assert decide(None, THRESHOLDS, Evidence(frames, face_px)) is Verdict.NO_FACE


CLIPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0.1, 0.39, 0.5, 0.61, 0.9]),
        st.integers(1, 5),
        st.one_of(st.none(), st.sampled_from([10.0, 31.9, 32.0, 90.0])),
    ),
    min_size=1,
    max_size=8,
)


def test_the_score_of_a_clip_is_read_back_from_its_file_under_the_old_name():
    score = ClipScore(1, 0, 0.5, 0.0, 1.0, [True, False], 90.0)
    assert score.to_dict()["found"] == [True, False] and "has_face" not in score.to_dict()
    assert ClipScore.from_dict(score.to_dict()) == score


@given(CLIPS)
def test_serving_and_evaluation_give_the_same_verdict_on_the_same_evidence(clips):
    """Batch scoring, `predict`, the API and the pages all ask `judge`."""
    scores = [
        ClipScore(i, track, p, 0.0, frames - 1.0, [t < frames for t in range(5)], px)
        for i, (track, p, frames, px) in enumerate(clips)
    ]
    all_seen = Coverage(9.0, 9.0, len(clips), len(clips), 0.0, 5 * len(clips), 5 * len(clips))
    served = judge("a.mp4", scores, MODEL, "m/1", all_seen, ScanSettings())
    video, numbers = Video("a", "", REAL, "set"), count()
    of_data = [
        ScoredClip(video, 0, next(numbers), track, i, p, np.arange(frames), np.full(frames, p), px)
        for i, (track, p, frames, px) in enumerate(clips)
    ]
    (evaluated,) = score_videos(of_data, THRESHOLDS)
    assert evaluated.verdict == served.verdict
    assert evaluated.score == served.probability_fake

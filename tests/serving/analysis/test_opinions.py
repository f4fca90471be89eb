"""Several models on one video: each says what it would say alone, the first decides."""

import dataclasses

import numpy as np
import pytest

from pipelines.coverage import ScanSettings
from pipelines.ensemble import Ensemble, Member
from pipelines.faces.extract import FaceExtractor
from pipelines.verdict import Thresholds
from serving.analysis.analyse import analyse
from serving.analysis.panel import Panel
from serving.analysis.video_result import DEMO, Opinion
from serving.client import ModelConfig, ModelProvenance, ModelServerError, Prediction
from serving.predict.predict import predict_video
from serving.predict.predict_files import describe
from tests.fixtures.films import GreenIsFake, Watched

SETTINGS = ScanSettings(every=1.0, max_clips=32)


class Calm(GreenIsFake):
    """Calls everything real."""

    def version(self):
        return "calm/7"

    def predict(self, clips):
        return [Prediction(0.1, [0.1 if image else 0.0 for image in clip]) for clip in clips]


@pytest.fixture(scope="module")
def calm(model):
    return Calm(model.config().preprocess)


def alone(path, faces, model):
    """What it says, with its configuration."""
    return predict_video(path, faces, model, SETTINGS), model.config()


@pytest.mark.parametrize("name", ["start", "end", "real", "stream"])
def test_each_model_says_what_it_would_say_alone_and_the_first_decides(
    films, faces, model, calm, name
):
    path = films[name]
    one, other = alone(path, faces, calm), alone(path, faces, model)
    for order in ((one, other), (other, one)):
        models = [calm if said is one else model for said in order]
        together = predict_video(path, faces, Panel(models), SETTINGS)
        assert together.opinions == tuple(Opinion.of(*said) for said in order)
        assert dataclasses.replace(together, opinions=()) == order[0][0]
        assert together.models_disagree == (name != "real")


class CountedFaces:
    """Writes down which moments were looked at, and for which crops."""

    def __init__(self, faces, passes):
        self._faces, self.config, self._passes = faces, faces.config, passes

    def for_crops(self, config):
        return type(self)(self._faces.for_crops(config), self._passes)

    def open(self, path):
        watched = Watched(self._faces.open(path))
        watched.passes = self._passes
        return watched


def test_models_that_want_the_same_crops_share_one_way_through_the_video(films, faces, model, calm):
    both, one = [], []
    predict_video(films["end"], CountedFaces(faces, both), Panel([calm, model]), SETTINGS)
    predict_video(films["end"], CountedFaces(faces, one), model, SETTINGS)
    looked_at = [moment for moments in both for moment in moments]
    assert len(set(looked_at)) == len(looked_at) and len(both) == len(one) > 1


def test_models_may_want_different_crops(films, faces, model, calm):
    wider = dataclasses.replace(model.config().preprocess, margin=0.6)
    other = GreenIsFake(wider)
    path = films["start"]
    together = predict_video(path, faces, Panel([calm, other]), SETTINGS)
    own = predict_video(path, FaceExtractor(wider), other, SETTINGS)
    assert together.opinions[1] == Opinion.of(own, other.config())
    assert [o.fingerprint for o in together.opinions] == [
        faces.config.fingerprint,
        wider.fingerprint,
    ]
    assert together.models_disagree and together.verdict == "REAL"


def test_two_of_the_same_name_and_version_are_told_apart(films, faces, model):
    said = predict_video(films["real"], faces, Panel([model, model]), SETTINGS)
    assert [opinion.model for opinion in said.opinions] == ["green/1 #1", "green/1 #2"]


def test_a_model_that_saw_no_face_or_gives_no_verdict_disagrees_with_none(
    films, faces, model, calm
):
    result = predict_video(films["start"], faces, Panel([calm, model]), SETTINGS)
    for verdict in ("NO_FACE", DEMO):
        changed = dataclasses.replace(result.opinions[1], verdict=verdict)
        opinions = (result.opinions[0], changed)
        assert not dataclasses.replace(result, opinions=opinions).models_disagree


def test_what_takes_too_long_for_a_verdict_leaves_the_other_inconclusive(films, faces, model, calm):
    class Slow(CountedFaces):
        def open(self, path):
            return Watched(self._faces.open(path), error_in_pass=1, after=10)

    said = predict_video(films["start"], Slow(faces, []), Panel([model, calm]), SETTINGS)
    assert said.verdict == "FAKE" and said.models_disagree
    second = said.opinions[1]
    assert second.verdict == "INCONCLUSIVE" and "took longer" in second.reasons[0]
    assert str(films["start"]) not in second.reasons[0]


def test_another_version_of_any_model_that_takes_over_gives_no_verdict(films, faces, model):
    class Rolling(GreenIsFake):
        asked = 0

        def version(self):
            self.asked += 1
            return f"rolling/{self.asked}"

    with pytest.raises(ModelServerError, match="green/1, rolling/2 took over from"):
        panel = Panel([model, Rolling(model.config().preprocess)])
        predict_video(films["real"], faces, panel, SETTINGS)


def described(model, sha256):
    """The model, as if it had been calibrated."""
    calibration = {"model_sha256": sha256, "temperature": 1.5}
    config = dataclasses.replace(model.config(), calibration=calibration)
    copy = type(model)(config.preprocess)
    copy._config = config
    return copy


@pytest.fixture(scope="module")
def ensemble(faces):
    members = Member("calm/7", "c" * 64, 1.5), Member("green/1", "a" * 64, 1.5)
    thresholds = Thresholds(0.3, 0.7, True, 0.5)
    return Ensemble(members, faces.config.fingerprint, 0.8, thresholds, {})


@pytest.fixture(scope="module")
def members(model, calm):
    return [described(calm, "c" * 64), described(model, "a" * 64)]


class AsOne(GreenIsFake):
    """The ensemble, as if it were one model."""

    def __init__(self, ensemble, members):
        super().__init__(members[0].config().preprocess)
        self._config = ModelConfig(self._config.preprocess, ensemble.thresholds)
        self._ensemble, self._members = ensemble, members

    def predict(self, clips):
        predictions = []
        for said in zip(*(member.predict(clips) for member in self._members), strict=True):
            whole = self._ensemble.combine([np.array(p.probability_fake) for p in said])
            frames = self._ensemble.combine([np.array(p.frame_probability) for p in said])
            predictions.append(Prediction(float(whole), frames.tolist()))
        return predictions


@pytest.mark.parametrize("name", ["start", "end", "real"])
def test_an_ensemble_judges_as_a_model_of_its_score_would(films, faces, ensemble, members, name):
    path = films[name]
    said = predict_video(path, faces, Panel(members, ensemble), SETTINGS)
    expected = predict_video(path, faces, AsOne(ensemble, members), SETTINGS)
    assert said.model == "mean-logit/calm/7+green/1"
    assert dataclasses.replace(said, opinions=(), model="") == dataclasses.replace(
        expected, model=""
    )
    assert said.opinions == tuple(Opinion.of(*alone(path, faces, one)) for one in members)


def test_other_models_than_those_of_the_ensemble_are_refused(
    films, faces, ensemble, members, model
):
    for panel in (Panel([members[0], model], ensemble), Panel(members[:1], ensemble)):
        with pytest.raises(ModelServerError, match="was calibrated for calm/7"):
            predict_video(films["real"], faces, panel, SETTINGS)
    other = dataclasses.replace(ensemble, fingerprint="another")
    with pytest.raises(ModelServerError, match="wants crops"):
        predict_video(films["real"], faces, Panel(members, other), SETTINGS)


def test_with_a_demo_model_an_ensemble_gives_no_verdict(films, faces, ensemble, members):
    demo = described(members[1], "a" * 64)
    demo._config = dataclasses.replace(demo._config, provenance=ModelProvenance(sample_data=True))
    said = predict_video(films["start"], faces, Panel([members[0], demo], ensemble), SETTINGS)
    assert [said.verdict, *(o.verdict for o in said.opinions)] == [DEMO, "REAL", DEMO]


def test_the_report_is_of_the_first_and_has_the_opinions_of_all(films, faces, ensemble, members):
    path = films["start"]
    for panel in (Panel(members), Panel(members, ensemble)):
        document = analyse(path, faces, panel, SETTINGS).document
        result = predict_video(path, faces, panel, SETTINGS)
        assert document["opinions"] == [opinion.to_dict() for opinion in result.opinions]
        assert document["models_disagree"] and document["verdict"] == result.verdict
        (track,) = document["tracks"]
        scored = [p for p in track["frame_probability"] if p is not None]
        assert max(scored) <= max(0.999, result.probability_fake)
    assert document["model"]["name"] == "mean-logit"
    assert document["model"]["version"] == "calm/7+green/1"


def test_people_are_told_what_each_says_and_that_they_disagree(films, faces, model, calm):
    text = describe(predict_video(films["start"], faces, Panel([calm, model]), SETTINGS), True)
    lines = [line.strip() for line in text.splitlines()]
    where = lines.index("The models disagree.")
    assert lines[where + 1] == "calm/7: REAL, P(fake) = 0.10 (uncalibrated)"
    assert lines[where + 2].startswith("green/1: FAKE, P(fake) = ")
    agreed = describe(predict_video(films["real"], faces, Panel([calm, model]), SETTINGS), True)
    assert "disagree" not in agreed and "green/1: REAL" in agreed

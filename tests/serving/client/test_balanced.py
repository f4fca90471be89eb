"""A model on several servers: who is asked, by which version, and that no answer is lost."""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.config import PreprocessConfig
from pipelines.verdict import Thresholds
from serving.client import (
    BalancedModel,
    Disagreement,
    FingerprintMismatch,
    GrpcClient,
    InvalidRequest,
    ModelServerError,
    NotFound,
    Overloaded,
    RestClient,
    Timeout,
    Unreachable,
    connect_all,
)
from serving.client.pinned import APART_S
from serving.client.servers import Servers
from tests.fixtures import ROOT
from tests.fixtures.described_model import PREPROCESS, Replica, described
from tests.fixtures.model_servers import scripted
from tests.serving.client.test_servers import Clock

FULL = (503, {"error": "full"})
OTHER_VERDICT = json.dumps({"real_below": 0.1, "fake_above": 0.9})
STRICTER = {**described(), "verdict_json": OTHER_VERDICT}


@dataclasses.dataclass
class Place:
    """Replicas, the servers that they are, and the clock that these go by."""

    replicas: list
    servers: Servers
    clock: Clock

    def model(self, name="dfdetect", timeout_s=60, retries=0) -> BalancedModel:
        return BalancedModel(self.servers, name, timeout_s, retries, keep_open=True)

    @property
    def predictions(self):
        return [replica.predictions for replica in self.replicas]


@contextlib.contextmanager
def serving(*replicas):
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(scripted(replica)) for replica in replicas]
        clock = Clock()
        servers = Servers([RestClient(url) for url in urls], clock)
        stack.callback(servers.close)
        yield Place(list(replicas), servers, clock)


@pytest.fixture
def two():
    with serving(Replica(), Replica()) as place:
        yield place


def ask(model) -> float:
    return model.predict([[b"x"]])[0].probability_fake


def test_servers_share_the_requests(two):
    model = two.model()
    assert [ask(model) for _ in range(10)] == [0.1] * 10
    assert two.predictions == [5, 5]


def test_models_of_several_callers_share_what_is_known_of_the_servers(two):
    for _ in range(6):
        ask(two.model())
    assert two.predictions == [3, 3]


def test_a_request_that_breaks_off_is_answered_by_the_other(two):
    model = two.model()
    model.config()
    two.replicas[0].failing = [(0, b"")]
    assert [ask(model) for _ in range(4)] == [0.1] * 4
    assert two.predictions == [1, 4]  # the first of them is left alone from then on


def test_one_that_was_down_returns_after_a_probe(two):
    model, bad = two.model(), two.replicas[0]
    model.config()
    bad.down = True
    ask(model)
    for seconds, probed in ((0.9, 0), (0.2, 1), (1.8, 0), (0.3, 1)):  # after 1 s, then 2 s more
        before = len(bad.requests)
        two.clock.now += seconds
        assert ask(model) == 0.1
        assert len(bad.requests) - before == probed
    bad.down = False
    two.clock.now += 4
    before = bad.predictions
    assert [ask(model) for _ in range(4)] == [0.1] * 4 and bad.predictions == before + 2


def test_one_that_is_full_is_spared_once_and_for_as_long_as_it_asks(two):
    model, full = two.model(), two.replicas[0]
    model.config()
    full.failing = [FULL, (*FULL, {"Retry-After": "5"})]
    assert [ask(model) for _ in range(3)] == [0.1] * 3
    assert two.predictions == [2, 3] and len(two.servers.usable) == 2
    assert [ask(model) for _ in range(3)] == [0.1] * 3 and full.predictions == 2
    two.clock.now += 5
    assert [ask(model) for _ in range(2)] == [0.1] * 2 and full.predictions == 3


def test_where_all_are_full_the_caller_is_told_when_to_come_back(two):
    model = two.model(timeout_s=5, retries=3)
    model.config()
    for replica, seconds in zip(two.replicas, ("100", "200"), strict=True):
        replica.failing = [(*FULL, {"Retry-After": seconds})]
    with pytest.raises(Overloaded, match="full"):
        ask(model)
    with pytest.raises(Overloaded, match="may be asked for 100 s") as caught:
        ask(model)
    assert caught.value.retry_after_s == 100 and two.predictions == [1, 1]


def test_where_all_are_full_they_are_asked_again_until_one_answers(two):
    model = two.model(retries=3)
    model.config()
    for replica in two.replicas:
        replica.failing = [FULL, (0, b"")]
    assert ask(model) == 0.1 and sum(two.predictions) >= 5


@pytest.mark.parametrize(("code", "kind"), [(400, InvalidRequest), (504, Timeout)])
def test_what_asking_again_does_not_mend_is_not_asked_elsewhere(two, code, kind):
    model = two.model(retries=3)
    model.config()
    for replica in two.replicas:
        replica.failing = [(code, {"error": "because"})]
    with pytest.raises(kind, match="because"):
        ask(model)
    assert sum(two.predictions) == 1


def test_one_that_fails_at_what_another_answers_is_ejected(two):
    """Or it would get ever more requests: who fails at once has the fewest outstanding."""
    model, faulty = two.model(), two.replicas[0]
    model.config()
    faulty.failing = [(500, {"error": "a broken disk"})] * 9
    assert [ask(model) for _ in range(5)] == [0.1] * 5
    assert two.predictions == [1, 5]


def test_a_request_at_which_all_fail_is_told_and_nobody_is_ejected(two):
    model = two.model(retries=3)
    model.config()
    for replica in two.replicas:
        replica.failing = [(500, {"error": "because"})]
    with pytest.raises(ModelServerError, match="status 500: because"):
        ask(model)
    assert two.predictions == [1, 1] and len(two.servers.usable) == 2
    assert ask(model) == 0.1


def test_nobody_there_is_an_error_and_whoever_comes_back_answers_at_once(two):
    for replica in two.replicas:
        replica.down = True
    with pytest.raises(Unreachable, match="dfdetect serve"):
        two.model().config()
    two.replicas[1].down = False
    assert ask(two.model()) == 0.1  # no time has gone by on the clock


def test_requests_ask_for_the_version_by_its_number_until_the_configuration_is_read_again():
    versions = {1: described(), 2: STRICTER}
    with serving(Replica(versions), Replica(versions)) as place:
        model = place.model("dfdetect/labels/stable")
        assert model.config().thresholds == Thresholds(0.2, 0.7, True)
        for replica in place.replicas:
            replica.named = 2
        assert [ask(model) for _ in range(4)] == [0.1] * 4 and model.version() == "dfdetect/1"
        paths = [path for r in place.replicas for path in r.paths if path.endswith(":predict")]
        assert set(paths) == {"/v1/models/dfdetect/versions/1:predict"}
        assert model.config().thresholds == Thresholds(0.1, 0.9) and model.version() == "dfdetect/2"
        assert ask(model) == 0.2


@pytest.mark.parametrize(
    ("named", "answers"), [((1, 1, 2), 1), ((2, 1, 2), 2), ((1, 2), 2), ((2, 1), 2)]
)
def test_while_a_version_is_rolled_out_the_one_that_most_servers_name_answers(named, answers):
    """Those that do not have it are not asked."""
    replicas = [Replica({number: described()}, number) for number in named]
    with serving(*replicas) as place:
        model = place.model()
        assert {ask(model) for _ in range(9)} == {answers / 10}
        assert model.version() == f"dfdetect/{answers}"
        others = [r.predictions for r in replicas if r.named != answers]
        assert set(others) <= {0}


def test_one_that_gets_the_version_later_is_asked_from_then_on():
    late = Replica({1: described()})
    with serving(Replica({2: STRICTER}, 2), Replica({2: STRICTER}, 2), late) as place:
        model = place.model()
        assert {ask(model) for _ in range(6)} == {0.2} and late.predictions == 0
        asked = len(late.requests)
        assert {ask(model) for _ in range(6)} == {0.2} and len(late.requests) == asked
        late.versions, late.named = {2: STRICTER}, 2
        place.clock.now += APART_S
        assert {ask(model) for _ in range(6)} == {0.2} and late.predictions == 2


def test_a_version_that_nobody_has_any_more_is_not_found_and_no_servers_fault(two):
    judging = two.model()
    judging.config()
    for replica in two.replicas:
        replica.versions, replica.named = {2: STRICTER}, 2
    with pytest.raises(NotFound, match="no version 1"):
        ask(judging)
    assert len(two.servers.usable) == 2
    assert ask(two.model()) == 0.2
    judging.config()
    assert ask(judging) == 0.2


OTHER_CROPS = PreprocessConfig(frames_per_clip=5)


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        (STRICTER, "thresholds Thresholds"),
        (described(OTHER_CROPS), "preprocess PreprocessConfig"),
        ({**described(), "facts_json": '{"sample_data": true}'}, "provenance ModelProvenance"),
        (described(fingerprint="0123456789abcdef"), "should both serve .*0123456789abcdef"),
    ],
    ids=["thresholds", "crops", "provenance", "fingerprint"],
)
def test_servers_that_describe_one_version_in_two_ways_are_refused_at_the_start(texts, field):
    with serving(Replica(), Replica({1: texts})) as place:
        first, second = (server.client.address for server in place.servers.all)
        with pytest.raises(Disagreement, match=field) as caught:
            place.model(retries=3).config()
        assert first in str(caught.value) and second in str(caught.value)


def test_crops_that_this_package_does_not_make_are_refused_as_of_one_server():
    with serving(Replica({1: described(fingerprint="0123456789abcdef")})) as place:
        with pytest.raises(
            FingerprintMismatch, match=f"0123456789abcdef.*{PREPROCESS.fingerprint}"
        ):
            place.model().config()


def test_one_that_comes_back_with_other_thresholds_is_asked_nothing_more(two, caplog):
    model, other = two.model(), two.replicas[0]
    model.config()
    other.down = True
    ask(model)
    other.down, other.versions = False, {1: STRICTER}
    two.clock.now += 1
    before = other.predictions
    assert [ask(model) for _ in range(6)] == [0.1] * 6
    assert other.predictions == before and "Serve the same export" in caplog.text


def test_one_that_was_down_at_the_start_is_checked_before_it_is_asked():
    late = Replica({1: STRICTER})
    with serving(Replica(), late) as place:
        late.down = True
        model = place.model()
        ask(model)
        late.down = False
        place.clock.now += 1
        assert [ask(model) for _ in range(4)] == [0.1] * 4 and late.predictions == 0


@pytest.mark.parametrize("seed", range(3))
def test_callers_in_many_threads_all_get_their_answers_while_servers_come_and_go(two, seed):
    model = two.model(retries=50)
    model.config()
    answers = {0: [(0, b"")], 1: [FULL], 2: [(0, b""), FULL]}[seed]
    for replica in two.replicas:
        replica.failing = answers * 2
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, model) for _ in range(60)]
        assert [one.result() for one in asked] == [0.1] * 60
    assert [server.outstanding for server in two.servers.all] == [0, 0]


def test_waiting_ends_with_the_first_server_that_is_ready(saved):
    from serving.model_server.server import start_in_thread

    with start_in_thread(saved.parent) as url, scripted(Replica()) as other:
        with connect_all([other, url]) as model:  # the other has no such version states
            model.wait_ready(60)
    with connect_all([url, other]) as model, pytest.raises(Unreachable):
        model.wait_ready(0.1)


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ([], "no server"),
        (["http://a:1", "a:2"], "'a:2' is no address of a model server"),
        (["http://a:1", "grpc://a:2", "http://a:1/"], "'http://a:1/' is given twice"),
    ],
)
def test_addresses_that_cannot_be_meant_are_refused(addresses, message):
    with pytest.raises(ValueError, match=message):
        connect_all(addresses)


@contextlib.contextmanager
def server_process(folder):
    """A model server in a process of its own -> (process, REST address, gRPC address)."""
    command = [sys.executable, "-m", "dfdetect", "serve", "--model-base", str(folder)]
    process = subprocess.Popen(
        [*command, "--rest-port", "0", "--grpc-port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        said = process.stdout.readline()  # "REST at URL/v1/models, gRPC at HOST:PORT"
        rest, grpc = said.removeprefix("REST at ").split("/v1/models, gRPC at ")
        yield process, rest, grpc.strip()
    finally:
        process.kill()
        process.communicate()


def test_nothing_is_lost_when_one_of_two_servers_is_killed_under_load(saved):
    """Over both protocols: callers in a closed loop, so that each server has requests whenever it
    is killed; every answer is the one of the clip that was asked about."""
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(server_process(saved.parent)) for _ in range(2)]
        rest = Servers([RestClient(url) for _, url, _ in both])
        grpc = Servers([GrpcClient(address) for _, _, address in both])
        models = [BalancedModel(servers) for servers in (rest, grpc)]
        for model in models:
            stack.enter_context(model)
            model.wait_ready(120)
            model.config()
        killed, answered = threading.Event(), itertools.count(1)

        def caller(number):
            model, size, after = models[number % 2], 10 + number, 0
            while after < 20:
                after += killed.is_set()
                scores = [p.probability_fake for p in model.predict([[b"x" * size] * 4] * 3)]
                assert scores == pytest.approx([size / 100] * 3)
                if next(answered) == 100:
                    both[0][0].send_signal(signal.SIGKILL)
                    both[0][0].wait()
                    killed.set()

        with ThreadPoolExecutor(8) as pool:
            for one in [pool.submit(caller, number) for number in range(8)]:
                one.result()
        for servers in (rest, grpc):
            assert servers.all[0].ejections >= 1 and servers.all[0].turn > 0
            assert list(servers.usable) == [servers.all[1]]

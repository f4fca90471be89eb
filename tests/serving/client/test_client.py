"""Clients of a model server: the same numbers over REST, gRPC and in process, and every failure."""

import dataclasses
import email.utils
import gc
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pipelines.model_contract import Signature
from pipelines.verdict import Thresholds
from serving.client import (
    FingerprintMismatch,
    GrpcClient,
    InProcessModel,
    InvalidRequest,
    ModelConfig,
    ModelProvenance,
    ModelServerError,
    NotFound,
    Overloaded,
    ReliabilityBin,
    RestClient,
    Timeout,
    Unreachable,
    connect,
)
from serving.model_server.server import ModelServer
from serving.model_server.settings import Settings
from serving.model_server.version_policy import one_model
from tests.fixtures.described_model import PREPROCESS, answer, described, metadata
from tests.fixtures.model_servers import Script, grpc_failures, nobody_listens, scripted


@pytest.fixture(scope="module")
def served(saved):
    """Addresses of our model server, where version 3 has the label "stable"."""
    config = one_model("dfdetect", saved.parent)
    config.model_config_list.config[0].version_labels["stable"] = 3
    settings = Settings(
        rest_port=0, grpc_port=0, allow_version_labels_for_unavailable_models=True, drain_seconds=60
    )
    server = ModelServer(settings, config)
    server.start()
    yield server.addresses
    server.stop()


@pytest.fixture(scope="module")
def url(served):
    return served.rest


@pytest.fixture(scope="module")
def address(served):
    return served.grpc


@pytest.fixture(scope="module")
def failing():
    with grpc_failures() as address:
        yield address


@pytest.fixture(params=["REST", "gRPC", "in process"])
def model(request, saved):
    if request.param == "in process":
        made = InProcessModel(saved.parent, batch=2)
    elif request.param == "REST":
        made = RestClient(request.getfixturevalue("url"), batch=2)
    else:
        made = GrpcClient(request.getfixturevalue("address"), batch=2)
    with made:
        yield made


CLIPS = [[b"x" * n, b"x" * (n + 10)] for n in (10, 20, 30, 40, 50)]


def test_every_client_gives_the_models_numbers_in_the_order_of_the_clips(model):
    predictions = model.predict(CLIPS)  # in three requests of up to two clips
    assert [p.probability_fake for p in predictions] == pytest.approx(
        [0.15, 0.25, 0.35, 0.45, 0.55]
    )
    assert predictions[4].frame_probability == pytest.approx([0.5, 0.6])
    assert model.predict([]) == []


def test_clips_of_different_lengths_share_a_request_and_padding_is_not_returned(model):
    short, long = model.predict([[b"x"], [b"x" * 10, b"", b"x" * 30]])
    assert short.probability_fake == pytest.approx(0.01) and len(short.frame_probability) == 1
    assert long.probability_fake == pytest.approx(0.2)
    assert long.frame_probability == pytest.approx([0.1, 0, 0.3])


def test_every_client_gives_a_heat_map_for_each_frame(model):
    maps = model.explain(CLIPS[:3])
    assert [(m.dtype, m.shape) for m in maps] == [(np.float32, (2, 2, 3))] * 3
    assert maps[2][:, 0, 0].tolist() == [30, 40]


def test_every_client_reads_crops_thresholds_and_facts_from_the_model(model):
    bins = (ReliabilityBin(0.0, 0.5, 10, 1),)
    facts = ModelProvenance(("sample",), ("sample", "other"), 18, 0.25, bins)
    crops = dataclasses.replace(PREPROCESS, faces="all")
    calibration = {"temperature": 1.5}
    assert model.config() == ModelConfig(crops, Thresholds(0.2, 0.7, True), facts, calibration)
    assert crops.fingerprint == PREPROCESS.fingerprint
    assert model.version() == "dfdetect/3"


def test_a_clip_that_the_model_refuses_is_an_invalid_request(model):
    with pytest.raises(InvalidRequest, match="not an image"):
        model.predict([[b"no image"]])


@pytest.mark.parametrize("protocol", ["url", "address"])
def test_a_model_that_the_server_does_not_know_is_not_found(protocol, request):
    kind = RestClient if protocol == "url" else GrpcClient
    with kind(request.getfixturevalue(protocol), "other") as model:
        for ask in (model.version, model.config, lambda: model.wait_ready(0.1)):
            with pytest.raises(NotFound, match="other"):
                ask()


@pytest.mark.parametrize("name", ["dfdetect", "dfdetect/versions/3", "dfdetect/labels/stable"])
@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
def test_a_version_is_asked_by_number_and_by_label(kind, name, url, address):
    with kind(url if kind is RestClient else address, name) as model:
        model.wait_ready(1)
        assert model.version() == "dfdetect/3"
        assert model.predict(CLIPS[:1])[0].probability_fake == pytest.approx(0.15)
        assert model.explain(CLIPS[:1])[0].shape == (2, 2, 3)


@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
def test_a_version_or_label_that_is_not_there_is_an_error(kind, url, address):
    place = url if kind is RestClient else address
    with kind(place, "dfdetect/versions/4") as model, pytest.raises(NotFound):
        model.predict(CLIPS[:1])
    with kind(place, "dfdetect/labels/canary") as model, pytest.raises(InvalidRequest):
        model.predict(CLIPS[:1])


@pytest.mark.parametrize("name", ["", "a/b", "a/versions/x", "a/labels/", "a:predict"])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(ValueError, match="expected NAME, NAME/versions/NUMBER or"):
        RestClient("http://127.0.0.1:1", name)


@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
def test_nobody_at_the_address_is_an_error_that_says_what_to_start(kind):
    with nobody_listens() as place:
        with kind(f"http://{place}" if kind is RestClient else place, retries=1) as model:
            with pytest.raises(Unreachable, match="dfdetect serve"):
                model.config()
            with pytest.raises(Unreachable):
                model.wait_ready(0.1)


def test_wait_ready_returns_once_a_real_server_is_there(url, address):
    for model in (RestClient(url), GrpcClient(address)):
        with model:
            model.wait_ready(60)


def status(*versions: tuple[int, str, str]) -> tuple:
    """The answer of a server that has these versions: number, state, error message."""
    entries = [
        {"version": str(v), "state": s, "status": {"error_code": "OK", "error_message": m}}
        for v, s, m in versions
    ]
    return 200, {"model_version_status": entries}


CONFIG = answer(**{name: [text] for name, text in described().items()})
OK = answer(probability_fake=[0.5], frame_probability=[[0.5] * 4])


def asked(script: Script, pause_s: float = 0.0, **options):
    """What a client of a server with this script says of one clip; the client knows the model."""
    script.answers[:0] = [metadata(1), CONFIG]
    with scripted(script) as url, RestClient(url, **options) as model:
        model.config()
        del script.requests[:]
        return model.predict([[b"x"]])[0].probability_fake


@pytest.mark.parametrize("busy", [429, 503])
def test_a_server_that_has_too_much_to_do_is_asked_again_until_it_answers(busy):
    script = Script((busy, {"error": "full"}), (busy, {"error": "full"}), OK)
    assert asked(script) == 0.5 and len(script.requests) == 3


def test_a_connection_that_breaks_off_is_made_again():
    script = Script((0, b""), OK)
    assert asked(script) == 0.5 and len(script.requests) == 2


def test_a_client_that_is_forgotten_closes_its_connections():
    with scripted(Script(metadata(1))) as url:
        model = RestClient(url)
        assert model.version() == "dfdetect/1"
        connections = model._http
        del model
        gc.collect()
        assert connections.is_closed


def test_the_server_is_left_alone_for_as_long_as_it_asks():
    script = Script((503, {"error": "full"}, {"Retry-After": "1"}), OK)
    started = time.monotonic()
    assert asked(script) == 0.5
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_that_goes_past_the_deadline_is_not_begun(form):
    later = "100" if form == "seconds" else email.utils.formatdate(time.time() + 100, usegmt=True)
    script = Script((429, {"error": "full"}, {"Retry-After": later}))
    started = time.monotonic()
    with pytest.raises(Overloaded, match="status 429: full") as caught:
        asked(script, timeout_s=50)
    assert time.monotonic() - started < 50 and len(script.requests) == 1
    assert caught.value.retry_after_s == pytest.approx(100, abs=50)


def test_an_overload_without_an_end_is_told_after_the_last_retry():
    script = Script((503, {"error": "full"}, {"Retry-After": "soon"}))
    with pytest.raises(Overloaded):
        asked(script, retries=1)
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, InvalidRequest),
        (404, NotFound),
        (408, Timeout),
        (413, InvalidRequest),
        (500, ModelServerError),
        (504, Timeout),
    ],
)
def test_what_asking_again_does_not_mend_is_not_asked_again(code, kind):
    script = Script((code, {"error": "because"}))
    with pytest.raises(kind, match=f"status {code}: because") as caught:
        asked(script)
    assert type(caught.value) is kind and len(script.requests) == 1


def test_an_error_that_is_no_json_is_told_as_it_is():
    with pytest.raises(NotFound, match="<h1>nothing here"):
        asked(Script((404, b"<h1>nothing here</h1>")))


@pytest.mark.parametrize("body", [b"<html>", {"predictions": [0.5]}, [1], {"outputs": [0.5]}])
def test_a_server_of_another_kind_is_named(body):
    with pytest.raises(ModelServerError, match="not the answer of a model server"):
        asked(Script((200, body)))
    with scripted(Script((200, body))) as url, RestClient(url) as model:
        with pytest.raises(ModelServerError, match="not the answer of a model server"):
            model.version()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"score": [0.5]}, r"gives \['score'\], expected 'probability_fake' too"),
        ({"probability_fake": [0.5, 0.5], "frame_probability": [[0.5]]}, "2 rows .* for 1 clips"),
        ({"probability_fake": [float("nan")], "frame_probability": [[0.5]]}, "gave nan"),
        ({"probability_fake": [1.5], "frame_probability": [[0.5]]}, "gave 1.5 as a probability"),
    ],
)
def test_outputs_that_are_no_prediction_are_an_error_never_a_verdict(outputs, message):
    with pytest.raises(ModelServerError, match=message):
        asked(Script(answer(**outputs)))


def test_an_answer_that_does_not_come_is_a_timeout():
    never, script = threading.Event(), Script(metadata(1))
    with scripted(script) as url, RestClient(url) as model:
        model.version()  # connected, however busy the machine is
        script.reply = lambda *_: never.wait() and metadata(1)
        model._timeout_s = 0.1
        with pytest.raises(Timeout, match="no answer within"):
            model.version()
        never.set()


def test_an_answer_that_only_trickles_in_is_a_timeout():
    script = Script(metadata(1), (200, [b" "] * 500))
    with scripted(script, pause_s=0.1) as url, RestClient(url) as model:
        model.version()
        model._timeout_s = 0.5
        started = time.monotonic()
        with pytest.raises(Timeout, match="no answer within"):
            model.version()
        assert time.monotonic() - started < 50  # which all of it takes


def test_a_server_that_is_still_loading_is_waited_for():
    loading = status((1, "LOADING", ""))
    ready = status((1, "END", ""), (2, "AVAILABLE", ""))
    script = Script(loading, loading, ready, metadata(2))
    with scripted(script) as url, RestClient(url) as model:
        model.wait_ready(60)
        assert len(script.requests) == 4 and model.version() == "dfdetect/2"


def test_a_label_that_is_not_there_yet_is_waited_for():
    ready, unknown = status((1, "AVAILABLE", "")), (400, {"error": "no such label"})
    script = Script(ready, unknown, ready, metadata(1))
    with scripted(script) as url, RestClient(url, "dfdetect/labels/canary") as model:
        model.wait_ready(60)
    paths = ["/v1/models/dfdetect", "/v1/models/dfdetect/labels/canary/metadata"]
    assert script.paths == paths * 2


def test_a_model_that_stays_loading_is_told_when_the_time_is_over():
    with scripted(Script(status((1, "LOADING", "")))) as url, RestClient(url) as model:
        with pytest.raises(NotFound, match="there are: 1 LOADING. None is AVAILABLE yet"):
            model.wait_ready(0.3)


def test_a_model_that_could_not_be_loaded_is_not_waited_for():
    with scripted(Script(status((1, "END", "no such op")))) as url, RestClient(url) as model:
        with pytest.raises(ModelServerError, match=r"1 END \(no such op\).*load none of them"):
            model.wait_ready(60)


def test_a_new_version_brings_its_own_thresholds():
    stricter = json.dumps({"real_below": 0.1, "fake_above": 0.9})
    texts = {name: [text] for name, text in {**described(), "verdict_json": stricter}.items()}
    script = Script(metadata(1), CONFIG, metadata(1), metadata(2), answer(**texts))
    with scripted(script) as url, RestClient(url) as model:
        assert model.config() is model.config()
        assert model.config().thresholds == Thresholds(0.1, 0.9)
    assert len(script.requests) == 5


def test_a_model_exported_without_facts_has_none():
    texts = {name: [text] for name, text in described().items() if name != "facts_json"}
    script = Script(metadata(1), answer(**texts))
    with scripted(script) as url, RestClient(url) as model:
        assert model.config().provenance == ModelProvenance()
    assert ModelProvenance.from_dict({"reliability": None, "trained_on": None}) == ModelProvenance()


def test_a_model_trained_on_other_crops_is_refused_by_both_fingerprints():
    texts = described(fingerprint="0123456789abcdef")
    with pytest.raises(FingerprintMismatch, match=f"0123456789abcdef.*{PREPROCESS.fingerprint}"):
        ModelConfig.from_json(**texts)
    assert issubclass(FingerprintMismatch, ValueError)  # as callers of earlier versions expect


@pytest.mark.parametrize(
    "damaged",
    [{"preprocess_json": "{"}, {"preprocess_json": "{}"}, {"verdict_json": "{}"},
     {"facts_json": '{"reliability": [1]}'}, {"verdict_json": "[]"}],
    ids=str,
)  # fmt: skip
def test_a_description_that_cannot_be_read_says_to_export_again(damaged):
    with pytest.raises(ModelServerError, match="dfdetect export"):
        ModelConfig.from_json(**{**described(), **damaged})


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "The batch scheduling queue is full", Overloaded),
        ("UNAVAILABLE", "shutting down", Unreachable),
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded", Overloaded),
        ("RESOURCE_EXHAUSTED", "Received message larger than max", InvalidRequest),
        ("RESOURCE_EXHAUSTED", "Sent message larger than max", InvalidRequest),
        ("RESOURCE_EXHAUSTED", "received metadata size exceeds hard limit", InvalidRequest),
        ("DEADLINE_EXCEEDED", "too late", Timeout),
        ("NOT_FOUND", "no such model", NotFound),
        ("FAILED_PRECONDITION", "no", InvalidRequest),
        ("UNIMPLEMENTED", "no", InvalidRequest),
        ("INTERNAL", "broken", ModelServerError),
    ],
)
def test_a_grpc_status_becomes_the_exception_of_its_meaning(failing, code, details, kind):
    with GrpcClient(failing, f"dfdetect/labels/{code}={details}", retries=0) as model:
        with pytest.raises(kind, match=f"{code}: {details}") as caught:
            model.version()
    assert type(caught.value) is kind


def test_a_grpc_answer_that_takes_too_long_is_a_timeout(failing):
    with (
        GrpcClient(failing, "dfdetect/labels/slow", timeout_s=0.3) as model,
        pytest.raises(Timeout),
    ):
        model.version()


def test_a_grpc_request_may_be_larger_than_the_4_mb_of_grpcs_default(address):
    large = b"x" * (2 << 20)
    with GrpcClient(address) as model:
        maps = model.explain([[large] * 4])
    assert maps[0].max() == len(large)


def test_grpc_without_its_packages_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ModelServerError, match=r"dfdetect\[serving\]"):
        GrpcClient("127.0.0.1:1")


def test_rest_loads_neither_tensorflow_nor_grpc(url):
    code = (
        "import sys; from serving.client import connect_all\n"
        f"with connect_all([{url!r}]) as model:\n"
        "    assert model.predict([[b'xx']])[0].probability_fake > 0\n"
        "    model.wait_ready(1); model.config(); model.explain([[b'x']])\n"
        "unwanted = {'tensorflow', 'keras', 'grpc', 'tensorflow_serving', 'apache_beam'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_address_chooses_the_protocol(url, address):
    with connect(url) as rest, connect(f"grpc://{address}") as grpc:
        assert type(rest) is RestClient and type(grpc) is GrpcClient
        assert rest.config() == grpc.config()
    with pytest.raises(ValueError, match="expected http://HOST:PORT"):
        connect("127.0.0.1:8501")


def test_a_batch_of_no_clips_is_refused(saved):
    with pytest.raises(ValueError, match="at least 1 clip"):
        RestClient("http://127.0.0.1:1", batch=0)


def test_a_model_without_a_signature_names_those_it_has(saved):
    with InProcessModel(saved) as model, pytest.raises(InvalidRequest, match="'explain'"):
        model._run(Signature("tensors", ("clips",), ()), [b""])

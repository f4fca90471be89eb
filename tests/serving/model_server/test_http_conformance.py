"""What TensorFlow Serving 2.20 answers below its API: HTTP, and metrics.

Expectations are from util/net_http/server/internal/{evhttp_server,evhttp_request}.cc,
model_servers/{http_server,http_rest_api_util}.cc, util/prometheus_exporter.cc and
servables/tensorflow/util.cc at its tag 2.20.0, and where those leave it to libevent 2.1.12, from
that library, which was asked the same.

A real server: `python -m tests.fixtures.serving_models DIR` prints how to start it; then
`pytest THIS_FILE --target http://localhost:8501 --target-grpc localhost:8500`.
"""

import dataclasses
import gzip
import json
import re
import socket
from urllib.parse import urlsplit

import pytest
import tensorflow as tf
from tensorflow_serving.apis import inference_pb2, predict_pb2

from tests.fixtures import serving_models

NAME = serving_models.NAME
MODEL = f"/v1/models/{NAME}"
V1 = f"{MODEL}/versions/1"
GET = f"GET {V1} HTTP/1.1\r\n\r\n".encode()
ONE = b'{"inputs": [1]}'  # 15 bytes


class Wire:
    """A connection to the server, byte by byte."""

    def __init__(self, url):
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=60)
        self._file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, head=False):
        """Status, headers by names in lower case, body."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        if head or status == 100:
            return status, headers, b""
        length = headers.get("content-length")
        return (
            status,
            headers,
            self._file.read() if length is None else self._file.read(int(length)),
        )

    def is_kept(self):
        """Whether another request is answered on it."""
        try:
            self.send(GET)
            return self._file.readline().startswith(b"HTTP/1.1 200")
        except OSError:
            return False


@pytest.fixture
def wire(target):
    with Wire(target.rest) as wire:
        yield wire


def post(path=f"{V1}:predict", body=ONE, version="1.1", **headers):
    lines = [f"POST {path} HTTP/{version}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, and what comes of it. kind: of the body, a part of Content-Type."""

    name: str
    request: bytes
    status: int = 200
    kept: bool = True  # the connection
    kind: str = "application/json"


def get(path=V1, version="1.1", method="GET", headers=""):
    return f"{method} {path} HTTP/{version}\r\n{headers}\r\n".encode("latin-1")


HTML = {"kept": False, "kind": "text/html"}
CASES = [
    Case("a request", GET),
    Case("no host", get(headers="")),
    Case("a host", get(headers="Host: a\r\n")),
    Case("lines that end in LF", GET.replace(b"\r\n", b"\n")),
    Case("a header over two lines", get(headers="X: a\r\n b\r\n")),
    Case("bytes beyond ASCII in a header", get(headers="X: h\xe9\r\n")),
    Case("a header of 100 kB", get(headers=f"X: {'x' * 100_000}\r\n")),
    Case("2,000 headers", get(headers="".join(f"X{i}: x\r\n" for i in range(2000)))),
    Case("a path of 100 kB", get("/v1/models/" + "m" * 100_000), 404),
    Case("an upgrade", get(headers="Connection: Upgrade\r\nUpgrade: websocket\r\n")),
    Case("keep-alive, as is usual", get(headers="Connection: keep-alive\r\n")),
    Case("close", get(headers="Connection: close\r\n"), kept=False),
    Case("HTTP/1.0", get(version="1.0"), kept=False),
    Case("HTTP/1.0 that is kept", get(version="1.0", headers="Connection: Keep-Alive\r\n")),
    Case("a body of HTTP/1.0", post(version="1.0", Connection="keep-alive")),
    Case("HTTP/0.9", f"GET {V1}\r\n\r\n".encode(), 400, **HTML),
    Case("HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\n", 400, **HTML),
    Case("http in lower case", get().replace(b"HTTP", b"http"), 400, **HTML),
    Case("no HTTP", b"hello\r\n\r\n", 400, **HTML),
    Case("two spaces", get().replace(b" ", b"  "), 400, **HTML),
    Case("a header without a colon", get(headers="X\r\n"), 400, **HTML),
    Case("no percent encoding", get(f"{MODEL}%zz"), 400, **HTML),
    Case("half a percent encoding", get(f"{MODEL}%2"), 400, **HTML),
    Case("bytes beyond ASCII in a path", get(f"{MODEL}\xe9"), 400, **HTML),
    Case("a character that URLs have not", get(f"{MODEL}|"), 400, **HTML),
    Case("outside of the API", get("/v2/models"), 404, **HTML),
    Case("the root", get("/"), 404, **HTML),
    Case("no slash", get("v1/models"), 404, **HTML),
    Case("two slashes", get(f"/{MODEL}"), 404, **HTML),
    Case("two slashes further on", get(f"/v1//models/{NAME}"), 400),
    Case("a slash at the end", get(f"{MODEL}/"), 400),
    Case("no version", get(f"{MODEL}/versions/"), 400),
    Case("no label", get(f"{MODEL}/labels/"), 400),
    Case("a colon for a slash", get(f"{MODEL}:1"), 400),
    Case("a dot for a name", get("/v1/models/../models"), 400),
    Case("an empty query is a part of the name", get(f"{MODEL}?"), 404),
    Case("so is a fragment", get(f"{MODEL}#a"), 404),
    Case("percent encoding", get("/v1/models/%68alf_plus_two/versions/1")),
    Case("a slash in the name", get("/v1/models/half%2Fplus"), 404),
    Case("an encoded verb", get("/v1/%6dodels/half_plus_two"), 400),
    Case("capitals in a path that are heeded in the name", get("/V1/Models/HALF_PLUS_TWO"), 404),
    Case("a version of many zeros", get(f"{MODEL}/versions/{'0' * 30}1")),
    Case("another method with a body", b"PUT" + post()[4:], 400),
    Case("another method without", get(method="DELETE"), 400),
    Case("PATCH", get(method="PATCH"), 400),
    Case("a method in lower case", get(method="get"), 501, **HTML),
    Case("a method that HTTP has not", get(method="BREW"), 501, **HTML),
    Case("a method of WebDAV", get(method="PROPFIND"), 501, **HTML),
    Case("a body that comes with GET", b"GET" + post(V1)[4:]),
    Case("a body", post()),
    Case("any type of content", post(Content_Type="text/plain; charset=utf-7")),
    Case("its length twice", post(Content_Length=15)),
    Case("no body", get(f"{V1}:predict", method="POST"), 400),
    Case("a length that is none", post(Content_Length="x"), 400, **HTML),
    Case("a length below 0", post(body=b"").replace(b": 0", b": -1"), 400, **HTML),
    Case(
        "chunks",
        get(f"{V1}:predict", "1.1", "POST", "Transfer-Encoding: chunked\r\n")
        + b'a\r\n{"inputs":\r\n5\r\n [1]}\r\n0\r\n\r\n',
    ),
    Case(
        "chunks with a header after them",
        get(f"{V1}:predict", "1.1", "POST", "transfer-encoding: Chunked\r\n")
        + b"F\r\n" + ONE + b"\r\n0\r\nX: a\r\n\r\n",
    ),
    Case("packed", post(body=gzip.compress(ONE), Content_Encoding="x-gzip")),
    Case("an expectation that comes with the body", post(Expect="100-continue")),
    Case("an expectation of nothing", post(body=b"", Expect="100-Continue"), 400),
    Case("another expectation", post(Expect="magic"), 417, **HTML),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_is_understood_and_its_connection_kept_or_not(wire, case):
    wire.send(case.request)
    status, headers, body = wire.answer()
    assert status == case.status, body
    assert case.kind in headers["content-type"]
    if case.kind == "application/json":
        answer = json.loads(body)
        assert (set(answer) == {"error"}) == (status != 200)
    assert wire.is_kept() == case.kept


def test_an_absolute_form_is_its_path(wire):
    """evhttp_request.cc: ParsedEvRequest::decode."""
    wire.send(get(f"http://example.org:81{V1}"))
    status, _, body = wire.answer()
    assert status == 200 and b"AVAILABLE" in body


def test_a_connection_of_http_1_0_is_kept_and_says_so(wire):
    """libevent's http.c."""
    for _ in range(3):
        wire.send(get(version="1.0", headers="Connection: keep-alive\r\n"))
        status, headers, _ = wire.answer()
        assert status == 200 and headers["connection"].lower() == "keep-alive"


def test_requests_that_come_together_are_answered_in_turn(wire):
    bodies = [b'{"inputs": [%d]}' % i for i in range(20)]
    wire.send(b"".join(post(body=body) for body in bodies))
    answers = [json.loads(wire.answer()[2]) for _ in bodies]
    assert answers == [{"outputs": [i / 2 + 2]} for i in range(20)]


def test_a_request_may_come_in_pieces(wire):
    data = post()
    for i in range(0, len(data), 7):
        wire.send(data[i : i + 7])
    assert wire.answer()[0] == 200 and wire.is_kept()


@pytest.mark.parametrize("data", [GET, post()], ids=["GET", "POST"])
def test_who_sends_nothing_more_gets_the_answer(wire, data):
    """libevent's http.c."""
    wire.send(data)
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.answer()[0] == 200
    assert wire.socket.recv(1) == b""


@pytest.mark.parametrize("data", [GET[:20], post()[:-1]], ids=["head", "body"])
def test_a_request_that_ends_too_early_gets_none(wire, data):
    wire.send(data)
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.socket.recv(1) == b""


def test_who_expects_it_is_told_to_go_on(wire):
    head = post(Expect="100-continue").removesuffix(ONE)
    wire.send(head)
    assert wire.answer()[0] == 100
    wire.send(ONE)
    assert wire.answer()[0] == 200


def test_head_is_refused_like_any_other_method(wire):
    wire.send(get(method="HEAD", headers="Connection: close\r\n"))
    assert wire.answer(head=True)[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Origin: http://example.org\r\n", 200),
        ("Origin: https://example.org:81\r\n", 200),
        ("Origin: null\r\n", 400),
        ("", 400),
    ],
)
@pytest.mark.parametrize("path", [f"{V1}:predict", "/v1/anything"])
def test_options_are_those_of_a_preflight(wire, headers, status, path):
    """http_server.cc, since 2.5."""
    wire.send(get(path, method="OPTIONS", headers=headers))
    found, _, body = wire.answer()
    assert (found, body) == (status, b"") and wire.is_kept()


@pytest.mark.parametrize("word", ["METADATA", "Metadata"])
def test_metadata_in_another_spelling_is_the_status(http, word):
    """http_rest_api_util.cc matches any case, http_rest_api_handler.cc heeds one."""
    assert set(http.get(f"{V1}/{word}").json()) == {"model_version_status"}


@pytest.mark.parametrize("number", ["9" * 5000, 2**63, 2**64 - 1])
def test_a_version_beyond_64_bits_is_refused(http, number):
    assert http.get(f"{MODEL}/versions/{number}").status_code == 400
    assert http.post(f"{MODEL}/versions/{number}:regress", json={}).status_code == 400


# Metrics.

PAGE = "/monitoring/prometheus/metrics"


def figures(http):
    """Each line's number, by its name with the labels."""
    response = http.get(PAGE)
    assert response.headers["content-type"] == "text/plain"
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_have_the_names_and_labels_that_dashboards_ask_for(http, predictions):
    """util.cc, recorded by http_server.cc, prediction_service_impl.cc and predict_util.cc."""
    before = figures(http)
    for x, name in ((1, NAME), (2, NAME), ("x", NAME), (1, "nobody's")):
        http.post(f"/v1/models/{name}:predict", json={"inputs": [x]})
    for path in (MODEL, "/v1/models"):
        http.get(path)
    examples = {"signature_name": "classify", "examples": [{"x": 1.0}] * 3}
    http.post(f"{V1}:classify", json=examples)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    predictions.Predict(request, 10)
    after = figures(http)
    change = {name: number - before.get(name, 0) for name, number in after.items()}
    prefix = ":tensorflow:serving:"
    expected = {
        f'request_count{{model_name="{NAME}",status="OK"}}': 5,
        f'request_count{{model_name="{NAME}",status="INVALID_ARGUMENT"}}': 1,
        'request_count{model_name="nobody\'s",status="NOT_FOUND"}': 1,
        'request_count{model_name="",status="INVALID_ARGUMENT"}': 1,
    }
    for api, entrypoint, count in (
        ("predict", "REST", 2),
        ("classify", "REST", 1),
        ("", "REST", 1),
        ("Predict", "GRPC", 1),
    ):
        labels = f'model_name="{NAME}",API="{api}",entrypoint="{entrypoint}"'
        expected[f"request_latency_count{{{labels}}}"] = count
        expected[f'request_latency_bucket{{{labels},le="+Inf"}}'] = count
    for api, count in (("Predict", 3), ("Classify", 1)):
        labels = f'model_name="{NAME}",API="{api}",runtime="TF1"'
        expected[f"runtime_latency_count{{{labels}}}"] = count
    assert {name: change.get(prefix + name) for name in expected} == expected


def test_the_examples_of_several_inferences_are_counted_once(http, predictions):
    """multi_inference.cc."""
    request = inference_pb2.MultiInferenceRequest()
    for name in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = NAME, name
        task.model_spec.version.value = 1
    for _ in range(5):
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1)
    names = [
        f':tensorflow:serving:request_example_count_total{{model="{NAME}"}}',
        f':tensorflow:serving:request_example_counts_sum{{model="{NAME}"}}',
        f':tensorflow:serving:request_example_counts_bucket{{model="{NAME}",le="4"}}',
        f':tensorflow:serving:request_example_counts_bucket{{model="{NAME}",le="8"}}',
    ]
    before = figures(http)
    predictions.MultiInference(request, 10)
    after = figures(http)
    assert [after[name] - before.get(name, 0) for name in names] == [5, 5, 0, 1]


def test_the_metrics_page_is_in_the_form_of_the_exporter(http):
    """prometheus_exporter.cc."""
    http.post(f"{MODEL}:predict", json={"inputs": [1]})
    lines = http.get(PAGE).text.splitlines()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", "\n".join(lines), re.M))
    ours = [name for name in kinds if name.startswith(":tensorflow:serving:request")]
    assert ours == sorted(ours)
    assert {name.rsplit(":", 1)[1]: kinds[name] for name in ours} == {
        "request_count": "counter",
        "request_example_count_total": "counter",
        "request_example_counts": "histogram",
        "request_latency": "histogram",
        "request_log_count": "counter",
    }
    assert kinds[":tensorflow:serving:model_warmup_latency"] == "histogram"
    start = f':tensorflow:serving:request_latency_bucket{{model_name="{NAME}",API="predict"'
    limits = [re.search('le="(.*)"', line)[1] for line in lines if line.startswith(start)]
    assert len(limits) == 34 and limits[:3] == ["10", "18", "32.4"]
    assert limits[-2:] == ["1.47476e+09", "+Inf"]


def test_the_metrics_have_one_address(http):
    """ProcessPrometheusRequest in http_server.cc."""
    response = http.get(f"{PAGE}?a=1")
    assert response.status_code == 400
    assert response.text == f"Unexpected path: {PAGE}?a=1. Should be {PAGE}"
    assert http.post(PAGE, content=b"any").status_code == 200
    assert http.get(PAGE.upper()).status_code == 404

"""What the conformance suites ask: our server, or the one that --target and --target-grpc name."""

import grpc
import httpx
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.model_server.config_files import read_models
from serving.model_server.server import Addresses, ModelServer
from serving.model_server.settings import Settings
from tests.fixtures.serving_models import Gate


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path / "gate")


@pytest.fixture(scope="module")
def target(request, half_plus_two):
    if url := request.config.getoption("--target"):
        yield Addresses(url.rstrip("/"), request.config.getoption("--target-grpc") or "")
        return
    settings = Settings(
        rest_port=0, grpc_port=0, allow_version_labels_for_unavailable_models=True, drain_seconds=60
    )
    server = ModelServer(settings, read_models(half_plus_two / "models.config"))
    server.start()
    yield server.addresses
    assert server.stop()


@pytest.fixture(scope="module")
def http(target):
    with httpx.Client(base_url=target.rest, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def channel(target):
    if not target.grpc:
        pytest.skip("--target-grpc is not given")
    with grpc.insecure_channel(target.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def states(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)

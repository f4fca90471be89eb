"""What deploys the model and the web application: every file is read by what will read it."""

import contextlib
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from dfdetect.__main__ import main
from serving.client import BATCH, ModelSpec, connect_all
from serving.model_server.config_files import METRICS_PATH, read_batching, read_metrics_path
from serving.model_server.server import start_in_thread
from tests.fixtures import ROOT
from tests.fixtures.described_model import Replica
from tests.fixtures.model_servers import Script, nobody_listens, scripted

DEPLOY = ROOT / "serving" / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
LOCK = (ROOT / "requirements" / "dev.lock").read_text()

# The flags of TensorFlow Serving that are used here:
# https://github.com/tensorflow/serving/blob/master/tensorflow_serving/model_servers/main.cc
STOCK_FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "rest_api_timeout_in_ms",
}


def flags(service: str) -> dict[str, str]:
    """Of a service's command, without the dashes."""
    given = [flag for flag in SERVICES[service]["command"] if flag.startswith("--")]
    return dict(flag.removeprefix("--").split("=", 1) for flag in given)


def test_compose_follows_the_compose_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_models_file_is_tensorflow_servings_message_with_both_labels():
    text = (DEPLOY / "models.config").read_text()
    read = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = read.model_config_list.config
    mounted = {volume["target"] for volume in SERVICES["model"]["volumes"]}
    assert model.name == "dfdetect" and model.base_path.rpartition("/")[0] in mounted
    assert model.model_platform == "tensorflow"
    assert set(model.version_labels) == {"stable", "canary"}
    loaded = set(model.model_version_policy.specific.versions)
    assert loaded and set(model.version_labels.values()) <= loaded


# tensorflow-serving-api has no message types for the two files that follow; the model server makes
# them from the fields of TensorFlow Serving's, and refuses any other field.
def test_the_batching_file_takes_the_clients_requests_and_its_sizes_fit_together():
    batching = read_batching(DEPLOY / "batching.pbtxt")
    sizes = batching.allowed_batch_sizes
    assert list(sizes) == sorted(set(sizes)) and sizes[-1] == batching.max_batch_size
    assert batching.max_batch_size >= BATCH
    cpus = SERVICES["model"]["deploy"]["resources"]["limits"]["cpus"]
    assert batching.num_batch_threads == int(cpus)


def test_the_monitoring_file_turns_the_metrics_on_where_prometheus_looks():
    assert read_metrics_path(DEPLOY / "monitoring.pbtxt") == METRICS_PATH


def test_the_stock_server_is_of_the_tensorflow_that_exports_and_gets_flags_that_it_has():
    (version,) = re.findall(r"^tensorflow-serving-api==(\S+)", LOCK, re.M)
    assert SERVICES["model"]["image"] == f"tensorflow/serving:{version}"
    assert re.search(rf"^tensorflow-cpu=={re.escape(version)} ", LOCK, re.M)
    assert set(flags("model")) == STOCK_FLAGS


def test_every_file_that_the_compose_file_names_is_there():
    (config,) = [v for v in SERVICES["model"]["volumes"] if v["target"] == "/config"]
    folder = DEPLOY / config["source"]
    named = [value for value in flags("model").values() if value.startswith("/config/")]
    assert len(named) == 3
    assert [name for name in named if not (folder / name.removeprefix("/config/")).is_file()] == []
    build = SERVICES["web"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert ModelSpec.parse(flags("web")["model-name"]) == ModelSpec("dfdetect", label="stable")


def test_the_web_application_knows_the_flags_it_is_given(capsys):
    assert SERVICES["web"]["command"][0] == "web"
    with pytest.raises(SystemExit):
        main(["web", "--help"])
    said = capsys.readouterr().out
    assert [flag for flag in flags("web") if f"--{flag} " not in said] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_limits_and_no_privileges(name):
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"] and "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_model_is_mounted_read_only_and_reached_by_the_web_application_alone():
    for name in ("model", "balancer"):
        assert all(volume["read_only"] for volume in SERVICES[name]["volumes"])
        assert SERVICES[name]["networks"] == ["inside"] and "ports" not in SERVICES[name]
    networks = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["networks"]
    assert networks["inside"] == {"internal": True}


def healthy(service: str, url: str) -> bool:
    """What the service's own health check says of a server at another port."""
    _, *command = SERVICES[service]["healthcheck"]["test"]
    port = {"model": "8501", "balancer": "8404", "web": "8080"}[service]
    command[-1] = command[-1].replace(port, url.rpartition(":")[2])
    command[0] = sys.executable if command[0] == "python" else command[0]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def test_the_models_health_check_waits_for_a_model_that_is_loading(exported):
    state = {"model_version_status": [{"version": "1", "state": "LOADING"}]}
    with scripted(Script((200, state))) as url:
        assert not healthy("model", url)
    with nobody_listens() as address:
        assert not healthy("model", f"http://{address}")
    with start_in_thread(exported.parent) as url:
        assert healthy("model", url)


def test_the_load_balancers_health_check_asks_for_its_health():
    script = Script((200, "ok"), (503, "no server"))
    with scripted(script) as url:
        assert healthy("balancer", url) and not healthy("balancer", url)
    assert script.paths == ["/healthz"] * 2


BALANCER = (DEPLOY / "haproxy.cfg").read_text()


def test_the_load_balancer_has_room_for_the_replicas_and_is_asked_where_it_listens():
    (room,) = set(re.findall(r"server-template model (\d+) model:", BALANCER))
    assert int(room) >= 16 and SERVICES["model"]["deploy"]["replicas"] == "${REPLICAS:-1}"
    listening = set(re.findall(r"bind :(\d+)", BALANCER))
    assert listening == {"8501", "8500", "8404"}
    assert flags("web")["model-server"] == "http://balancer:8501"
    (mounted,) = SERVICES["balancer"]["volumes"]
    assert (DEPLOY / mounted["source"]).read_text() == BALANCER


def test_the_load_balancer_asks_for_the_version_that_the_web_application_asks_for():
    name = flags("web")["model-name"]
    assert re.findall(r"http-check send meth GET uri (\S+)", BALANCER) == [
        f"/v1/models/{name}/metadata"
    ]


def balanced(urls: Sequence[str], sockets: Mapping[str, socket.socket]) -> str:
    """The load balancer's configuration for servers at other addresses, at sockets that are open;
    REST alone."""
    servers = "".join(f"    server s{n} {url[7:]}\n" for n, url in enumerate(urls))
    text = re.sub(r" *server-template model 16 model:8501\n", servers, BALANCER)
    text = re.sub(r"(?ms)^frontend grpc.*(?=^frontend health)", "", text)
    return re.sub(r"bind :(\d+)", lambda bind: f"bind fd@{sockets[bind[1]].fileno()}", text)


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")
def test_the_load_balancer_takes_its_file_and_shares_the_requests(tmp_path):
    command = ["haproxy", "-q", "-c", "-f", str(DEPLOY / "haproxy.cfg")]
    assert subprocess.run(command, capture_output=True).stderr == b""
    replicas = [Replica(), Replica()]
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(scripted(replica)) for replica in replicas]
        ports = ("8501", "8404")
        sockets = {p: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for p in ports}
        rest, health = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in sockets.values())
        (tmp_path / "haproxy.cfg").write_text(balanced(urls, sockets))
        process = subprocess.Popen(
            ["haproxy", "-f", str(tmp_path / "haproxy.cfg")],
            stdout=subprocess.DEVNULL,
            pass_fds=[one.fileno() for one in sockets.values()],
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        model = stack.enter_context(connect_all([rest]))
        assert [model.predict([[b"x"]])[0].probability_fake for _ in range(20)] == [0.1] * 20
        assert healthy("balancer", health)
    assert min(replica.predictions for replica in replicas) >= 5


def test_the_web_applications_health_check_asks_for_its_health():
    script = Script((200, "ok"), (503, "ending"))
    with scripted(script) as url:
        assert healthy("web", url) and not healthy("web", url)
    assert script.paths == ["/healthz"] * 2


def stages() -> list[str]:
    """Of the image's recipe, without comments, a text for each FROM."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    return re.split(r"^(?=FROM )", text, flags=re.M)[1:]


def test_the_image_is_made_of_the_projects_files():
    built, _ = stages()
    copied = re.findall(r"^COPY (.+) \S+$", built, re.M)
    sources = [source.rstrip("/") for line in copied for source in shlex.split(line)]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in sources} == {line for line in sent if line[:1] == "!"}


def test_the_image_that_is_run_has_no_build_tools_and_no_user_with_rights():
    built, final = stages()
    assert "binutils" not in final and "pip" not in final and "pip uninstall --yes pip" in built
    assert re.findall(r"^COPY (.*)$", final, re.M) == ["--from=build /opt/dfdetect /opt/dfdetect"]
    (user,) = re.findall(r"^USER (\d+)$", final, re.M)
    assert int(user) > 0 and f"useradd --create-home --uid {user} web" in final
    assert 'ENTRYPOINT ["dfdetect"]' in final and flags("web")["folder"] == "/uploads"


def test_the_image_has_the_health_check_of_the_web_application():
    (words,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", stages()[1], re.M)
    compose = SERVICES["web"]["healthcheck"]["test"]
    assert ["CMD", *json.loads(words)] == compose

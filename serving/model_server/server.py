"""Lifecycle of a model server: both APIs over one set of models, start, drain and stop."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from serving.model_server.batching import Batcher
from serving.model_server.config_files import read_models
from serving.model_server.core import Core
from serving.model_server.grpc_service import make_server, set_health
from serving.model_server.http_server import HttpServer
from serving.model_server.prometheus import Metrics
from serving.model_server.rest import RestApi
from serving.model_server.settings import Settings
from serving.model_server.status import StatusError
from serving.model_server.version_policy import one_model
from serving.model_server.versions import Loading, Models
from serving.sockets import address, listen

log = logging.getLogger(__name__)
# While a server ends, how long it still answers: those who kept a connection open are told to
# close it with their next answer, rather than finding it closed under a request.
_LAST_ANSWERS_S = 0.3


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Where a server listens: the URL of its REST API, and host:port of its gRPC API ("": off)."""

    rest: str
    grpc: str


class ModelServer:
    """Call `start`, then `stop`, once each."""

    def __init__(self, settings: Settings, config: config_pb2.ModelServerConfig):
        """Takes the ports. Raises OSError, ValueError."""
        self._settings, self._config = settings, config
        batching, metrics_path = settings.batching(), settings.metrics_path()
        threads = settings.thread_count(batching)
        loading = Loading(
            poll_wait_s=settings.file_system_poll_wait_seconds,
            max_retries=settings.max_num_load_retries,
            retry_interval_s=settings.load_retry_interval_seconds,
            warmup=settings.enable_model_warmup,
            labels_for_unavailable=settings.allow_version_labels_for_unavailable_models,
        )
        self._listener = listen(settings.host, settings.rest_port, "--rest-port")
        self.metrics = Metrics(lambda name: name in self.models)
        self.models = Models(loading, self.metrics)
        self._batcher = Batcher(batching, self.metrics) if batching else None
        core = Core(self.models, self._batcher, self.metrics)
        self._rest = RestApi(
            core,
            threads,
            settings.rest_timeout_ms / 1e3,
            settings.max_in_flight,
            settings.max_body_mb << 20,
            metrics_path,
        )
        self._grpc, self._health = make_server(core, threads, settings.max_in_flight)
        self._http = HttpServer(self._listener, self._rest.open)
        self._config_thread = threading.Thread(
            target=self._watch_config, name="model-config", daemon=True
        )
        self._ending = threading.Event()
        try:
            self.addresses = Addresses(self._rest_url(), self._take_grpc_port())
        except BaseException:
            self._release()
            raise

    def _rest_url(self) -> str:
        return f"http://{address(self._settings.host, self._listener.getsockname()[1])}"

    def _take_grpc_port(self) -> str:
        host, port = self._settings.host, self._settings.grpc_port
        if port < 0:
            return ""
        try:
            return address(host, self._grpc.add_insecure_port(address(host, port)))
        except RuntimeError as error:
            raise OSError(
                f"{address(host, port)}: cannot listen there. Give another --grpc-port."
            ) from error

    def start(self) -> None:
        """Returns when all models answer. Raises StatusError where one does not."""
        try:
            self.models.start(self._config)
        except BaseException:
            self._release()
            raise
        if self.addresses.grpc:
            self._grpc.start()
        set_health(self._health, True)
        self._http.start()
        if self._settings.model_config_file_poll_wait_seconds:
            self._config_thread.start()

    def stop(self, last_answers_s: float = _LAST_ANSWERS_S) -> bool:
        """Takes no more requests after `last_answers_s`, and answers those that are under way.

        Whether all were answered within --drain-seconds.
        """
        end = time.monotonic() + last_answers_s + self._settings.drain_seconds
        self._ending.set()
        set_health(self._health, False)
        self._http.draining = True
        time.sleep(last_answers_s)
        stopped = self._grpc.stop(self._settings.drain_seconds)
        self._http.stop(self._settings.drain_seconds)
        stopped.wait()
        if not self._rest.close(max(0.0, end - time.monotonic())) or time.monotonic() > end:
            return False
        self._release()
        return True

    def _release(self) -> None:
        self._grpc.stop(None)
        self._http.stop(0)
        self._listener.close()
        self._rest.close(0)
        if self._batcher:
            self._batcher.close()
        self.models.close()

    def _watch_config(self) -> None:
        """Serves what --model-config-file says when it changes."""
        path, served = self._settings.model_config_file, self._config
        while not self._ending.wait(self._settings.model_config_file_poll_wait_seconds):
            try:
                config = read_models(path)
                if config != served:
                    self.models.reload(config)
                    log.info("%s: read again", path)
                served = config
            except (OSError, ValueError, StatusError) as error:
                log.error("%s: not taken over: %s", path, error)


@contextlib.contextmanager
def serve_in_thread(
    folder: str | Path, name: str = "dfdetect", **settings: Any
) -> Iterator[Addresses]:
    """Serves a model on free ports of this machine while the context lasts.

    `folder` holds numbered versions, or is one. `settings` are fields of Settings; without
    `grpc_port` there is one, `grpc_port=-1` leaves it out. Raises StatusError, OSError, ValueError.
    """
    ports = {"rest_port": 0, "grpc_port": 0, "drain_seconds": 10.0}
    server = ModelServer(Settings(**{**ports, **settings}), one_model(name, Path(folder)))
    server.start()
    try:
        yield server.addresses
    finally:
        server.stop(last_answers_s=0)


@contextlib.contextmanager
def start_in_thread(folder: str | Path, name: str = "dfdetect") -> Iterator[str]:
    """The URL of a model's REST API, which lasts as long as the context; see serve_in_thread."""
    with serve_in_thread(folder, name, grpc_port=-1) as addresses:
        yield addresses.rest

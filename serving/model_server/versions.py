"""Lifecycle of the served models' versions: discovery, load, warm-up, roll-over, unload.

A base folder is looked at again and again. A version that appears is loaded and warmed up, then
becomes the one that answers, and only then are others unloaded, each after the last request that
uses it: there is no moment without an answer (AvailabilityPreservingPolicy,
https://www.tensorflow.org/tfx/serving/architecture).
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import gc
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from grpc import StatusCode
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from pipelines.model_contract import numbered_versions
from serving.model_server.prometheus import Metrics
from serving.model_server.servable import Servable
from serving.model_server.status import StatusError, as_status, invalid
from serving.model_server.version_policy import check_config, choose
from serving.model_server.warmup import warm_up

log = logging.getLogger(__name__)


class State(enum.StrEnum):
    """As in GetModelStatusResponse."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclasses.dataclass(frozen=True)
class Loading:
    """How versions are found and loaded."""

    poll_wait_s: float = 1.0
    max_retries: int = 5
    retry_interval_s: float = 60.0
    warmup: bool = True
    labels_for_unavailable: bool = False


@dataclasses.dataclass(eq=False)
class Version:
    number: int
    path: Path
    state: State = State.START
    error: StatusError | None = None
    servable: Servable | None = None
    users: int = 0  # requests that use it now
    failures: int = 0
    retry_at: float = 0.0


@dataclasses.dataclass(eq=False)
class _Model:
    config: config_pb2.ModelConfig | None  # None: no longer to be served
    versions: dict[int, Version] = dataclasses.field(default_factory=dict)
    unreadable: bool = False  # the base folder, when it was looked at last

    def available(self) -> list[Version]:
        """The highest first."""
        ready = [v for v in self.versions.values() if v.state is State.AVAILABLE]
        return sorted(ready, key=lambda v: -v.number)


class Models:
    """All models of a server."""

    def __init__(self, loading: Loading, metrics: Metrics):
        self._loading, self._metrics = loading, metrics
        self._models: dict[str, _Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()  # of the two above; never held while a model loads
        self._changing = threading.Lock()  # one change of what is loaded at a time
        self._wake = threading.Event()
        self._closing = False
        self._garbage = False
        self._thread = threading.Thread(target=self._watch, name="model-versions", daemon=True)

    def start(self, config: config_pb2.ModelServerConfig) -> None:
        """Loads what the config names, then watches its folders.

        Raises StatusError where a model has no version that can be served.
        """
        self.reload(config)
        self._thread.start()

    def close(self) -> None:
        """Ends the watching and lets go of all models."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._models.clear()
        gc.collect()

    def __contains__(self, name: str) -> bool:
        model = self._models.get(name)
        return model is not None and model.config is not None

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """The version that answers such a request; it stays loaded within the context.

        Raises StatusError with the words of server_core.cc and basic_manager.cc.
        """
        with self._lock:
            version_in_use = self._find(name, version, label)
            version_in_use.users += 1
        try:
            assert version_in_use.servable is not None
            yield version_in_use.servable
        finally:
            with self._lock:
                version_in_use.users -= 1
                if version_in_use.state is State.UNLOADING and not version_in_use.users:
                    self._end(name, version_in_use)

    def _find(self, name: str, number: int | None, label: str | None) -> Version:
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label is not None:
            number = self._labels.get(name, {}).get(label)
            if number is None:
                raise invalid(f"Unrecognized servable version label: {label}")
        model = self._models.get(name, _Model(None))
        ready = [v for v in model.available() if number in (None, v.number)]
        if not ready:
            request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise StatusError(StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
        return ready[0]

    def statuses(self, name: str, number: int | None = None) -> list[Version]:
        """Copies, the highest first. Raises StatusError (get_model_status_impl.cc)."""
        with self._lock:
            model = self._models.get(name, _Model(None))
            versions = [dataclasses.replace(v) for v in model.versions.values()]
        versions = [v for v in versions if number in (None, v.number)]
        if not versions:
            what = "any versions" if number is None else f"version {number}"
            raise StatusError(StatusCode.NOT_FOUND, f"Could not find {what} of model {name}")
        return sorted(versions, key=lambda v: -v.number)

    def ready(self) -> bool:
        """Whether each model has a version that answers."""
        with self._lock:
            wanted = [m for m in self._models.values() if m.config is not None]
            return bool(wanted) and all(m.available() for m in wanted)

    def reload(self, config: config_pb2.ModelServerConfig) -> None:
        """Serves these models instead; returns when new models answer, and before new versions
        of known ones do. Raises StatusError: where the config is refused all stays as it was.

        So it does where the config says nothing (server_core.cc, 2.20): a file that is being
        written is empty for a moment.
        """
        if config.WhichOneof("config") is None:
            return
        check_config(config)
        models = {m.name: m for m in config.model_config_list.config}
        with self._changing:
            labels = self._check_labels(models)
            with self._lock:
                new = [name for name in models if name not in self]
                for name, model in self._models.items():
                    model.config = models.get(name)
                for name in new:
                    self._models.setdefault(name, _Model(None)).config = models[name]
                self._labels = labels
            failed = [self._first_load(name) for name in new]
        self._wake.set()
        for error in failed:
            if error is not None:
                raise error

    def _check_labels(self, models: dict[str, config_pb2.ModelConfig]) -> dict[str, dict[str, int]]:
        """Name -> label -> number. A label may only move to a version that answers (see
        --allow-version-labels-for-unavailable-models in serving_config)."""
        for name, config in models.items():
            ready = {v.number for v in self._models.get(name, _Model(None)).available()}
            for label, number in config.version_labels.items():
                now = self._labels.get(name, {}).get(label)
                fresh = now is None and self._loading.labels_for_unavailable
                if number not in ready and now != number and not fresh:
                    raise StatusError(
                        StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is "
                        "not currently available for inference",
                    )
        return {name: dict(config.version_labels) for name, config in models.items()}

    def _first_load(self, name: str) -> StatusError | None:
        """What is wrong where no version of a new model answers."""
        model = self._models[name]
        assert model.config is not None
        base = model.config.base_path
        self._reconcile(name, model)
        if model.available():
            return None
        broken = [v for v in model.versions.values() if v.error is not None]
        if broken:
            return StatusError(
                StatusCode.UNKNOWN,
                f"Some models did not become available: {name} version {broken[0].number}: "
                f"{broken[0].error}",
            )
        return StatusError(
            StatusCode.NOT_FOUND,
            f"{base}: holds no version of model {name} that its policy asks for: a numbered "
            "folder with saved_model.pb. Make one with `dfdetect export`.",
        )

    def _watch(self) -> None:
        while not self._closing:
            self._wake.wait(self._loading.poll_wait_s)
            self._wake.clear()
            with self._changing:
                for name, model in list(self._models.items()):
                    if not self._closing:
                        self._reconcile(name, model)
            if self._garbage:
                self._garbage = False
                gc.collect()  # a model's functions refer to each other

    def _reconcile(self, name: str, model: _Model) -> None:
        """Loads what is wanted and not there, then unloads what is there and not wanted."""
        wanted: dict[int, Path] = {}
        if model.config is not None:
            try:
                versions = numbered_versions(Path(model.config.base_path))
            except OSError as error:  # a disk that is away for a moment: all stays as it is
                if not model.unreadable:
                    log.error("%s: cannot look for versions: %s", model.config.base_path, error)
                model.unreadable = True
                return
            model.unreadable = False
            wanted = choose(model.config.model_version_policy, versions)
        for number in sorted(wanted):
            with self._lock:
                version = _to_load(model, number, wanted[number])
            if version is not None:
                self._load(name, version)
        with self._lock:
            self._retire(name, model, wanted)

    def _load(self, name: str, version: Version) -> None:
        version.state = State.LOADING
        started = time.monotonic()
        try:
            servable = Servable(name, version.number, version.path)
            loaded = time.monotonic()
            answered = warm_up(servable) if self._loading.warmup else 0
        except Exception as error:
            self._metrics.count_load(str(version.path), None)
            version.error = as_status(error)
            version.failures += 1
            again = version.failures <= self._loading.max_retries
            version.retry_at = (
                time.monotonic() + self._loading.retry_interval_s if again else float("inf")
            )
            version.state = State.END
            log.error("%s: cannot be served: %s", version.path, version.error)
            return
        self._metrics.count_load(str(version.path), loaded - started)
        if answered:
            self._metrics.observe_warmup(str(version.path), time.monotonic() - loaded)
        with self._lock:
            version.servable, version.state = servable, State.AVAILABLE
        log.info("%s: serving; %d warm-up requests answered", version.path, answered)

    def _retire(self, name: str, model: _Model, wanted: dict[int, Path]) -> None:
        for version in model.versions.values():
            if version.number not in wanted and version.state is State.END:
                version.retry_at = 0.0  # a folder that comes back is a new one
                version.failures = 0
        if wanted and not any(v.number in wanted for v in model.available()):
            return
        for version in model.available():
            if version.number not in wanted:
                version.state = State.UNLOADING
                if not version.users:
                    self._end(name, version)

    def _end(self, name: str, version: Version) -> None:
        version.servable, version.state = None, State.END
        self._garbage = True
        log.info("%s: unloaded", version.path)


def _to_load(model: _Model, number: int, path: Path) -> Version | None:
    """The version's entry where it must be loaded now."""
    earlier = model.versions.get(number)
    if earlier is not None:
        if earlier.state is not State.END or time.monotonic() < earlier.retry_at:
            return None
    fresh = Version(number, path, failures=earlier.failures if earlier else 0)
    model.versions[number] = fresh
    return fresh

"""Settings of a model server; its flags are derived from them."""

from __future__ import annotations

import dataclasses
import os
from typing import ClassVar

from pipelines.flags import check_fields, option
from serving.model_server.config_files import (
    METRICS_PATH,
    Batching,
    read_batching,
    read_metrics_path,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Raises ValueError for a value that is out of bounds."""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "rest_port": (0, 65535),
        "grpc_port": (-1, 65535),
        "file_system_poll_wait_seconds": (0.05, 3600),
        "model_config_file_poll_wait_seconds": (0, 86400),
        "max_num_load_retries": (0, 1000),
        "load_retry_interval_seconds": (0, 86400),
        "rest_timeout_ms": (1, 86_400_000),
        "threads": (0, 1024),
        "max_in_flight": (1, 100_000),
        "max_body_mb": (1, 2047),
        "drain_seconds": (0, 3600),
    }

    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    rest_port: int = option(8501, "port of the REST API; 0 takes a free one")
    grpc_port: int = option(8500, "port of the gRPC API; 0 takes a free one, -1 leaves it out")
    model_config_file: str = option("", "text proto of the models to serve, instead of one")
    model_config_file_poll_wait_seconds: float = option(
        0.0, "how often that file is read again; 0 for never"
    )
    batching_parameters_file: str = option(
        "", "text proto of how requests of several callers become one batch; turns batching on"
    )
    enable_batching: bool = option(False, "batch without a file, by TensorFlow Serving's defaults")
    monitoring_config_file: str = option(
        "", "text proto of where the metrics are; without it, where TensorFlow Serving has them"
    )
    file_system_poll_wait_seconds: float = option(1.0, "how often versions are looked for")
    max_num_load_retries: int = option(5, "how often a version that fails to load is tried again")
    load_retry_interval_seconds: float = option(60.0, "how long before that")
    allow_version_labels_for_unavailable_models: bool = option(
        False, "let a new label point at a version that is not loaded yet"
    )
    enable_model_warmup: bool = option(True, "send a model the requests it brings along")
    rest_timeout_ms: int = option(30_000, "how long a REST request may take")
    threads: int = option(
        0,
        "requests that each API works on at once, small and large bodies over REST apart; 0: four "
        "for each CPU, or with batching as many as it can hold, up to 256",
    )
    max_in_flight: int = option(256, "requests that each API takes at once; more are refused")
    max_body_mb: int = option(256, "largest body of a REST request")
    drain_seconds: float = option(30.0, "how long SIGTERM waits for requests that are under way")

    def __post_init__(self) -> None:
        check_fields(self)

    def batching(self) -> Batching | None:
        """None where each request is computed alone. Raises ValueError, OSError."""
        if self.batching_parameters_file:
            return read_batching(self.batching_parameters_file)
        return Batching() if self.enable_batching else None

    def metrics_path(self) -> str | None:
        """None where there are to be no metrics. Raises ValueError, OSError."""
        if self.monitoring_config_file:
            return read_metrics_path(self.monitoring_config_file)
        return METRICS_PATH

    def thread_count(self, batching: Batching | None) -> int:
        if self.threads:
            return self.threads
        alone = 4 * (os.cpu_count() or 1)
        if batching is None:
            return alone
        batches = batching.max_enqueued_batches + batching.num_batch_threads + 1
        return max(alone, min(256, batches * batching.max_batch_size))

"""Configuration files of TensorFlow Serving: text protos of models, batching and monitoring.

https://www.tensorflow.org/tfx/serving/serving_config

`ModelServerConfig` comes with the package tensorflow-serving-api. The other two messages do not, so
their types are made here, from the fields of session_bundle_config.proto and
monitoring_config.proto; the text format knows fields by their names.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

_PACKAGE = "dfdetect.serving"
# Message -> its fields, numbered from 1 on. A wrapper tells a value left out from a 0.
_MESSAGES: dict[str, dict[str, Any]] = {
    "BatchingParameters": {
        "max_batch_size": wrappers.Int64Value,
        "batch_timeout_micros": wrappers.Int64Value,
        "max_enqueued_batches": wrappers.Int64Value,
        "num_batch_threads": wrappers.Int64Value,
        "thread_pool_name": wrappers.StringValue,
        "allowed_batch_sizes": [int],
        "pad_variable_length_inputs": bool,
        "enable_large_batch_splitting": wrappers.BoolValue,
        "max_execution_batch_size": wrappers.Int64Value,
    },
    "PrometheusConfig": {"enable": bool, "path": str},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
}
_SCALARS = {
    bool: descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    int: descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    str: descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}


def _message_types() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="dfdetect/serving_config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            repeated = isinstance(kind, list)
            kind = kind[0] if repeated else kind
            entry = message.field.add(name=field, number=number)
            entry.label = entry.LABEL_REPEATED if repeated else entry.LABEL_OPTIONAL
            if kind in _SCALARS:
                entry.type = _SCALARS[kind]
                continue
            entry.type = entry.TYPE_MESSAGE
            inner = isinstance(kind, str)
            entry.type_name = f".{_PACKAGE}.{kind}" if inner else f".{kind.DESCRIPTOR.full_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_TYPES = _message_types()


def _parse(path: str | os.PathLike, message: Any) -> Any:
    """Raises ValueError, with line and column, where the file is no such message; OSError."""
    try:
        return text_format.Parse(Path(path).read_text(), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        name = message.DESCRIPTOR.name
        raise ValueError(f"{path}: not a {name} in text format ({error}).") from error


def read_models(path: str | os.PathLike) -> model_server_config_pb2.ModelServerConfig:
    """The file of --model-config-file. Raises ValueError, OSError."""
    return _parse(path, model_server_config_pb2.ModelServerConfig())


@dataclasses.dataclass(frozen=True)
class Batching:
    """How requests of several callers become one batch; the defaults are TensorFlow Serving's.

    Raises ValueError where sizes do not fit together.
    """

    max_batch_size: int = 1000  # rows
    batch_timeout_micros: int = 0  # how long a batch that is not full waits for others
    max_enqueued_batches: int = 10  # of one signature of one version
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()  # a batch is padded to the next of these
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0  # 0: as max_batch_size; counts with splitting only

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.batch_timeout_micros < 0:
            raise ValueError(f"batch_timeout_micros is {self.batch_timeout_micros}; at least 0.")
        if not 0 <= self.max_execution_batch_size <= self.max_batch_size:
            raise ValueError(
                f"max_execution_batch_size is {self.max_execution_batch_size}; it must be from 1 "
                f"to max_batch_size, {self.max_batch_size}."
            )
        sizes = self.allowed_batch_sizes
        if sizes and (sorted(set(sizes)) != list(sizes) or sizes[0] < 1):
            raise ValueError(f"allowed_batch_sizes {list(sizes)} must be in increasing order.")
        if sizes and sizes[-1] != self.largest:
            raise ValueError(
                f"The last of allowed_batch_sizes is {sizes[-1]}; it must equal the largest "
                f"batch, {self.largest}."
            )

    @property
    def largest(self) -> int:
        """Rows of the largest batch that is ever computed at once."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size:
            return self.max_execution_batch_size
        return self.max_batch_size


def read_batching(path: str | os.PathLike) -> Batching:
    """The file of --batching-parameters-file. Raises ValueError, OSError."""
    message = _parse(path, _TYPES["BatchingParameters"]())
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            values[field.name] = value.value
        else:
            values[field.name] = tuple(value) if field.name == "allowed_batch_sizes" else value
    try:
        return Batching(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


METRICS_PATH = "/monitoring/prometheus/metrics"


def read_metrics_path(path: str | os.PathLike) -> str | None:
    """Where the file of --monitoring-config-file wants the metrics; None where it does not.

    Raises ValueError, OSError.
    """
    prometheus = _parse(path, _TYPES["MonitoringConfig"]()).prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else None

"""Which versions of a model are to be served: numbered folders, and the policy that picks.

https://www.tensorflow.org/tfx/serving/serving_config, file_system_storage_path_source.cc
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from serving.model_server.status import invalid


def list_versions(base: Path) -> dict[int, Path]:
    """Number -> folder, the highest first; a folder that is a SavedModel is its only version.

    A number beyond 64 bits, such as a date with microseconds, is none: the protocol has no place
    for it.

    Raises OSError where the base folder cannot be read.
    """
    if (base / "saved_model.pb").is_file():
        return {int(base.name) if base.name.isdecimal() else 1: base}
    folders = sorted(p for p in base.iterdir() if p.name.isdecimal() and p.is_dir())
    found = {int(p.name): p for p in folders if p.name.isascii() and int(p.name) < 2**63}
    return {number: found[number] for number in sorted(found, reverse=True)}


def choose(policy: Any, found: Mapping[int, Path]) -> dict[int, Path]:
    """Those that the config's `model_version_policy` wants; without one, the highest."""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return dict(found)
    if kind == "specific":
        return {n: path for n, path in found.items() if n in policy.specific.versions}
    count = max(1, policy.latest.num_versions)
    return dict(sorted(found.items(), reverse=True)[:count])


def one_model(name: str, base: Path) -> model_server_config_pb2.ModelServerConfig:
    """The config of --model-name and --model-base."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=str(base.resolve()), model_platform="tensorflow"
    )
    return config


def check_config(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Raises StatusError where a config cannot be served."""
    names = set()
    for model in config.model_config_list.config:
        if not model.name or model.name in names:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )
        if model.model_platform not in ("", "tensorflow"):
            raise invalid(
                f"Model {model.name} requests unsupported platform {model.model_platform}"
            )

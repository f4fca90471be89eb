"""Version policy of a model server: which versions of a model, numbered folders, are served.

https://www.tensorflow.org/tfx/serving/serving_config, file_system_storage_path_source.cc
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from serving.model_server.status import invalid

_TENSORFLOW = "tensorflow"


def choose(policy: Any, versions: Mapping[int, Path]) -> dict[int, Path]:
    """Those that the config's `model_version_policy` wants; without one, the highest."""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return dict(versions)
    if kind == "specific":
        return {n: path for n, path in versions.items() if n in policy.specific.versions}
    count = max(1, policy.latest.num_versions)
    return dict(sorted(versions.items(), reverse=True)[:count])


def one_model(name: str, base: Path) -> model_server_config_pb2.ModelServerConfig:
    """The config of --model-name and --model-base."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=str(base.resolve()), model_platform=_TENSORFLOW
    )
    return config


def check_config(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Raises StatusError where a config cannot be served (model_servers/server_core.cc, 2.20)."""
    models = config.model_config_list.config
    names = set()
    for model in models:
        if not model.name or model.name in names:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in models:
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )
    for model in models:
        platform = _platform(model)
        if platform != _TENSORFLOW:
            raise invalid(f"Model {model.name} requests unsupported platform {platform}")


def _platform(model: model_server_config_pb2.ModelConfig) -> str:
    old, platform = model.model_type, model.model_platform
    if old and platform:
        raise invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform."
        )
    if old == model_server_config_pb2.TENSORFLOW:
        return _TENSORFLOW
    if old:
        raise invalid(f"ModelServerConfig::model_type choice {old} not supported.")
    if not platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform."
        )
    return platform

"""Where models are: a folder, or servers that share the work, as people name them in flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.exported_model import ExportedModel
from pipelines.model_contract import model_folder
from serving.client.connect import check_addresses, connect_all, is_server
from serving.client.in_process import load_model
from serving.client.model import Model
from serving.client.spec import ModelSpec

_NAMED = "/v1/models/"  # as in the URLs of TensorFlow Serving's REST API


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model. places: its folder, or the addresses of servers that share the work. name: what
    servers call it, as ModelSpec has it."""

    places: tuple[str, ...]
    name: str = "dfdetect"

    @classmethod
    def parse(cls, text: str, name: str = "dfdetect") -> ModelSource:
        """From a folder, or an address with or without a model's name. Raises ValueError."""
        if not is_server(text):
            return cls((text,), name)
        address, named, own = text.partition(_NAMED)
        name = str(ModelSpec.parse(own.rstrip("/"))) if named else name
        check_addresses([address])
        return cls((address.rstrip("/"),), name)

    @property
    def is_server(self) -> bool:
        return is_server(self.places[0])

    def exported(self) -> ExportedModel:
        """What is in the folder. Raises FileNotFoundError."""
        name = ModelSpec.parse(self.name).name
        return ExportedModel.open(model_folder(Path(self.places[0]), name))

    def pinned(self, version: str) -> ModelSource:
        """For who asks later: this version, NAME/NUMBER, whatever servers roll out meanwhile."""
        if not self.is_server:
            return self
        name, _, number = version.rpartition("/")
        return dataclasses.replace(self, name=f"{name}/versions/{number}")

    def open(self, wait_s: float = 0.0) -> Model:
        """wait_s: how long to wait for a server that is still starting. Raises FileNotFoundError,
        ModelServerError."""
        if not self.is_server:
            return load_model(self.exported())
        model = connect_all(self.places, self.name)
        if wait_s > 0:
            model.wait_ready(wait_s)
        return model


def model_sources(
    models: Sequence[str], servers: Sequence[str] = (), name: str = "dfdetect"
) -> list[ModelSource]:
    """models: of --model, each another one. servers: of --model-server, of one model; it is the
    first. name: of --model-name.

    Raises UsageError where one is given twice, or a name or an address is none.
    """
    try:
        ModelSpec.parse(name)
        sources = [ModelSource.parse(text, name) for text in models]
        check_addresses(servers)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if servers:
        sources.insert(0, ModelSource(tuple(server.rstrip("/") for server in servers), name))
    for number, source in enumerate(sources):
        if source in sources[:number]:
            raise UsageError(
                f"The model at {source.places[0]} is given twice. Give each model once; servers "
                "that share the work of one are given by --model-server."
            )
    return sources

"""Connection to a model server: the client for the protocol of an address."""

from __future__ import annotations

from pipelines.model_contract import BATCH
from serving.client.grpc import GrpcClient
from serving.client.remote import RemoteModel
from serving.client.rest import RestClient
from serving.client.retry import RETRIES, TIMEOUT_S

REST, GRPC = ("http://", "https://"), "grpc://"


def is_server(address: str) -> bool:
    """Whether it is the address of a model server, not a folder."""
    return address.startswith((*REST, GRPC))


def connect(
    address: str,
    name: str = "dfdetect",
    timeout_s: float = TIMEOUT_S,
    retries: int = RETRIES,
    batch: int = BATCH,
) -> RemoteModel:
    """A client of the model `name` at http(s)://HOST:PORT (REST) or grpc://HOST:PORT (gRPC).

    name: NAME for its highest version, NAME/versions/NUMBER or NAME/labels/LABEL. The others are
    those of RemoteModel. Nothing is sent yet. Raises ValueError for another address or name.
    """
    if address.startswith(GRPC):
        place = address.removeprefix(GRPC).rstrip("/")
        return GrpcClient(place, name, timeout_s, retries, batch)
    if address.startswith(REST):
        return RestClient(address, name, timeout_s, retries, batch)
    raise ValueError(
        f"{address!r} is no address of a model server; expected http://HOST:PORT for REST or "
        "grpc://HOST:PORT for gRPC."
    )

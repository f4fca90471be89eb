"""Connection to model servers: the client for the protocol of an address."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.model_contract import BATCH
from serving.client.balanced import BalancedModel
from serving.client.grpc import GrpcClient
from serving.client.remote import RemoteModel
from serving.client.rest import RestClient
from serving.client.retry import RETRIES, TIMEOUT_S
from serving.client.servers import Servers

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
    raise ValueError(_no_address(address))


def connect_all(
    addresses: Sequence[str],
    name: str = "dfdetect",
    timeout_s: float = TIMEOUT_S,
    retries: int = RETRIES,
    batch: int = BATCH,
) -> BalancedModel:
    """A model at one or several addresses, which share its requests; the rest is as in `connect`.

    Raises ValueError too where there is no address, or one twice.
    """
    servers = open_servers(addresses, name)
    return BalancedModel(servers, name, timeout_s, retries, batch)


def check_addresses(addresses: Sequence[str]) -> None:
    """Raises ValueError where one is no address of a model server, or is there twice."""
    for number, address in enumerate(addresses):
        if not is_server(address):
            raise ValueError(_no_address(address))
        if address.rstrip("/") in {earlier.rstrip("/") for earlier in addresses[:number]}:
            raise ValueError(f"{address!r} is given twice; give each server once.")


def open_servers(addresses: Sequence[str], name: str = "dfdetect") -> Servers:
    """What several models of one process share that are asked at the same addresses."""
    check_addresses(addresses)
    return Servers([connect(address, name) for address in addresses])


def _no_address(address: str) -> str:
    return (
        f"{address!r} is no address of a model server; expected http://HOST:PORT for REST or "
        "grpc://HOST:PORT for gRPC."
    )

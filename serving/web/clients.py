"""Client identity: what limits, the fair queue and the history take for one sender."""

from __future__ import annotations

import dataclasses
import ipaddress

from starlette.requests import HTTPConnection

from serving.web.settings import Settings
from serving.web.usage import Quota

UNKNOWN = "unknown"  # a Unix socket, or an address that is none
# RFC 6177: a site gets at least a /64, and may use every address of it.
IPV6_PREFIX = 64


@dataclasses.dataclass(frozen=True)
class Sender:
    """Whose a video is: a client without a key by its address, else the key by its name.

    Uploads, turns and results are shared out between them. quota: of the key. history: the one
    that its jobs go into; None where there is none for it.
    """

    name: str
    quota: Quota | None = None
    history: str | None = None


def sender_of(connection: HTTPConnection, settings: Settings) -> Sender:
    """The sender of a request, whose key, if there are keys, was looked up before."""
    key = getattr(connection.state, "key", None)
    if key:
        return Sender(key.name, key.quota, history_of(settings, key.name))
    return Sender(client_of(connection), None, history_of(settings))


def history_of(settings: Settings, key: str = "") -> str | None:
    """The history of who sends this key, or the token, or of all where only this machine's users
    reach the server; None where nobody could be told from others, or nothing outlives the server.

    An address is nobody: it passes on. Behind a proxy everybody has this machine's.
    """
    if not settings.results_dir:
        return None
    if settings.keys_file:
        return f"key {key}" if key else None
    if settings.token_file:
        return "token"
    proxy = settings.trusted_proxy or settings.allowed_host
    return "local" if is_loopback(settings.host) and not proxy else None


def is_loopback(host: str) -> bool:
    """Whether a server that listens there is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def client_of(connection: HTTPConnection) -> str:
    """The client of a request, by its address.

    That is the address which uvicorn gives: the connection's own, or what a proxy says that
    `--trusted-proxy` names.
    """
    return client_at(connection.client.host if connection.client else "")


def client_at(host: str) -> str:
    """An IPv4 address as it is ("192.0.2.1"), an IPv6 address as its prefix ("2001:db8::/64"),
    an IPv4 address that is mapped into IPv6 as the former, and UNKNOWN for anything else.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address.packed, IPV6_PREFIX), strict=False))

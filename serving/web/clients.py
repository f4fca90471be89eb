"""Client identity: what limits per client and the fair queue take for one sender."""

from __future__ import annotations

import ipaddress

from starlette.requests import HTTPConnection

UNKNOWN = "unknown"  # a Unix socket, or an address that is none
# RFC 6177: a site gets at least a /64, and may use every address of it.
IPV6_PREFIX = 64


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

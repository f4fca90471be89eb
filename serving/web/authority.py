"""Authority of an HTTP address: name and port (RFC 3986, section 3.2), as browsers send them."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@,\[\]]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = ("80", "443")


class Authority(NamedTuple):
    """name: in lower case, an IPv6 address without brackets. port: "" for that of HTTP or HTTPS,
    as a proxy that ends TLS has another one than the server behind it."""

    name: str
    port: str

    @property
    def is_address(self) -> bool:
        try:
            ipaddress.ip_address(self.name)
        except ValueError:
            return False
        return True

    @property
    def is_loopback_name(self) -> bool:
        """RFC 6761, section 6.3."""
        return self.name == "localhost" or self.name.endswith(".localhost")


def authority(text: str) -> Authority | None:
    """ "example.org:8080" -> its name and port; None for what is no authority."""
    match = _AUTHORITY.fullmatch(text)
    if not match:
        return None
    name, port = match[1].strip("[]").lower().removesuffix("."), match[2] or ""
    if not name:
        return None
    return Authority(name, "" if port in _DEFAULT_PORTS else port)

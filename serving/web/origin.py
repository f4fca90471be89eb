"""Origin check: requests that change something come from our own pages, or from no page at all.

Against cross-site request forgery and DNS rebinding, whether there is a token or not. Browsers send
`Origin` with every POST and DELETE of a page or form (Fetch standard, "append a request `Origin`
header"), "null" included; `Sec-Fetch-Site` they send to HTTPS and this machine only.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import Scope

from serving.web.authority import Authority, authority
from serving.web.problems import Problem
from serving.web.settings import Settings

READING = ("GET", "HEAD", "OPTIONS")
_SITE = re.compile(r"https?://([^/?#]*)")


class Origins:
    """The names under which this server is reached.

    Addresses are: a page that was rebound to this server has the name that its owner rebound.
    """

    def __init__(self, settings: Settings):
        allowed = (authority(name) for name in settings.allowed_host)
        self._allowed = {given for given in allowed if given}
        self._names = {given.name for given in self._allowed} | {settings.host.lower()}

    def check(self, scope: Scope) -> None:
        """Raises Problem for a request that changes something and comes from elsewhere."""
        if scope["method"] in READING:
            return
        headers, host = Headers(scope=scope), self.check_host(scope)
        sent_by = [value for name in ("origin", "referer") for value in headers.getlist(name)]
        if not all(self._is_same(value, host) for value in sent_by):
            raise _foreign()
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise _foreign()

    def check_host(self, scope: Scope) -> Authority:
        """The name by which a request calls this server. Raises Problem where it has another."""
        given = Headers(scope=scope).get("host", "")
        host = authority(given)
        if host is None or not self._is_ours(host):
            raise Problem("unknown-host", _advice(given[:100]))
        return host

    def _is_ours(self, host: Authority) -> bool:
        return host.is_address or host.is_loopback_name or host.name in self._names

    def _is_same(self, page: str, host: Authority) -> bool:
        """Whether the page of an Origin or Referer is of this server. A proxy may hide its name
        from us; then --allowed-host has it."""
        match = _SITE.match(page)
        site = authority(match[1]) if match else None
        return site is not None and (site == host or site in self._allowed)


def _advice(host: str) -> str:
    return (
        f"This server is not known as {host!r}. Ask it by its address, or start it with "
        "--allowed-host and this name."
    )


def _foreign() -> Problem:
    return Problem(
        "cross-site",
        "The request comes from a page of another site. If that is this server's name before a "
        "proxy, start it with --allowed-host and that name.",
    )

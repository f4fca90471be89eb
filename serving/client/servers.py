"""Load balancing over several servers of one model: least outstanding requests, and ejection.

A server that fails is left alone for a second, twice as long each time that it fails again, up to
a minute, and returns when a probe succeeds: passive and active health checks, as in Envoy's outlier
detection (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier).
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from serving.client.remote import RemoteModel

FIRST_AWAY_S, LONGEST_AWAY_S = 1.0, 60.0

log = logging.getLogger("dfdetect.client")


@dataclasses.dataclass(eq=False)
class Server:
    """One of several; times are of the clock of its Servers.

    outstanding: requests that it has not answered yet. turn: of its last request among all.
    failures: in a row; while there are any it is ejected, for a probe from `away_until` on.
    rests_until: when it wants to be asked again. ejections: how often it was ejected in all, by
    which who has checked it sees that it was away since.
    """

    client: RemoteModel
    outstanding: int = 0
    turn: int = 0
    failures: int = 0
    away_until: float = 0.0
    rests_until: float = 0.0
    ejections: int = 0


class Servers:
    """What is known of several servers, for all models that ask them. Threads may share it.

    clients: of one model, a server each. Raises ValueError where there are none.
    """

    def __init__(self, clients: Sequence[RemoteModel], clock: Callable[[], float] = time.monotonic):
        if not clients:
            raise ValueError("no server; expected the address of one or more.")
        self._servers = [Server(client) for client in clients]
        self.clock, self._lock, self._turns = clock, threading.Lock(), 0

    def close(self) -> None:
        """Lets go of the connections."""
        for server in self._servers:
            server.client.close()

    @property
    def all(self) -> Sequence[Server]:
        return self._servers

    @property
    def usable(self) -> Sequence[Server]:
        """Those that are not ejected; all where all are."""
        return [server for server in self._servers if not server.failures] or self._servers

    def take(self, tried: Collection[Server], last: Collection[Server] = ()) -> Server | None:
        """The server to ask next, for `give_back` when it has answered; none of those tried.

        The one with the fewest outstanding requests, of equals the one that was asked longest ago.
        Ejected ones are taken where nothing else is left, and those in `last` after them. None
        where all others rest.
        """

        def rank(server: Server) -> tuple:
            away_until = server.away_until if server.failures else 0.0
            return server in last, away_until, server.outstanding, server.turn

        with self._lock:
            now = self.clock()
            awake = [s for s in self._servers if s not in tried and s.rests_until <= now]
            if not awake:
                return None
            server = min(awake, key=rank)
            self._turns += 1
            server.turn = self._turns
            server.outstanding += 1
            return server

    def give_back(self, server: Server) -> None:
        with self._lock:
            server.outstanding -= 1

    def take_for_probe(self) -> Server | None:
        """An ejected server whose time is over. It stays ejected, for longer, unless the probe
        ends with `restore`; nobody else gets it to probe meanwhile."""
        with self._lock:
            now = self.clock()
            for server in self._servers:
                if server.failures and server.away_until <= now:
                    self._send_away(server)
                    return server
        return None

    def eject(self, server: Server, why: Exception) -> None:
        """For a server that failed; of one that is ejected already nothing changes."""
        with self._lock:
            if server.failures:
                return
            server.ejections += 1
            self._send_away(server)
        log.warning("%s is left alone for a while: %s", server.client.address, why)

    def restore(self, server: Server) -> None:
        """For a server that answers again."""
        with self._lock:
            was_away, server.failures = bool(server.failures), 0
        if was_away:
            log.warning("%s answers again", server.client.address)

    def rest(self, server: Server, seconds: float) -> None:
        """For a server that wants to be left alone for so long."""
        with self._lock:
            server.rests_until = max(server.rests_until, self.clock() + seconds)

    def rest_s(self) -> float:
        """Seconds until a server may be asked."""
        with self._lock:
            return max(0.0, min(s.rests_until for s in self._servers) - self.clock())

    def _send_away(self, server: Server) -> None:
        away_s = min(FIRST_AWAY_S * 2**server.failures, LONGEST_AWAY_S)
        server.failures += 1
        server.away_until = self.clock() + away_s

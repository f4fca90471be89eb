"""What clients of a model server share: which versions it has, and waiting for one."""

from __future__ import annotations

import abc
import dataclasses
import time
from collections.abc import Sequence

from serving.client.errors import ModelServerError, NotFound, Overloaded, Timeout, Unreachable
from serving.client.model import BATCH, SignatureModel
from serving.client.retry import RETRIES, TIMEOUT_S

POLL_S = 0.2


@dataclasses.dataclass(frozen=True)
class VersionState:
    """A version of a model on a server.

    state: START, LOADING, AVAILABLE, UNLOADING or END. problem: why it could not be loaded.
    """

    version: int
    state: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.version} {self.state}" + (f" ({self.problem})" if self.problem else "")


class RemoteModel(SignatureModel):
    """A model on a server; subclasses know the protocol.

    timeout_s: for a call with its retries. retries: of a call that a server did not take.
    """

    def __init__(
        self,
        address: str,
        name: str,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        batch: int = BATCH,
    ):
        super().__init__(batch)
        self._address, self._name = address, name
        self._timeout_s, self._retries = timeout_s, retries

    @abc.abstractmethod
    def _states(self, timeout_s: float, retries: int) -> Sequence[VersionState]:
        """Of all versions that the server knows."""

    def version(self) -> str:
        """NAME/VERSION: the highest that is AVAILABLE, which answers."""
        return self._available(self._states(self._timeout_s, self._retries))

    def _available(self, states: Sequence[VersionState]) -> str:
        available = [state.version for state in states if state.state == "AVAILABLE"]
        if not available:
            known = ", ".join(map(str, states)) or "none"
            raise NotFound(
                f"{self._address}: no version of the model {self._name!r} is AVAILABLE yet; "
                f"there are: {known}."
            )
        return f"{self._name}/{max(available)}"

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Returns when a version of the model is AVAILABLE; a server answers long before.

        Raises the last error when the deadline is over, and ModelServerError at once where the
        server has given up on loading every version.
        """
        end = time.monotonic() + deadline_s
        while True:
            left = max(end - time.monotonic(), POLL_S)
            try:
                states = self._states(min(left, self._timeout_s), 0)
                if states and all(s.state == "END" and s.problem for s in states):
                    raise ModelServerError(
                        f"{self._address}: no version of the model {self._name!r} could be "
                        f"loaded: {', '.join(map(str, states))}."
                    )
                self._available(states)
                return
            except (Unreachable, Timeout, NotFound, Overloaded):
                if time.monotonic() + POLL_S > end:
                    raise
            time.sleep(POLL_S)

"""A model on a server, over REST or gRPC: states of its versions, and waiting for one."""

from __future__ import annotations

import abc
import dataclasses
import time
from collections.abc import Sequence

from pipelines.model_contract import BATCH
from serving.client.errors import (
    InvalidRequest,
    ModelServerError,
    NotFound,
    Overloaded,
    Timeout,
    Unreachable,
)
from serving.client.model import SignatureModel
from serving.client.retry import RETRIES, TIMEOUT_S, persist
from serving.client.spec import ModelSpec

POLL_S = 0.2
# A label without a version yet is an InvalidRequest.
WAITED_FOR = (Unreachable, Timeout, NotFound, Overloaded, InvalidRequest)


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

    name: NAME, NAME/versions/NUMBER or NAME/labels/LABEL. timeout_s: for a request with its
    retries. retries: of a request that the server did not take. batch: clips in a request.
    """

    def __init__(
        self,
        address: str,
        name: str = "dfdetect",
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        batch: int = BATCH,
    ):
        super().__init__(batch)
        self._address, self._spec = address.rstrip("/"), ModelSpec.parse(name)
        self._timeout_s, self._retries = timeout_s, retries
        self._open()

    @abc.abstractmethod
    def _open(self) -> None:
        """Makes ready to ask `self._address`; nothing is sent yet."""

    @abc.abstractmethod
    def _states(self, left_s: float) -> Sequence[VersionState]:
        """Of all versions of the model that the server knows; asks once."""

    @abc.abstractmethod
    def _version(self, left_s: float) -> int:
        """Of the version that answers, by the model's metadata; asks once."""

    def version(self) -> str:
        number = persist(self._version, self._timeout_s, self._retries)
        return f"{self._spec.name}/{number}"

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Returns when the version that is asked for is AVAILABLE; servers answer long before.

        Raises the last error when the deadline is over, and ModelServerError at once where the
        server has given up on loading every version.
        """
        end = time.monotonic() + deadline_s
        while True:
            left_s = min(max(end - time.monotonic(), POLL_S), self._timeout_s)
            try:
                self._require_available(self._states(left_s))
                self._version(left_s)
                return
            except WAITED_FOR:
                if time.monotonic() + POLL_S > end:
                    raise
            time.sleep(POLL_S)

    def _require_available(self, states: Sequence[VersionState]) -> None:
        if any(state.state == "AVAILABLE" for state in states):
            return
        listed = f"{self._address}: of the model {self._spec} there are: " + (
            ", ".join(map(str, states)) or "none"
        )
        if states and all(state.state == "END" and state.problem for state in states):
            raise ModelServerError(f"{listed}. The server could load none of them.")
        raise NotFound(f"{listed}. None is AVAILABLE yet.")

"""A model on a server, over REST or gRPC: what is asked once, and again; waiting for a version."""

from __future__ import annotations

import abc
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.model_contract import BATCH, Signature
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

    @property
    def address(self) -> str:
        return self._address

    @abc.abstractmethod
    def _states(self, left_s: float) -> Sequence[VersionState]:
        """Of all versions of the model that the server knows; asks once."""

    @abc.abstractmethod
    def ask_version(self, spec: ModelSpec, left_s: float) -> int:
        """The number of the version that `spec` stands for, by its metadata; asks once."""

    @abc.abstractmethod
    def ask_outputs(
        self, spec: ModelSpec, signature: Signature, strings: Sequence, left_s: float
    ) -> Mapping[str, Any]:
        """The outputs of a signature, as `_run`, of the version that `spec` stands for; asks once.

        left_s: for the answer to come.
        """

    def version(self) -> str:
        number = persist(
            lambda left_s: self.ask_version(self._spec, left_s), self._timeout_s, self._retries
        )
        return f"{self._spec.name}/{number}"

    def _run(self, signature: Signature, strings: Sequence) -> Mapping[str, Any]:
        return persist(
            lambda left_s: self.ask_outputs(self._spec, signature, strings, left_s),
            self._timeout_s,
            self._retries,
        )

    def require_ready(self, left_s: float) -> None:
        """Raises one of WAITED_FOR where the version that is asked for is not AVAILABLE yet, and
        ModelServerError where the server has given up on loading every version; asks once."""
        self._require_available(self._states(left_s))
        self.ask_version(self._spec, left_s)

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Returns when the version that is asked for is AVAILABLE; servers answer long before.

        Raises the last error when the deadline is over, and ModelServerError at once where the
        server has given up on loading every version.
        """
        poll(self.require_ready, deadline_s, self._timeout_s)

    def _require_available(self, states: Sequence[VersionState]) -> None:
        if any(state.state == "AVAILABLE" for state in states):
            return
        listed = f"{self._address}: of the model {self._spec} there are: " + (
            ", ".join(map(str, states)) or "none"
        )
        if states and all(state.state == "END" and state.problem for state in states):
            raise ModelServerError(f"{listed}. The server could load none of them.")
        raise NotFound(f"{listed}. None is AVAILABLE yet.")


def poll(require: Callable[[float], None], deadline_s: float, timeout_s: float) -> None:
    """Calls `require`, with the seconds that it may take, until it raises none of WAITED_FOR.

    timeout_s: for a call at most. Raises the last error when the deadline is over.
    """
    end = time.monotonic() + deadline_s
    while True:
        try:
            return require(min(max(end - time.monotonic(), POLL_S), timeout_s))
        except WAITED_FOR:
            if time.monotonic() + POLL_S > end:
                raise
        time.sleep(POLL_S)

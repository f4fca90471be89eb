"""A model on one or several servers that share its requests, by one version of it at a time."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pipelines.model_contract import BATCH, Signature
from serving.client.config import ModelConfig
from serving.client.errors import (
    Disagreement,
    FingerprintMismatch,
    InvalidRequest,
    ModelServerError,
    NotFound,
    Overloaded,
    Timeout,
    Unreachable,
)
from serving.client.model import SignatureModel
from serving.client.pinned import PinnedVersion
from serving.client.remote import WAITED_FOR, poll
from serving.client.retry import RETRIES, TIMEOUT_S, persist
from serving.client.servers import Server, Servers
from serving.client.spec import ModelSpec

T = TypeVar("T")

PROBE_S = 5.0  # a server that is well describes its model in milliseconds

log = logging.getLogger("dfdetect.client")


class BalancedModel(SignatureModel):
    """A model behind servers of which any may answer.

    `config` finds out which version the name stands for, the one that most servers name, and that
    all that have this version describe it alike. Until it is called again, requests ask for that
    version by its number, whatever is rolled out: one video is judged by one version. Servers that
    do not have it are not asked, and those that were away are checked before they are.

    A request goes to another server at once where one is Unreachable or Overloaded, lacks the
    version, or fails by itself; when all are tried, the retries begin (`persist`). name, timeout_s,
    retries, batch: as those of RemoteModel. keep_open: the servers are not closed with the model,
    since others share them. Threads may share it.
    """

    def __init__(
        self,
        servers: Servers,
        name: str = "dfdetect",
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        batch: int = BATCH,
        keep_open: bool = False,
    ):
        super().__init__(batch)
        self._servers, self._spec, self._keep_open = servers, ModelSpec.parse(name), keep_open
        self._timeout_s, self._retries = timeout_s, retries
        self._pinned: PinnedVersion | None = None

    def close(self) -> None:
        if not self._keep_open:
            self._servers.close()

    def version(self) -> str:
        """NAME/VERSION of the version that `config` found, which it does if it has not yet."""
        spec = (self._pinned or self._pin()).spec
        return f"{spec.name}/{spec.version}"

    def config(self) -> ModelConfig:
        """Of the version that the name stands for now. Raises Disagreement too."""
        return self._pin().config

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """As that of RemoteModel, until the first of the servers is ready."""
        poll(self._require_ready, deadline_s, self._timeout_s)

    def _require_ready(self, left_s: float) -> None:
        errors: list[ModelServerError] = []
        for server in self._servers.all:
            try:
                return server.client.require_ready(left_s / len(self._servers.all))
            except ModelServerError as error:
                errors.append(error)
        raise next((error for error in errors if isinstance(error, WAITED_FOR)), errors[0])

    # Which version.

    def _pin(self) -> PinnedVersion:
        pinned = self._pinned = persist(self._agree, self._timeout_s, self._retries)
        self._config = str(pinned.spec), pinned.config
        return pinned

    def _agree(self, left_s: float) -> PinnedVersion:
        """The version that most servers name, the higher of equally many."""
        end = time.monotonic() + left_s
        numbers = self._survey(lambda s, wait_s: s.client.ask_version(self._spec, wait_s), left_s)
        count = Counter(numbers.values())
        spec = ModelSpec(self._spec.name, max(count, key=lambda number: (count[number], number)))
        pinned = self._pinned if self._pinned and self._pinned.spec == spec else None

        def check(server: Server, wait_s: float) -> None:
            nonlocal pinned
            if pinned:
                pinned.check(server, wait_s)
            else:
                pinned = PinnedVersion.describe(spec, server, wait_s)

        self._survey(check, end - time.monotonic())
        assert pinned  # or the survey had raised
        return pinned

    def _survey(self, ask: Callable[[Server, float], T], left_s: float) -> dict[Server, T]:
        """What each server answers; raises what matters most where none does."""
        answers, errors, servers = {}, [], self._servers.usable
        for server in servers:
            try:
                answers[server] = ask(server, max(left_s, 1e-3) / len(servers))
                self._servers.restore(server)
            except (Disagreement, FingerprintMismatch):
                raise
            except ModelServerError as error:
                errors.append(error)
                self._note(server, error)
        if not answers:
            raise _gravest(errors)
        return answers

    # Requests.

    def _run(self, signature: Signature, strings: Sequence) -> Mapping[str, Any]:
        pinned = self._pinned or self._pin()
        return persist(
            lambda left_s: self._ask_one_of_them(pinned, signature, strings, left_s),
            self._timeout_s,
            self._retries,
        )

    def _ask_one_of_them(
        self, pinned: PinnedVersion, signature: Signature, strings: Sequence, left_s: float
    ) -> Mapping[str, Any]:
        """Asks one server after the other, each at most once, until one answers."""
        end = time.monotonic() + left_s
        self._probe(pinned, min(left_s / 4, PROBE_S))
        errors: dict[Server, ModelServerError] = {}
        while time.monotonic() < end and (server := self._take(pinned, errors)):
            try:
                self._check(pinned, server, end - time.monotonic())
                wait_s = max(end - time.monotonic(), 1e-3)
                outputs = server.client.ask_outputs(pinned.spec, signature, strings, wait_s)
            except (InvalidRequest, Timeout) as error:
                self._note(server, error)
                raise
            except ModelServerError as error:
                errors[server] = error
                self._note(server, error)
                if isinstance(error, NotFound | Disagreement):
                    pinned.set_apart(server, self._servers.clock())
            else:
                for failed, why in errors.items():
                    if _of_itself(why):  # what another answered was no fault of the request
                        self._servers.eject(failed, why)
                return outputs
            finally:
                self._servers.give_back(server)
        rest_s = self._servers.rest_s()
        full = Overloaded(f"{pinned.spec}: no server may be asked for {rest_s:.3g} s.", rest_s)
        raise _gravest(errors.values()) if errors else full

    def _take(self, pinned: PinnedVersion, tried: Collection[Server]) -> Server | None:
        return self._servers.take(tried, pinned.apart(self._servers.clock()))

    def _check(self, pinned: PinnedVersion, server: Server, wait_s: float) -> None:
        pinned.check(server, max(wait_s, 1e-3))
        self._servers.restore(server)

    def _probe(self, pinned: PinnedVersion, wait_s: float) -> None:
        """Asks an ejected server whose time is over, if there is one, whether it is back."""
        if server := self._servers.take_for_probe():
            try:
                self._check(pinned, server, wait_s)
            except (NotFound, Disagreement) as error:  # it is, with something else
                log.warning("%s", error)
                self._servers.restore(server)
                pinned.set_apart(server, self._servers.clock())
            except ModelServerError as error:
                log.info("%s is left alone for longer: %s", server.client.address, error)

    def _note(self, server: Server, error: ModelServerError) -> None:
        """What an error says of the server that it came from."""
        if isinstance(error, Unreachable | Timeout):
            self._servers.eject(server, error)
        elif isinstance(error, Overloaded):
            self._servers.rest(server, error.retry_after_s or 0.0)


def _of_itself(error: ModelServerError) -> bool:
    """Whether a server failed at what it might have done."""
    return not isinstance(error, Unreachable | Overloaded | NotFound | Disagreement)


def _gravest(errors: Iterable[ModelServerError]) -> ModelServerError:
    """The error to raise when every server failed: what asking again does not mend, if one
    failed at it; else what it does, or else what they lack."""

    def rank(error: ModelServerError) -> int:
        kinds = (Overloaded, Unreachable, Disagreement, NotFound)
        return next((n for n, kind in enumerate(kinds, 1) if isinstance(error, kind)), 0)

    return min(errors, key=rank)

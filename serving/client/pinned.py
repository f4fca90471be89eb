"""The version of a model that several servers are asked for, by its number, and who has it."""

from __future__ import annotations

import dataclasses

from pipelines.model_contract import CONFIG
from serving.client.config import ModelConfig
from serving.client.errors import Disagreement, FingerprintMismatch, InvalidRequest
from serving.client.model import config_of
from serving.client.servers import Server
from serving.client.spec import ModelSpec

APART_S = 10.0  # before a server that does not have the version is asked whether it has it now


@dataclasses.dataclass(frozen=True, eq=False)
class PinnedVersion:
    """A version, as the server at `address` described it. Threads may share it.

    spec: its name and number. checked: of each server how often it had been ejected when it was
    found to have the version. apart_until: of those that do not have it, by the clock of `now`.
    """

    spec: ModelSpec
    config: ModelConfig
    address: str
    checked: dict[Server, int] = dataclasses.field(default_factory=dict)
    apart_until: dict[Server, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def describe(cls, spec: ModelSpec, server: Server, wait_s: float) -> PinnedVersion:
        """Asks the server for it. Raises ModelServerError."""
        ejections = server.ejections
        outputs = server.client.ask_outputs(spec, CONFIG, [b""], wait_s)
        return cls(spec, config_of(outputs), server.client.address, {server: ejections})

    def check(self, server: Server, wait_s: float) -> None:
        """Raises ModelServerError, Disagreement, where the server does not have the version; asks
        only one that was not asked before, or was away since."""
        if self.checked.get(server) == server.ejections:
            return
        try:
            other = self.describe(self.spec, server, wait_s)
        except (FingerprintMismatch, InvalidRequest) as error:
            raise Disagreement(
                f"{server.client.address} and {self.address} should both serve {self.spec}: {error}"
            ) from error
        for field in dataclasses.fields(ModelConfig):
            here, there = getattr(self.config, field.name), getattr(other.config, field.name)
            if here != there:
                raise Disagreement(
                    f"{self.spec} has at {self.address} the {field.name} {here}, at "
                    f"{other.address} {there}. Serve the same export at all addresses."
                )
        self.checked.update(other.checked)
        self.apart_until.pop(server, None)

    def set_apart(self, server: Server, now: float) -> None:
        """For a server that does not have the version."""
        self.checked.pop(server, None)
        self.apart_until[server] = now + APART_S

    def apart(self, now: float) -> set[Server]:
        """The servers that are better not asked now."""
        return {server for server, until in list(self.apart_until.items()) if now < until}

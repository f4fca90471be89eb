"""Who reads the facts about files, by the settings: the trust list is opened and checked once."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path

from serving.provenance.file_facts import FactsProcess, FileFacts
from serving.provenance.settings import ProvenanceSettings


@dataclasses.dataclass(frozen=True)
class FactsReader:
    """Reads the facts about files. trust_list: certificates in PEM, or "" for none. show_location:
    whether the place of recording is told."""

    trust_list: str = ""
    show_location: bool = False

    @classmethod
    def of(cls, settings: ProvenanceSettings) -> FactsReader:
        """Raises OSError where the trust list cannot be read, ValueError where it is none."""
        path = settings.c2pa_trust_list
        trust_list = read_trust_list(Path(path)) if path else ""
        return cls(trust_list, settings.show_location)

    def begin(self, path: str) -> FactsProcess:
        """A process that reads them while the caller does something else."""
        return FactsProcess(path, self.trust_list)

    def shown(self, facts: FileFacts) -> FileFacts:
        """What may be told of them."""
        return facts if self.show_location else facts.without_location()


def read_trust_list(path: Path) -> str:
    """The certificates in a file, PEM. Raises OSError, or ValueError where it holds none."""
    try:
        text = path.read_text("ascii", errors="replace")
        # What the list is used by takes an unreadable one for an empty one, and trusts nobody.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"{path}: no certificates in PEM ({error}); expected blocks that begin with "
            "-----BEGIN CERTIFICATE-----, as in the lists that C2PA publishes."
        ) from error
    return text

"""Settings of what is told of a file beside what it shows; flags are derived from them."""

from __future__ import annotations

import dataclasses

from pipelines.flags import option


@dataclasses.dataclass(frozen=True)
class ProvenanceSettings:
    """Which facts about a file are told, and whose signatures are trusted."""

    c2pa_trust_list: str = option(
        "", "file of certificates in PEM: who signs Content Credentials by one of them is trusted"
    )
    show_location: bool = option(False, "tell where a video was recorded, if it says so")

"""Settings of batch scoring; its flags are derived from them. Loads no Beam."""

from __future__ import annotations

import dataclasses

from pipelines.beam.settings import JobSettings
from pipelines.flags import option


@dataclasses.dataclass(frozen=True)
class ScoreSettings(JobSettings):
    """How to go about it; none of it changes a score."""

    shards: int = option(1, "files that the results are dealt out to, of each kind")

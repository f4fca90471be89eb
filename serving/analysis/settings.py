"""Settings that say which models judge; flags of `predict`, `score` and `web` are derived from
them. Loads no client of a model."""

from __future__ import annotations

import dataclasses

from pipelines.flags import option

MODEL = "dfdetect"


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Raises ValueError where there is no model, or too few for an ensemble."""

    model: tuple[str, ...] = option(
        (),
        "folder of an exported model, or one version in it; or the address of a model server, "
        "http(s)://HOST:PORT or grpc://HOST:PORT, with /v1/models/NAME for another than "
        "--model-name. Give it several times for several opinions, of which the first decides",
    )
    model_server: tuple[str, ...] = option(
        (),
        "address of a model server; give it several times for servers that share the work of one "
        "model, which comes before those of --model",
    )
    model_name: str = option(
        MODEL,
        "what servers call the model: NAME for its highest version, NAME/versions/NUMBER or "
        "NAME/labels/LABEL",
    )
    ensemble: str = option(
        "", "file of `calibrate --ensemble`: the models, two or more, are judged by as one"
    )

    def __post_init__(self) -> None:
        models = len(self.model) + bool(self.model_server)
        if not models:
            raise ValueError("Give --model DIR, --model URL or --model-server URL.")
        if self.ensemble and models < 2:
            raise ValueError("--ensemble needs its models, two or more: give --model for each.")

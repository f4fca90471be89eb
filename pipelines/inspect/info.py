"""dataset_info.json, as the preprocessing wrote it."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipelines.clip import SPLITS
from pipelines.shards.layout import INFO_NAME

AGAIN = "Copy the file again from where it was made, or run `dfdetect preprocess` again."
COUNTS = (
    *("videos", "clips", "identities", "sources"),
    *("labels", "clip_labels", "methods", "datasets"),
)


def load_info(folder: str | Path) -> dict:
    """dataset_info.json. Raises FileNotFoundError where the folder holds no finished set, and
    ValueError where the file is not what the preprocessing writes."""
    if "://" in str(folder):
        raise ValueError(
            f"{folder}: is remote; local and mounted folders are inspected. Copy or mount it."
        )
    path = Path(folder) / INFO_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not there, so {folder} holds no finished data set. Run `dfdetect preprocess`."
        )
    info = read_json(path)
    try:
        itemgetter("config", "dataset", "fingerprint", "problems", "rejects", "split_rule")(info)
        for split in SPLITS:
            itemgetter("real", "fake")(info["splits"][split]["labels"])
            itemgetter(*COUNTS)(info["splits"][split])
        for facts in info["shards"].values():
            itemgetter("bytes", "records", "sha256")(facts)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: was changed or damaged ({error!r} is missing). {AGAIN}"
        ) from error
    return info


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("a list or a single value")
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON object ({error}). {AGAIN}") from error
    return value

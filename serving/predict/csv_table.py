"""CSV table of verdicts, a row a video."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines import atomic

COLUMNS = (
    "path",
    "verdict",
    "probability_fake",
    "model",
    "fingerprint",
    "frames_sampled",
    "frames_with_face",
    "start_s",
    "end_s",
    "tracks",
    "track_verdicts",
    "track_probabilities",
    "report",
    "seconds",
    "error",
    "detail",
)


def check_place(path: Path) -> None:
    """Raises OSError where no table can be written there: told before hours of work, not after."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give a file for the table.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: No such file, nor its folder; make that first.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path}: its folder cannot be written to.")


def write_csv(path: Path, results: Iterable[Mapping[str, Any]]) -> None:
    """Writes what `dfdetect predict --json` prints as a table, whole or not at all.

    tracks: how many faces were followed; track_verdicts and track_probabilities: theirs, in
    their order, joined by ";". A video that could not be judged has a word in `error` and no
    verdict. Cells without a value are empty. Raises OSError.
    """
    atomic.write_csv(path, map(_row, results), COLUMNS)


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    tracks = result.get("tracks")
    if tracks is None:
        return dict(result)
    return {
        **result,
        "tracks": len(tracks),
        "track_verdicts": ";".join(track["verdict"] for track in tracks),
        "track_probabilities": ";".join(str(track["probability_fake"]) for track in tracks),
    }

"""CSV table of verdicts, a row a video, written as they come."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.csv_cells import csv_line
from pipelines.errors import naming

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
    "segments",
    "moments",
    "moments_with_face",
    "coverage",
    "largest_gap_s",
    "reasons",
    "notes",
    "content_credentials",
    "signed_by",
    "signature",
    "ai_claimed",
    "created",
    "device",
    "opinions",
    "models_disagree",
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


class CsvTable:
    """What `dfdetect predict --json` prints as a table, begun anew; each row is on disk at once.

    tracks: how many faces were followed; track_verdicts and track_probabilities: theirs, in
    their order, joined by ";". segments: where a face is FAKE, as START-END in seconds, of all
    faces in order of time, joined by ";". coverage: the share of the video that was looked at.
    reasons and notes: sentences. content_credentials to device: of the file, whatever it shows; the
    status, the signer and whether the signature and all that it covers hold, the claims that AI
    took part, when and by what it was recorded as it says. opinions: MODEL=VERDICT P(fake) of each
    of several models, joined by ";"; models_disagree: whether their verdicts differ. A video that
    could not be judged has a word in `error` and no verdict. Cells without a value are empty; text
    is escaped as by `csv_cells.escape_cell`.
    """

    def __init__(self, path: Path):
        """Raises OSError."""
        self._path = path
        self._file = open(path, "wb", buffering=0)
        try:
            self._write(dict(zip(COLUMNS, COLUMNS, strict=True)))
        except OSError:
            self._file.close()
            raise

    def add(self, result: Mapping[str, Any]) -> None:
        """Raises OSError where the row cannot be written whole; nothing of it is there then."""
        self._write(_row(result))

    def _write(self, row: Mapping[str, Any]) -> None:
        text = csv_line(row.get(name) for name in COLUMNS)
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        start = self._file.tell()
        with naming(self._path):
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError:
                self._file.truncate(start)
                raise

    def close(self) -> None:
        self._file.close()


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    tracks = result.get("tracks")
    if tracks is None:
        return dict(result)
    segments = sorted((s["start_s"], s["end_s"]) for track in tracks for s in track["segments"])
    coverage = result["coverage"] or {}
    named = ("moments", "moments_with_face", "largest_gap_s")
    return {
        **result,
        "tracks": len(tracks),
        "track_verdicts": ";".join(track["verdict"] for track in tracks),
        "track_probabilities": ";".join(str(track["probability_fake"]) for track in tracks),
        "segments": ";".join(f"{start:g}-{end:g}" for start, end in segments),
        **{name: coverage.get(name) for name in named},
        "coverage": coverage.get("share"),
        "reasons": " ".join(result["reasons"]),
        "notes": " ".join(result["notes"]),
        **_of_file(result["file_facts"]),
        "opinions": ";".join(map(_opinion, result["opinions"])),
        "models_disagree": result["models_disagree"] if result["opinions"] else None,
    }


def _opinion(opinion: Mapping[str, Any]) -> str:
    score = opinion["probability_fake"]
    return f"{opinion['model']}={opinion['verdict']}" + ("" if score is None else f" {score:.4f}")


def _of_file(facts: Mapping[str, Any] | None) -> dict[str, str]:
    if facts is None:
        return {}
    credentials, container = facts["content_credentials"], facts["container"] or {}
    checks = [credentials[check] for check in ("signature", "content", "claims")]
    signature = next((bad for bad in ("fails", "unknown") if bad in checks), "holds")
    return {
        "content_credentials": credentials["status"],
        "signed_by": credentials["organisation"] or credentials["name"],
        "signature": signature if credentials["status"] == "found" else "",
        "ai_claimed": "; ".join(dict.fromkeys(claim["says"] for claim in credentials["ai"])),
        "created": container.get("created", ""),
        "device": " ".join(filter(None, (container.get("make"), container.get("model")))),
    }

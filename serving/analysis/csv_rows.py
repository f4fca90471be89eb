"""CSV rows of verdicts: what `dfdetect predict --json` prints of a video, as a line of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.csv_cells import csv_line

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
    "report",
    "seconds",
    "error",
    "detail",
)


def csv_header() -> str:
    """The line of column names."""
    return csv_line(COLUMNS)


def csv_row(result: Mapping[str, Any]) -> str:
    """The line of a video.

    result: as a VideoResult's `to_dict`, or with an `error` and its `detail`. tracks: how many
    faces were followed; track_verdicts and track_probabilities: theirs, in
    their order, joined by ";". segments: where a face is FAKE, as START-END in seconds, of all
    faces in order of time, joined by ";". coverage: the share of the video that was looked at.
    reasons and notes: sentences. content_credentials to device: of the file, whatever it shows; the
    status, the signer and whether the signature and all that it covers hold, the claims that AI
    took part, when and by what it was recorded as it says. A video that could not be judged has a
    word in `error` and no verdict. Cells without a value are empty;
    text is escaped as by `csv_cells.escape_cell`.
    """
    row = _row(result)
    return csv_line(row.get(name) for name in COLUMNS)


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
    }


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

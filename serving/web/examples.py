"""Examples for the OpenAPI description of the HTTP API."""

from __future__ import annotations

from typing import Any

from serving.provenance.content_credentials import NONE_FOUND

_ID = "Zb1qk3xYc0m9T4nS7uVwE2aLr8fHd6pJ"

JOB: dict[str, Any] = {
    "id": _ID,
    "state": "running",
    "name": "interview.mp4",
    "progress": {
        "stage": "faces",
        "position": None,
        "done": 0.5,
        "detail": "32 of 64 moments",
        "stopping": False,
    },
    "problem": None,
    "links": {
        "self": f"/api/v1/jobs/{_ID}",
        "events": f"/api/v1/jobs/{_ID}/events",
        "report_json": f"/api/v1/jobs/{_ID}/report.json",
        "report_html": f"/api/v1/jobs/{_ID}/report.html",
        "page": f"/jobs/{_ID}",
    },
}

REPORT: dict[str, Any] = {
    "schema": "dfdetect-report/1",
    "verdict": "FAKE",
    "probability_fake": 0.87,
    "calibrated": True,
    "thresholds": {"real_below": 0.3, "fake_above": 0.7},
    "reliability": {"low": 0.8, "high": 0.9, "videos": 24, "fake": 21},
    "reasons": ["Moments with a usable face: 2 of 2; median face 96 px."],
    "detail": "",
    "coverage": {
        "duration_s": 10.0,
        "seconds": 0.32,
        "share": 0.032,
        "moments": 2,
        "moments_with_face": 2,
        "usable_share": 1.0,
        "largest_gap_s": 8.68,
        "frames": 4,
        "frames_total": 250,
        "gaps": [[0.0, 1.0], [1.32, 10.0]],
    },
    "strip": [{"n": 0, "time_s": 1.08}, {"n": 1, "time_s": 1.24}],
    "frames_sampled": 4,
    "frames_with_face": 3,
    "median_face_px": 96.0,
    "picture": {"width": 1280, "height": 720},
    "tracks": [
        {
            "track": 0,
            "verdict": "FAKE",
            "probability_fake": 0.87,
            "decides": True,
            "start_s": 1.0,
            "end_s": 1.24,
            "frames": 3,
            "median_face_px": 96.0,
            "face": 0,
            "times_s": [1.0, 1.08, 1.16, 1.24],
            "frame_probability": [0.81, None, 0.92, 0.88],
            "boxes": [
                [590, 210, 686, 330],
                None,
                [594, 211, 690, 331],
                [597, 211, 693, 332],
            ],
            "segments": [{"start_s": 1.0, "end_s": 1.24, "probability_fake": 0.87, "clips": 2}],
        }
    ],
    "peaks": [{"track": 0, "start_s": 1.16, "end_s": 1.24, "probability_fake": 0.92}],
    "faces": [
        {
            "n": 0,
            "track": 0,
            "time_s": 1.0,
            "frame_probability": 0.81,
            "kind": "best",
            "heat_map": True,
        }
    ],
    "file": {
        "name": "interview.mp4",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "bytes": 1048576,
        "duration_s": 10.0,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "codec": "h264",
        "width": 1280,
        "height": 720,
        "fps": 25.0,
    },
    "file_facts": {
        "content_credentials": {
            "status": "none_found",
            "summary": NONE_FOUND,
            "signature": "unknown",
            "content": "unknown",
            "claims": "unknown",
            "trust": "not_checked",
            "organisation": "",
            "name": "",
            "serial_number": "",
            "signed_at": "",
            "tool": "",
            "title": "",
            "ai": [],
            "actions": [],
            "assertions": [],
            "ingredients": [],
            "problems": [],
        },
        "container": {
            "brands": "isom iso2 avc1 mp41",
            "created": "2026-01-30T08:12:44.000000Z",
            "make": "",
            "model": "",
            "encoder": "Lavf61.7.100",
            "software": [],
            "tags": {"video.handler_name": "VideoHandler"},
            "edit_lists": [
                {
                    "kind": "vide",
                    "media_s": 10.0,
                    "hidden_s": 0.0,
                    "number": 1,
                    "edits": [{"duration_s": 10.0, "start_s": 0.08, "rate": 1.0}],
                }
            ],
            "has_location": True,
            "location": "",
        },
        "encoding": {
            "codec": "H.264 / AVC / MPEG-4 AVC / MPEG-4 part 10",
            "profile": "High",
            "pixel_format": "yuv420p",
            "bit_rate": 833000,
            "frames": 250,
            "keyframes": 5,
            "gop": {"number": 5, "shortest": 50, "median": 50.0, "longest": 50},
            "frame_types": {"I": 5, "P": 95, "B": 150},
            "encoder": "",
        },
        "problems": [],
    },
    "model": {
        "name": "dfdetect",
        "version": "1",
        "fingerprint": "0123456789abcdef",
        "trained_on": ["faceforensics"],
        "sample_data": False,
        "tested_on": ["faceforensics"],
        "false_alarm_rate": 0.01,
        "test_videos": 140,
    },
    "opinions": [],
    "models_disagree": False,
    "processing_s": {"faces": 2.1, "model": 0.9, "total": 3.1},
    "created": "2026-01-31T12:00:00Z",
    "limits": ["Only faces are judged: an edit outside of faces is not seen."],
}

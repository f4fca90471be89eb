"""HTML of a report document (`dfdetect-report/1`): a file of its own, or a part of a page.

Both are the same template, so that a person reads the same everywhere.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from pipelines.byte_sizes import byte_size
from pipelines.coverage import MIN_USABLE_SHARE, Coverage
from pipelines.verdict import Evidence
from serving.analysis.sentences import clock, fake_parts, file_format, looked_at
from serving.analysis.timeline import SHAPES, Timeline, dash_of, style_of, timeline
from serving.analysis.video_result import DEMO, DEMO_REASON, DEMO_WORDS

WEB = Path(__file__).parents[1] / "web"
STYLE = WEB / "static" / "style.css"

# Verdict, or DEMO in place of it -> (the words for it, the name of its icon and colour).
WORDS = {
    "FAKE": ("Likely FAKE", "fake"),
    "REAL": ("Likely REAL", "real"),
    "INCONCLUSIVE": ("INCONCLUSIVE", "unsure"),
    "NO_FACE": ("NOT ANALYSED: no face", "none"),
    DEMO: (DEMO_WORDS, "none"),
}
KINDS = {"most": "Most suspicious", "least": "Least suspicious"}
DEMO_KINDS = {"most": "Highest scores", "least": "Lowest scores"}
UNCALIBRATED = (
    "Uncalibrated: this model's score was never compared with how many such videos are fake. "
    "It puts videos in an order; read no probability into it."
)
NBSP = "\N{NO-BREAK SPACE}"
TENTHS_UP_TO_S = 60.0  # of videos up to this length a timeline tells tenths of seconds
UNFOLDED = 8  # faces whose cards are shown at once
# The overlay at its hottest spot still lets the face show through.
HEAT_OPACITY = 0.8


@dataclasses.dataclass(frozen=True)
class FacePicture:
    """A crop as the page shows it. image, heat: data URLs; heat is "" where there is none."""

    number: int
    kind: str
    time_s: float
    probability: float
    image: str
    heat: str


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """The whole picture at a moment. image: a data URL."""

    time_s: float
    image: str


@dataclasses.dataclass(frozen=True)
class PageOf:
    """What only the page of a job has: where its files are, and when its result goes.

    job: the address of the job in the API. review: a sentence on that of the file, "" where there
    is none, None where the server takes no reviews.
    """

    job: str
    kept: str
    review: str | None = None


@functools.cache  # compiling the templates takes longer than filling them in
def environment() -> jinja2.Environment:
    """Templates of pages and reports; what a document says is text, never markup."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(moment=moment, percent=percent, exact=exact, size=size)
    made.globals.update(shapes=SHAPES, dash_of=dash_of, style_of=style_of, unfolded=UNFOLDED)
    return made


def render(
    document: Mapping[str, Any],
    crops: Sequence[bytes],
    heat_maps: Sequence[np.ndarray | None],
    strip: Sequence[bytes],
    video_url: str | None = None,
) -> str:
    """The report as one HTML file that loads nothing else.

    crops: the JPEG of each of the document's faces. heat_maps: of each face (h, w) float32,
    0 to 1, or None. strip: the JPEG of each of the document's moments of that name. video_url: a
    copy of the video that the reader's browser may play; the report then loads that. Raises
    ValueError where the lengths differ.
    """
    template = environment().get_template("report.html")
    view = _view(document, crops, heat_maps, strip)
    return template.render(**view, page=None, video_url=video_url, style=page_style(document))


def page_style(document: Mapping[str, Any] | None = None) -> str:
    """The style of a page that loads none; with what stands at the foot of each printed page of a
    report."""
    running = f":root {{ --running: {css_string(_running(document))}; }}" if document else ""
    return STYLE.read_text() + running


def render_part(
    document: Mapping[str, Any],
    crops: Sequence[bytes],
    heat_maps: Sequence[np.ndarray | None],
    strip: Sequence[bytes],
    page: PageOf | None,
) -> str:
    """The same as a part of a job's page, which has the style and, unless `page` is None, the
    script. Raises ValueError."""
    template = environment().get_template("part.html")
    return template.render(**_view(document, crops, heat_maps, strip), page=page, video_url=None)


def _view(
    document: Mapping[str, Any],
    crops: Sequence[bytes],
    heat_maps: Sequence[np.ndarray | None],
    strip: Sequence[bytes],
) -> dict[str, Any]:
    if not len(document["faces"]) == len(crops) == len(heat_maps):
        raise ValueError(
            f"{len(crops)} crops and {len(heat_maps)} heat maps for the {len(document['faces'])} "
            "faces of the document; expected one of each for each face."
        )
    if len(document["strip"]) != len(strip):
        raise ValueError(
            f"{len(strip)} pictures for the {len(document['strip'])} of the document's strip; "
            "expected one for each."
        )
    word, tone = WORDS[document["verdict"]]
    demo = document["model"]["sample_data"]
    numbers = {track["track"]: number for number, track in enumerate(document["tracks"], 1)}
    faces = {
        face["n"]: FacePicture(
            number=numbers[face["track"]],
            kind=face["kind"],
            time_s=face["time_s"],
            probability=face["frame_probability"],
            image=_data_url(crop, "jpeg"),
            heat="" if heat_map is None else _data_url(heat_png(heat_map, crop), "png"),
        )
        for face, crop, heat_map in zip(document["faces"], crops, heat_maps, strict=True)
    }
    drawn = timeline(document) if document["tracks"] else None
    return {
        "document": document,
        "demo": demo,
        "running": css_string(_running(document)),
        "format": file_format(document["file"]["container"], document["file"]["codec"]),
        "heat_scale": heat_scale(),
        "why_none": DEMO_REASON if demo else "",
        "reasons": [reason for reason in document["reasons"] if reason != DEMO_REASON],
        "word": word,
        "tone": tone,
        "score": score_text(document["probability_fake"], document["thresholds"]),
        "parts": _parts(document),
        "coverage": _looked_at(document),
        "meaning": [] if demo else _meaning(document),
        "advice": _advice(document),
        "numbers": numbers,
        "faces": faces,
        "extremes": _extremes(faces, DEMO_KINDS if demo else KINDS),
        "title": _title(document),
        "timeline": drawn,
        "jumps": _jumps(document, drawn),
        "strip": [
            Thumbnail(moment_of["time_s"], _data_url(image, "jpeg"))
            for moment_of, image in zip(document["strip"], strip, strict=True)
        ],
        "stamp": moment if _length_s(document) < TENTHS_UP_TO_S else clock,
        "words": WORDS,
        "false_alarms": "" if demo else _false_alarms(document["model"]),
    }


def _jumps(document: Mapping[str, Any], drawn: Timeline | None) -> tuple[str, list[float]]:
    """(what they are called, seconds in order): where what to look at first begins."""
    if drawn and drawn.bands:
        return "suspicious part", sorted({band.start_s for band in drawn.bands})
    return "peak", sorted({peak["start_s"] for peak in document["peaks"]})


def _running(document: Mapping[str, Any]) -> str:
    """What stands at the foot of each printed page."""
    return f"{document['file']['name']} · SHA-256 {document['file']['sha256'][:16]}…"


def _looked_at(document: Mapping[str, Any]) -> str:
    """How much of the video was looked at; "" where that is not known."""
    if document["coverage"] is None:
        return ""
    sentence = looked_at(Coverage.from_dict(document["coverage"]), with_frames=True)
    return sentence[0].upper() + sentence[1:].replace(" %", f"{NBSP}%") + "."


def _parts(document: Mapping[str, Any]) -> str:
    """Where the video is fake, if it is."""
    segments = [
        (part["start_s"], part["end_s"])
        for track in document["tracks"]
        for part in track["segments"]
    ]
    return fake_parts(segments, _length_s(document))


def _length_s(document: Mapping[str, Any]) -> float:
    coverage = document["coverage"]
    return coverage["duration_s"] if coverage else document["file"]["duration_s"] or 0.0


def _title(document: Mapping[str, Any]) -> str:
    coverage = document["coverage"]
    if not document["tracks"] and not document["strip"]:
        return "The video"
    if coverage is not None and not coverage["gaps"]:
        return "The video, second by second"
    return "The moments that were looked at"


def _advice(document: Mapping[str, Any]) -> str:
    """What to do where a score would be REAL, and too little was looked at; "" elsewhere."""
    coverage, score = document["coverage"], document["probability_fake"]
    if not coverage or document["verdict"] != "INCONCLUSIVE":
        return ""
    if score > document["thresholds"]["real_below"]:
        return ""
    deciding = next(track for track in document["tracks"] if track["decides"])
    if Evidence(deciding["frames"], deciding["median_face_px"]).lacks():
        return ""
    if coverage["usable_share"] < MIN_USABLE_SHARE:
        return (
            "Send the part of the video that shows the face, or a copy in which it is larger: "
            "faces that are small, covered, turned away or on their side are not found."
        )
    return (
        "Send the video in parts, or have more of it looked at by a larger --max-clips or a "
        "smaller --every."
    )


def _meaning(document: Mapping[str, Any]) -> list[str]:
    """How far the number is to be believed."""
    sentences = [] if document["calibrated"] else [UNCALIBRATED]
    held_out = document["reliability"]
    if held_out is not None and held_out["videos"]:
        low, high = round(100 * held_out["low"]), round(100 * held_out["high"])
        sentences.append(
            f"Of held-out videos scored {low}–{high}{NBSP}%, {held_out['fake']} of "
            f"{held_out['videos']} were fake."
        )
    elif document["calibrated"] and document["probability_fake"] is not None:
        sentences.append(
            "How many held-out videos with such a score were fake is not known: "
            "the model has no test figures for it."
        )
    return sentences


def _extremes(
    faces: Mapping[int, FacePicture], titles: Mapping[str, str]
) -> list[tuple[str, list[FacePicture]]]:
    """The most and the least suspicious crops, each kind with its title."""
    most = sorted((f for f in faces.values() if f.kind == "most"), key=lambda f: -f.probability)
    least = sorted((f for f in faces.values() if f.kind == "least"), key=lambda f: f.probability)
    return [(titles[k], group) for k, group in (("most", most), ("least", least)) if group]


def _false_alarms(model: Mapping[str, Any]) -> str:
    if model["false_alarm_rate"] is None:
        return "How often this model calls a real video FAKE was not measured."
    sets = ", ".join(model["tested_on"]) or "its test data"
    count = model["test_videos"]
    videos = "" if count is None else f" ({count} videos, real and fake)"
    return (
        f"On {sets}{videos} this model called {exact(model['false_alarm_rate'])} of the real "
        "videos FAKE. Elsewhere it may be more."
    )


def score_text(probability: float | None, thresholds: Mapping[str, float]) -> str:
    """P(fake) in percent; with decimals where rounding would put it beyond a threshold."""
    if probability is None:
        return ""

    def side(value: float) -> tuple[bool, bool]:
        return value <= thresholds["real_below"], value >= thresholds["fake_above"]

    for decimals in range(4):
        rounded = round(100 * probability, decimals)
        if side(rounded / 100) == side(probability):
            break
    return f"{rounded:.{decimals}f}{NBSP}%" if decimals else percent(probability)


def percent(share: float) -> str:
    """A share in whole percent, and never certainty."""
    if share >= 0.995:
        return f"over 99{NBSP}%"
    return f"under 1{NBSP}%" if share < 0.005 else f"{100 * share:.0f}{NBSP}%"


def exact(share: float) -> str:
    """A share in percent with at most one decimal."""
    return f"{round(100 * share, 1):g}{NBSP}%"


def moment(seconds: float) -> str:
    """A time in the video as 0:03.2."""
    return clock(seconds, tenths=True)


def size(count: int) -> str:
    """A number of bytes for people, on one line."""
    return byte_size(count).replace(" ", NBSP)


def heat_png(heat_map: np.ndarray, crop: bytes) -> bytes:
    """A heat map (h, w) float32, 0 to 1, as RGBA to be laid over its crop, of the crop's size.

    Raises ValueError for a crop that is no image.
    """
    pixels = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"The crop, {len(crop)} bytes, is no image; expected a JPEG.")
    height, width = pixels.shape[:2]
    heat = cv2.resize(heat_map.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    level = (np.clip(heat, 0, 1) * 255).astype(np.uint8)
    colour = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)  # BGR, as imencode takes it
    alpha = (level * HEAT_OPACITY).astype(np.uint8)[..., None]
    return cv2.imencode(".png", np.concatenate([colour, alpha], axis=2))[1].tobytes()


def heat_scale() -> list[str]:
    """Colours of a heat map's legend, from where the model looked least on, as #rrggbb."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)[None]
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[0]  # BGR
    return [f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in colours.tolist()]


def css_string(text: str) -> str:
    """The text as a string of CSS, of which every character that could end it is escaped."""
    kept = "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in text)
    return f'"{kept}"'


def _data_url(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"

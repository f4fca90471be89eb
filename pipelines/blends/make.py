"""The making of a data set of pairs: faces are found here, pairs are made by processes."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import math
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import threadpoolctl

from pipelines.atomic import replacing_folder
from pipelines.blends.canvas import CANVAS_SIDE, Aligned, align, onto_canvas, paste
from pipelines.blends.encode import CODECS, draw_encodings, encode_pair
from pipelines.blends.footage import DATASET, Footage, Shot, look, real_videos
from pipelines.blends.methods import METHODS
from pipelines.blends.settings import BlendSettings
from pipelines.clip import FAKE, ORIGINAL, REAL, Reject, Video, VideoError
from pipelines.datasets import write_manifest
from pipelines.datasets.base import GENERATED, generated_mark
from pipelines.datasets.manifest import FOLDER_LIST
from pipelines.errors import DfdetectError

REJECTS_NAME = "rejects.jsonl"
PAIRS_NAME = "pairs.jsonl"  # how each pair was made
CANVAS_PX = (96, 640)
DONORS_TRIED = 12  # of these the one is taken whose head is turned most alike

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


class BlendError(DfdetectError):
    """Input of which no pair can be made."""


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One pair. number: in the data set. target, donor: whose face is pasted onto whose; the same
    for methods that need no donor."""

    root: Path
    number: int
    method: str
    target: Footage
    donor: Footage
    settings: BlendSettings


@dataclasses.dataclass(frozen=True)
class Made:
    """What was made: pairs by method, and what could not be used, by reason."""

    pairs: dict[str, int]
    rejects: dict[str, int]


def make_blends(
    root: Path,
    out: Path,
    settings: BlendSettings,
    overwrite: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Made:
    """Writes a data set of pairs to the folder `out`; all of it or nothing.

    It is one for `dfdetect preprocess`, with the people and splits of each video. The same input
    and settings give the same bytes. Raises DatasetError and BlendError where there is nothing to
    make it of, and FileExistsError where `out` holds something and `overwrite` was not asked for.
    """
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: exists already. Give another folder, or --overwrite.")
    videos, rejects = real_videos(root, settings.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(out) as temporary:
        footage = _find_faces(videos, settings, rejects, progress)
        jobs = _plan(temporary, footage, settings)
        made: list[Video] = []
        lines: list[str] = []
        for done, result in enumerate(_run(jobs, settings.workers), 1):
            if isinstance(result, Reject):
                rejects.append(result)
            else:
                made += result[0]
                lines.append(json.dumps(result[1]) + "\n")
            progress("pairs", done, len(jobs))
        if not made:
            raise BlendError(f"{root}: no pair could be made. {rejects[-1].detail}")
        lost = "".join(json.dumps(reject.to_line()) + "\n" for reject in sorted(rejects))
        (temporary / REJECTS_NAME).write_text(lost)
        (temporary / PAIRS_NAME).write_text("".join(lines))
        if mark := generated_mark(videos):  # what is made of generated people is generated, too
            shutil.copyfile(mark, temporary / GENERATED)
        (temporary / FOLDER_LIST).write_bytes(write_manifest(made, temporary))
    return Made(
        dict(Counter(video.method for video in made if video.label == FAKE)),
        dict(Counter(reject.reason for reject in rejects)),
    )


def _find_faces(
    videos: Sequence[Video], settings: BlendSettings, rejects: list[Reject], progress: Progress
) -> list[Footage]:
    """Adds to the rejects those in which there is none."""
    # Here, for it loads TensorFlow, and this module is loaded by each worker process.
    from pipelines.config import PreprocessConfig
    from pipelines.faces.detect import MtcnnDetector

    detector = MtcnnDetector(PreprocessConfig().min_face)
    footage: list[Footage] = []
    for number, video in enumerate(videos):
        rng = np.random.default_rng([settings.seed, number, 1])
        try:
            footage.append(look(video, detector, rng, settings.seconds))
        except VideoError as error:
            rejects.append(_rejected(video, error))
        progress("faces", number + 1, len(videos))
    if not footage:
        raise BlendError(
            f"none of {len(videos)} real videos and pictures can be used. {rejects[-1].detail}"
        )
    return footage


def _rejected(video: Video, error: VideoError) -> Reject:
    return Reject(video.key, video.uri, error.reason, error.stage, error.detail)


def _plan(root: Path, footage: Sequence[Footage], settings: BlendSettings) -> list[Job]:
    """The pairs. Each real is taken once before any is taken again; the methods take turns."""
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(footage))
    methods = settings.chosen
    jobs = []
    for number in range(settings.pairs or len(footage)):
        target = footage[order[number % len(footage)]]
        # One further at each time that the same real would get the same method again.
        first = number + number // math.lcm(len(footage), len(methods))
        rotated = [methods[(first + i) % len(methods)] for i in range(len(methods))]
        donors = [other for other in footage if _may_give(other, target)]
        name = next((m for m in rotated if donors or not METHODS[m].needs_donor), None)
        if name is None:
            raise BlendError(
                f"no other person than {target.video.id} is in its split ({target.video.split}), "
                f"and {', '.join(methods)} need one. Give more people, or other --methods."
            )
        donor = _donor(donors, target, rng) if METHODS[name].needs_donor else target
        jobs.append(Job(root, number, name, target, donor, settings))
    return jobs


def _may_give(donor: Footage, target: Footage) -> bool:
    """Whether it shows other people, of the same split."""
    apart = set(donor.video.identities).isdisjoint(target.video.identities)
    return apart and donor.video.split == target.video.split


def _donor(donors: Sequence[Footage], target: Footage, rng: np.random.Generator) -> Footage:
    some = rng.choice(len(donors), min(DONORS_TRIED, len(donors)), replace=False)
    pose = _pose(target)
    return min((donors[i] for i in some), key=lambda d: float(np.abs(_pose(d) - pose).sum()))


def _pose(footage: Footage) -> np.ndarray:
    """(5, 2): the mean landmarks, aligned; they say how the head is turned."""
    seen = footage.landmarks[footage.landmarks.any(axis=(1, 2))]
    return np.mean([onto_canvas(points, 1)[0] for points in seen], axis=0)


def _run(jobs: Sequence[Job], workers: int) -> Iterator[tuple[list[Video], dict] | Reject]:
    workers = min(len(jobs), workers or os.cpu_count() or 1)
    # Fresh processes: a fork of one that runs TensorFlow's threads can hang.
    with concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _compute_with_one_thread
    ) as pool:
        yield from pool.map(_make_pair, jobs)


def _compute_with_one_thread() -> None:
    """In a worker: there is one for every core already."""
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)


def _make_pair(job: Job) -> tuple[list[Video], dict] | Reject:
    """Two videos, written, and how they were made."""
    seeds = [job.settings.seed, job.number]
    target, face_px = job.target, job.target.face_px
    # Neither the motion nor the encoders know of the method.
    filmed, drawn, edited = (np.random.default_rng([*seeds, i]) for i in (2, 3, 4))
    encodings = draw_encodings(drawn, target.size, face_px)
    suffix = CODECS[encodings[-1].codec].suffix
    name = f"{job.number:06d}{suffix}"
    ids = {REAL: f"videos/{ORIGINAL}/{name}", FAKE: f"videos/{job.method}/{name}"}
    paths = {label: job.root / id for label, id in ids.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        shot = target.shot(filmed, job.settings.seconds)
        frames = pair_frames(job.method, shot, job.donor, face_px, edited)
        encode_pair(frames, shot.rate, encodings, (paths[REAL], paths[FAKE]))
    except VideoError as error:
        for path in paths.values():
            path.unlink(missing_ok=True)
        return _rejected(target.video, error)
    people = tuple(dict.fromkeys((*target.video.identities, *job.donor.video.identities)))
    real = Video(
        id=ids[REAL],
        uri=str(paths[REAL]),
        label=REAL,
        dataset=DATASET,
        compression=encodings[-1].codec,
        identities=target.video.identities,
        source_id=ids[REAL],
        split=target.video.split,
    )
    fake = dataclasses.replace(
        real, id=ids[FAKE], uri=str(paths[FAKE]), label=FAKE, method=job.method, identities=people
    )
    how = {
        "pair": job.number,
        "method": job.method,
        "target": target.video.id,
        "donor": job.donor.video.id,
        "frames": len(shot.landmarks),
        "rate": str(shot.rate),
        "face_px": round(face_px * encodings[-1].width / target.size[0]),
        "encodings": [dataclasses.asdict(encoding) for encoding in encodings],
    }
    return [real, fake], how


def pair_frames(
    method: str, shot: Shot, donor: Footage, face_px: float, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each frame of the shot the real and the fake one, (H, W, 3) uint8 RGB, before encoding.

    donor: whose face is given, where the method needs one; of a shorter video the frames come
    back and forth. face_px: of the shot's face.
    """
    side = int(np.clip(round(rng.uniform(0.8, 1.2) * CANVAS_SIDE * face_px), *CANVAS_PX))
    edit = METHODS[method].draw(rng, len(shot.landmarks), side)
    given = donor.faces(side) if METHODS[method].needs_donor else []
    there_and_back = [*given, *given[-2:0:-1]]
    for t, (image, points) in enumerate(zip(shot.images, shot.landmarks, strict=True)):
        if not points.any():
            yield image, image
            continue
        face: Aligned = align(image, points, side)
        over, mask = edit(t, face, there_and_back[t % len(there_and_back)] if given else face)
        yield image, paste(image, face, over, mask)

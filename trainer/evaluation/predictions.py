"""A model's scores of the clips and videos of data sets: what all figures are computed from."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.clip import Video
from pipelines.shards.layout import MANIFEST_NAME, REJECTS_NAME
from pipelines.verdict import Verdict
from trainer.evaluation.measured_model import Detector
from trainer.evaluation.scored import ScoredClip, ScoredVideo, score_videos, video_key

BATCH = 8  # clips
SEPARATOR = "\x1f"  # between identities while they are one string
USED_STAGES = ("decode", "faces")  # of rejects: earlier ones concern what is in no split


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model says of the splits of some data sets.

    clips: those of all; `ScoredVideo.clips` are their numbers. videos: also those without a face,
    as far as the data sets keep a list of them (`listed`). unusable: videos that are in neither,
    counted by reason. conditions: of `evaluation.robustness`, and `under_conditions`, P(fake) of
    the clips under each, (conditions, clips).
    """

    folders: tuple[str, ...]
    infos: tuple[dict[str, Any], ...]
    splits: tuple[str, ...]
    clips: list[ScoredClip]
    videos: list[ScoredVideo]
    listed: bool
    unusable: dict[str, int]
    conditions: tuple[Any, ...]
    under_conditions: np.ndarray

    @property
    def scored(self) -> list[ScoredVideo]:
        """The videos that have a score."""
        return [video for video in self.videos if video.score is not None]


def predict(
    detector: Detector,
    folders: Sequence[str | os.PathLike],
    splits: Sequence[str],
    conditions: Sequence[Any] = (),
    seed: int = 0,
) -> Predictions:
    """Scores the splits of all data sets.

    Raises ValueError where crops do not fit the model, a split is empty or damaged, a score is not
    a number, or two data sets hold the same video; FileNotFoundError where there are no shards.
    """
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise ValueError(f"{', '.join(map(str, folders))}: give each data set once.")
    infos = [_fitting_info(detector, folder) for folder in folders]
    # Before the work, so that what cannot be read stops it at once.
    parts = [
        (number, split, _records(folders[number], infos[number], split))
        for number in range(len(folders))
        for split in splits
    ]
    missing = [unscored_videos(folders[number], split, number) for number, split, _ in parts]
    clips: list[ScoredClip] = []
    corrupted: list[np.ndarray] = []
    for number, split, records in parts:
        rows, under = score_clips(
            detector, records, split, folders[number], number, conditions, seed
        )
        clips += rows
        corrupted.append(under)
    _check_apart(clips, folders)
    if not any(len(clip.times_s) for clip in clips):
        raise ValueError(
            f"{', '.join(map(str, folders))}: no {' or '.join(splits)} clip holds a face."
        )
    return Predictions(
        folders=tuple(map(str, folders)),
        infos=tuple(infos),
        splits=tuple(splits),
        clips=clips,
        videos=score_videos(clips, detector.thresholds)
        + [video for found in missing if found for video in found[0]],
        listed=all(found is not None for found in missing),
        unusable=dict(sorted(sum((found[1] for found in missing if found), Counter()).items())),
        conditions=tuple(conditions),
        under_conditions=np.concatenate(corrupted, axis=1),
    )


def _fitting_info(detector: Detector, folder: str | os.PathLike) -> dict[str, Any]:
    from trainer.input.clips import load_dataset_info

    info = load_dataset_info(folder, detector.fingerprint)
    found = (info["config"]["frames_per_clip"], info["config"]["crop_size"])
    if found != detector.shape:
        raise ValueError(
            f"{folder}: clips of {found[0]} frames of {found[1]} px, the model takes "
            f"{detector.shape[0]} of {detector.shape[1]} px. Preprocess with the model's settings."
        )
    return info


def _check_apart(clips: Sequence[ScoredClip], folders: Sequence[str | os.PathLike]) -> None:
    """Raises ValueError where a video is in two data sets: it would be one with more clips."""
    first: dict[tuple[str, ...], int] = {}
    for clip in clips:
        number = first.setdefault(video_key(clip.video), clip.data)
        if number != clip.data:
            raise ValueError(
                f"{clip.video.key} ({clip.video.method}) is in {folders[number]} and in "
                f"{folders[clip.data]}: give each video once."
            )


def _records(data: str | os.PathLike, info: Mapping[str, Any], split: str) -> Any:
    """The split's serialized records. Raises ValueError where it has none."""
    from trainer.input.clips import read_records, shard_paths

    paths = shard_paths(data, info, split)
    if not paths:
        there = [name for name, part in info["splits"].items() if part.get("clips")]
        raise ValueError(
            f"{data} has no {split} clips; there are clips of {', '.join(there) or 'no split'}."
        )
    return read_records(paths)


def _parse(record: Any, frames: int, side: int) -> dict[str, Any]:
    """A record -> what `parse_clip` gives, and what the tables say of a clip; times_s (T,) and
    boxes (T, 4) are cut or padded as its frames are."""
    import tensorflow as tf

    from pipelines.shards import schema
    from trainer.input.clips import parse_clip, to_length

    names = ("video/id", "video/dataset", "video/compression", "identities", "source_id")
    context_spec, frame_spec = schema.feature_spec()
    context, sequence, _ = tf.io.parse_sequence_example(
        record[None],
        {name: context_spec[name] for name in names},
        {name: frame_spec[name] for name in ("frame/time_s", "frame/box")},
    )
    return {
        **parse_clip(record, side, frames),
        "id": context["video/id"][0],
        "dataset": context["video/dataset"][0],
        "compression": context["video/compression"][0],
        "source": context["source_id"][0],
        "identities": tf.strings.reduce_join(context["identities"][0], separator=SEPARATOR),
        "times_s": to_length(sequence["frame/time_s"][0], frames),
        "boxes": to_length(sequence["frame/box"][0], frames),
    }


def score_clips(
    detector: Detector,
    records: Any,
    split: str,
    folder: str | os.PathLike,
    number: int = 0,
    conditions: Sequence[Any] = (),
    seed: int = 0,
) -> tuple[list[ScoredClip], np.ndarray]:
    """Every clip of a data set of serialized records, read once and scored, in its order; and
    P(fake) of them under each condition of trainer.evaluation.robustness, (conditions, clips).

    folder: where they lie, for errors. number: kept with the clips as `data`. Raises ValueError
    where a record cannot be read or P(fake) is not a number.
    """
    import tensorflow as tf

    from trainer.input.clips import readable

    if conditions:
        from trainer.evaluation.robustness import corrupt

    frames, side = detector.shape
    batches = (
        records.map(
            lambda record: _parse(record, frames, side),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .batch(BATCH)
        .prefetch(2)
    )
    clips: list[ScoredClip] = []
    corrupted: list[np.ndarray] = []
    for step, batch in enumerate(readable(batches, folder)):
        pixels, mask = batch["clips"], batch["mask"]
        probabilities, of_frames = detector.predict(pixels, mask)
        _check_numbers(detector, batch, probabilities)
        corrupted.append(
            np.array(
                [
                    detector.predict(corrupt(pixels, condition, seed + step), mask)[0]
                    for condition in conditions
                ]
            ).reshape(len(conditions), len(probabilities))
        )
        clips += _rows(batch, probabilities, of_frames, split, number, len(clips))
    return clips, np.concatenate(corrupted, axis=1)


def _check_numbers(detector: Detector, batch: Mapping[str, Any], probabilities: np.ndarray) -> None:
    """Raises ValueError for a clip with a frame whose P(fake) is not a number: the highest of a
    video's tracks could be another one, and hide it."""
    broken = ~np.isfinite(probabilities) & batch["mask"].numpy().any(axis=1)
    if broken.any():
        video = batch["video"].numpy()[broken][0].decode()
        raise ValueError(
            f"{detector.name}: P(fake) of a clip of {video} is {probabilities[broken][0]}: the "
            "model is broken."
        )


def _rows(
    batch: Mapping[str, Any],
    probabilities: np.ndarray,
    of_frames: np.ndarray,
    split: str,
    number: int,
    first: int,
) -> list[ScoredClip]:
    values = {name: tensor.numpy() for name, tensor in batch.items() if name != "clips"}
    boxes = values["boxes"]
    sides = np.minimum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])  # (B, T)
    rows = []
    for i, probability in enumerate(probabilities):
        found = values["mask"][i]
        known = sides[i][found & (sides[i] > 0)]
        text = {
            name: values[name][i].decode()
            for name in ("id", "dataset", "method", "compression", "source", "identities")
        }
        rows.append(
            ScoredClip(
                video=Video(
                    id=text["id"],
                    uri="",
                    label=int(values["label"][i]),
                    dataset=text["dataset"],
                    method=text["method"],
                    compression=text["compression"],
                    identities=tuple(filter(None, text["identities"].split(SEPARATOR))),
                    source_id=text["source"],
                    split=split,
                ),
                data=number,
                position=first + i,
                track=int(values["track"][i]),
                clip=int(values["clip"][i]),
                probability_fake=float(probability),
                times_s=values["times_s"][i][found],
                frame_probabilities=of_frames[i][found],
                face_px=round(float(np.median(known)), 1) if len(known) else None,
            )
        )
    return rows


def crops_of(
    data: str | os.PathLike, info: Mapping[str, Any], split: str, positions: Sequence[int]
) -> dict[int, list[bytes]]:
    """By position: the encoded crops of a clip's frames with a face.

    Goes through the shards a second time but decodes nothing, which takes less than keeping all
    crops in memory for the few that are shown.
    """
    from pipelines.shards import schema

    wanted = set(positions)
    found: dict[int, list[bytes]] = {}
    for position, record in enumerate(_records(data, info, split) if wanted else ()):
        if position in wanted:
            clip = schema.parse(record.numpy())[1]
            found[position] = [image for image in clip.images if image]
            if len(found) == len(wanted):
                break
    return found


def unscored_videos(
    data: str | os.PathLike, split: str, number: int = 0
) -> tuple[list[ScoredVideo], Counter[str]] | None:
    """The split's videos that are not in the shards: those without a face, and a count of the
    others by the reason why they could not be used. None where no list of the videos is kept.

    Raises ValueError where the list or the rejects cannot be read.
    """
    from pipelines.datasets.lists import LABELS, read_table

    path, rejects = Path(data) / MANIFEST_NAME, Path(data) / REJECTS_NAME
    if not (path.is_file() and rejects.is_file()):
        return None
    try:
        lines = [json.loads(line) for line in rejects.read_text().splitlines()]
        reasons = {r["video"]: r["reason"] for r in lines if r["stage"] in USED_STAGES}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{rejects} is not what `dfdetect preprocess` writes ({error!r}): run it again."
        ) from error
    faceless, others = [], Counter[str]()
    for _, row in read_table(path, ("uri", "label")):
        reason = reasons.get(f"{row.get('dataset')}/{row.get('id')}")
        if reason is None or row.get("split") != split:
            continue
        if reason != "no_face":
            others[reason] += 1
            continue
        video = Video(
            id=row["id"],
            uri="",
            label=LABELS[row["label"].lower()],
            dataset=row["dataset"],
            method=row.get("method", ""),
            compression=row.get("compression", ""),
            identities=tuple(filter(None, row.get("identities", "").split(";"))),
            source_id=row.get("source", ""),
            split=split,
        )
        faceless.append(ScoredVideo(video, number, None, Verdict.NO_FACE))
    return faceless, others

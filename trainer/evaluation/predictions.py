"""A model's predictions on splits of data sets: what every metric is computed from."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.clip import Video
from pipelines.coverage import ScanSettings
from pipelines.datasets.manifest import read_manifest
from pipelines.shards import schema
from pipelines.shards.layout import MANIFEST_NAME, REJECTS_NAME
from pipelines.shards.open import ClipDataset
from pipelines.verdict import Verdict
from trainer.evaluation.measured_model import ClipScores, Detector
from trainer.evaluation.robustness import Condition, corrupt
from trainer.evaluation.scored import ScoredClip, ScoredVideo, score_videos
from trainer.input.clips import parse_clip, read_records, readable, to_length

BATCH = 8  # clips
SEPARATOR = ","  # between identities while they are one string, each as Base64
USED_STAGES = ("decode", "faces")  # of rejects: earlier ones concern what is in no split


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model predicts for the splits of some data sets.

    clips: those of all; `ScoredVideo.clips` are their numbers. videos: also those without a face,
    as far as the data sets keep a list of them (`listed`). unusable: videos that are in neither,
    counted by reason. conditions: of `evaluation.robustness`, and `under_conditions`, P(fake) of
    the clips under each, (conditions, clips). settings: by which serving would look at just these
    clips (`evaluation.as_served`); None where the clips are all that the data sets hold.
    """

    datasets: tuple[ClipDataset, ...]
    splits: tuple[str, ...]
    clips: list[ScoredClip]
    videos: list[ScoredVideo]
    listed: bool
    unusable: dict[str, int]
    conditions: tuple[Condition, ...]
    under_conditions: np.ndarray
    settings: ScanSettings | None = None

    @property
    def scored(self) -> list[ScoredVideo]:
        """The videos that have a score."""
        return [video for video in self.videos if video.score is not None]


def predict(
    detector: Detector,
    datasets: Sequence[ClipDataset],
    splits: Sequence[str],
    conditions: Sequence[Condition] = (),
    seed: int = 0,
) -> Predictions:
    """Scores the splits of all data sets.

    Raises ValueError where crops do not fit the model, a split is empty or damaged, a score is not
    a number, or two data sets hold the same video.
    """
    folders = ", ".join(str(dataset.folder) for dataset in datasets)
    if len({dataset.folder.resolve() for dataset in datasets}) < len(datasets):
        raise ValueError(f"{folders}: give each data set once.")
    for dataset in datasets:
        _check_shape(detector, dataset)
    # Before the work, so that what cannot be read stops it at once.
    parts = [
        (number, split, _records(dataset, split))
        for number, dataset in enumerate(datasets)
        for split in splits
    ]
    missing = [unscored_videos(datasets[number], split, number) for number, split, _ in parts]
    clips: list[ScoredClip] = []
    corrupted: list[np.ndarray] = []
    for number, split, records in parts:
        folder = datasets[number].folder
        rows, under = score_clips(detector, records, split, folder, number, conditions, seed)
        clips += rows
        corrupted.append(under)
    _check_apart(clips, datasets)
    if not any(len(clip.times_s) for clip in clips):
        raise ValueError(f"{folders}: no {' or '.join(splits)} clip holds a face.")
    return Predictions(
        datasets=tuple(datasets),
        splits=tuple(splits),
        clips=clips,
        videos=score_videos(clips, detector.thresholds)
        + [video for part in missing if part for video in part[0]],
        listed=all(part is not None for part in missing),
        unusable=dict(sorted(sum((part[1] for part in missing if part), Counter()).items())),
        conditions=tuple(conditions),
        under_conditions=np.concatenate(corrupted, axis=1),
    )


def _check_shape(detector: Detector, dataset: ClipDataset) -> None:
    shape = (dataset.config.frames_per_clip, dataset.config.crop_size)
    if shape != detector.shape:
        raise ValueError(
            f"{dataset.folder}: clips of {shape[0]} frames of {shape[1]} px, the model takes "
            f"{detector.shape[0]} of {detector.shape[1]} px. Preprocess with the model's settings."
        )


def _check_apart(clips: Sequence[ScoredClip], datasets: Sequence[ClipDataset]) -> None:
    """Raises ValueError where a video is in two data sets: it would be one with more clips."""
    first: dict[tuple[str, ...], int] = {}
    for clip in clips:
        number = first.setdefault(clip.video.full_key, clip.data)
        if number != clip.data:
            raise ValueError(
                f"{clip.video.key} ({clip.video.method}) is in {datasets[number].folder} and in "
                f"{datasets[clip.data].folder}: give each video once."
            )


def _records(dataset: ClipDataset, split: str) -> tf.data.Dataset:
    """The split's serialized records. Raises ValueError where it has none."""
    shards = dataset.shards(split)
    if not shards:
        others = ", ".join(name for name in dataset.splits if dataset.clips(name))
        raise ValueError(
            f"{dataset.folder} has no {split} clips; there are clips of {others or 'no split'}."
        )
    return read_records([str(shard.path) for shard in shards])


def _parse(record: Any, frames: int, side: int) -> dict[str, Any]:
    """A record -> what `parse_clip` gives, and what the tables say of a clip; times_s (T,) and
    boxes (T, 4) are cut or padded as its frames are."""
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
        "identities": tf.strings.reduce_join(
            tf.io.encode_base64(context["identities"][0], pad=True), separator=SEPARATOR
        ),
        "times_s": to_length(sequence["frame/time_s"][0], frames),
        "boxes": to_length(sequence["frame/box"][0], frames),
    }


def score_clips(
    detector: Detector,
    records: tf.data.Dataset,
    split: str,
    folder: str | os.PathLike,
    number: int = 0,
    conditions: Sequence[Condition] = (),
    seed: int = 0,
) -> tuple[list[ScoredClip], np.ndarray]:
    """Every clip of a data set of serialized records, read once and scored, in its order; and
    P(fake) of them under each condition of trainer.evaluation.robustness, (conditions, clips).

    folder: where they lie, for errors. number: kept with the clips as `data`. Raises ValueError
    where a record cannot be read or P(fake) is not a number.
    """
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
        scores = detector.predict(pixels, mask)
        _check_numbers(detector, batch, scores.probability_fake)
        corrupted.append(
            np.array(
                [
                    detector.predict(corrupt(pixels, condition, seed + step), mask).probability_fake
                    for condition in conditions
                ]
            ).reshape(len(conditions), len(scores.probability_fake))
        )
        clips += _rows(batch, scores, split, number, len(clips))
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


def _identities(joined: str) -> tuple[str, ...]:
    """The names that `_parse` made one string of; a name may hold any character."""
    names = filter(None, joined.split(SEPARATOR))
    return tuple(base64.urlsafe_b64decode(name).decode() for name in names)


def _rows(
    batch: Mapping[str, Any],
    scores: ClipScores,
    split: str,
    number: int,
    first: int,
) -> list[ScoredClip]:
    values = {name: tensor.numpy() for name, tensor in batch.items() if name != "clips"}
    boxes = values["boxes"]
    sides = np.minimum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])  # (B, T)
    rows = []
    for i, probability in enumerate(scores.probability_fake):
        has_face = values["mask"][i]
        measured = sides[i][has_face & (sides[i] > 0)]
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
                    identities=_identities(text["identities"]),
                    source_id=text["source"],
                    split=split,
                ),
                data=number,
                position=first + i,
                track=int(values["track"][i]),
                clip=int(values["clip"][i]),
                probability_fake=float(probability),
                times_s=values["times_s"][i][has_face],
                frame_probabilities=scores.frame_probability[i][has_face],
                face_px=round(float(np.median(measured)), 1) if len(measured) else None,
                logit=float(scores.logit[i]),
                start_s=float(values["times_s"][i][0]),
            )
        )
    return rows


def crops_of(dataset: ClipDataset, split: str, positions: Sequence[int]) -> dict[int, list[bytes]]:
    """By position: the encoded crops of a clip's frames with a face.

    Goes through the shards a second time but decodes nothing, which takes less than keeping all
    crops in memory for the few that are shown.
    """
    wanted = set(positions)
    crops: dict[int, list[bytes]] = {}
    for position, record in enumerate(_records(dataset, split) if wanted else ()):
        if position in wanted:
            clip = schema.parse(record.numpy())[1]
            crops[position] = [image for image in clip.images if image]
            if len(crops) == len(wanted):
                break
    return crops


def unscored_videos(
    dataset: ClipDataset, split: str, number: int = 0
) -> tuple[list[ScoredVideo], Counter[str]] | None:
    """The split's videos that are not in the shards: those without a face, and a count of the
    others by the reason why they could not be used. None where no list of the videos is kept.

    Raises ValueError where the list or the rejects cannot be read.
    """
    path, rejects = dataset.folder / MANIFEST_NAME, dataset.folder / REJECTS_NAME
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
    for video in read_manifest(path):
        reason = reasons.get(video.key)
        if reason is None or video.split != split:
            continue
        if reason != "no_face":
            others[reason] += 1
            continue
        video = dataclasses.replace(video, uri="")  # as of those in the records
        faceless.append(ScoredVideo(video, number, None, Verdict.NO_FACE))
    return faceless, others

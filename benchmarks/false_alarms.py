"""False alarms as videos grow longer and fuller, with and without the search cost; fakes found.

python benchmarks/false_alarms.py FOLDER [--make] [--draws 200] [--max-fpr 0.05] [--noise 0]

FOLDER/run: a finished run of `dfdetect train`; FOLDER/data: shards of its settings, of 10 s videos
of other people, by `dfdetect preprocess --sampling all --splits val,test`. --make writes both, of
generated videos, in minutes. Thresholds and search cost are fitted on val; the real videos of
test, strung together and side by side, are looked at as serving would. Every clip is scored once,
so that 600 s cost no more decoding than 10.

--noise: generated videos are too easy to show a false alarm. Of each video --copies are made, as of
people of their own, to whose logits normal noise is added, of this many standard deviations of all
logits: seven tenths of its variance are of the copy, the rest of the clip.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

CROPS = ("--frames-per-clip", "8", "--crop-size", "112", "--margin", "0.2")
TRAIN = ("--backbone", "resnext_small", "--temporal-units", "64", "--learning-rate", "1e-3")
LENGTHS = {10: 1, 60: 6, 600: 60}  # seconds: videos of 10 s
FACES = (1, 2, 8)
FAKES_S = (3, 10, 30)


def make(folder: Path, identities: int, epochs: int) -> None:
    """A model of short generated videos, and 10 s videos of 40 other people as val and test."""
    short, long = folder / "train-videos", folder / "videos"
    _dfdetect("sample-data", short, "--identities", identities)
    _dfdetect("preprocess", "--input", short, "--output", folder / "train-data", *CROPS)
    train = ("--data", folder / "train-data", "--out", folder / "run", "--epochs", epochs)
    _dfdetect("train", *train, *TRAIN)
    _dfdetect("sample-data", long, "--identities", 40, "--seed", 1, "--frames", 250)
    pairs = [[f"{i:03d}", f"{i + 1:03d}"] for i in range(0, 40, 2)]
    for name, part in (("train", []), ("val", pairs[:10]), ("test", pairs[10:])):
        (long / "splits" / f"{name}.json").write_text(json.dumps(part))
    flags = ("--methods", "FaceSwap", "--sampling", "all", "--splits", "val,test")
    _dfdetect("preprocess", "--input", long, "--output", folder / "data", *CROPS, *flags)


def _dfdetect(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "dfdetect", *map(str, arguments)], check=True, cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", action="store_true", help="generate videos and train first")
    parser.add_argument("--identities", type=int, default=64, help="people to train on")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--draws", type=int, default=200, help="videos of each kind")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--copies", type=int, default=5, help="of each video, with --noise")
    parser.add_argument("--max-fpr", type=float, default=0.05)
    args = parser.parse_args()
    folder = args.folder.resolve()
    if args.make:
        make(folder, args.identities, args.epochs)

    from pipelines.shards.open import ClipDataset
    from trainer.evaluation.calibrate import describe, fit
    from trainer.evaluation.measured_model import of_run
    from trainer.evaluation.predictions import predict
    from trainer.run import Run

    detector = of_run(Run.open(folder / "run"), calibrated=False)
    data = ClipDataset.open(folder / "data")
    scored = {split: predict(detector, [data], [split]) for split in ("val", "test")}
    if args.noise:
        scored = {
            split: noisy(predictions, args.noise, args.copies, seed)
            for seed, (split, predictions) in enumerate(scored.items())
        }
    calibration = fit(scored["val"], "val", args.max_fpr)
    print(describe(calibration))
    for cost in (0.0, calibration.search_cost):
        measure(scored, calibration.temperature, cost, args.max_fpr, args.draws)


def noisy(predictions, noise: float, copies: int, seed: int):
    """Predictions of a model that errs on some people, and less on some clips of each."""
    import dataclasses

    from pipelines.verdict import Thresholds
    from trainer.evaluation.scored import score_videos

    rng = np.random.default_rng(seed)
    spread = noise * float(np.std([clip.logit for clip in predictions.clips]))
    clips = []
    for copy in range(copies):
        for scored in predictions.scored:
            of_video = rng.normal(0, spread * 0.7**0.5)
            video = dataclasses.replace(
                scored.video,
                id=f"{scored.video.id}#{copy}",
                identities=tuple(f"{name}#{copy}" for name in scored.video.identities),
            )
            for number in scored.clips:
                clip = predictions.clips[number]
                logit = clip.logit + of_video + rng.normal(0, spread * 0.3**0.5)
                clips.append(dataclasses.replace(clip, video=video, logit=float(logit)))
    videos = score_videos(clips, Thresholds())
    return dataclasses.replace(
        predictions, clips=clips, videos=videos, under_conditions=np.zeros((0, len(clips)))
    )


def measure(scored: dict, temperature: float, cost: float, max_fpr: float, draws: int) -> None:
    """Prints both tables at a search cost, with the thresholds that are chosen at it."""
    from pipelines.clip import FAKE, REAL
    from pipelines.coverage import ScanSettings
    from trainer.evaluation.search_cost import Kind, LookedAt, draw, wilson

    settings = ScanSettings()
    val, test = (recordings(scored[split], temperature) for split in ("val", "test"))
    thresholds = choose(val, cost, max_fpr)
    print(
        f"\nsearch cost {cost:g}: REAL to {thresholds.real_below:.3f}, FAKE from "
        f"{thresholds.fake_above:.3f}\n"
    )
    print(f"| real videos of | {' | '.join(f'faces: {n}' for n in FACES)} |")
    print(f"| --- |{' --- |' * len(FACES)}")
    people = [[video] for video in test[REAL]]
    for seconds, videos in LENGTHS.items():
        cells = []
        for faces in FACES:
            kind = Kind(videos, faces)
            made = test[REAL] if kind == Kind() else draw(people, kind, draws)
            rate = LookedAt.of(made, thresholds, settings).fake_rate(thresholds, settings)
            low, high = wilson(rate, len(made))
            cells.append(f"{rate:.1%} [{low:.1%}, {high:.1%}]")
        print(f"| {seconds} s | {' | '.join(cells)} |", flush=True)
    print(f"\n| fake part of | {' | '.join(f'in {s} s' for s in LENGTHS)} |")
    print(f"| --- |{' --- |' * len(LENGTHS)}")
    for fake_s in FAKES_S:
        cells = []
        for seconds in LENGTHS:
            if fake_s > seconds:
                cells.append("")
                continue
            made = with_a_fake_part(test[REAL], test[FAKE], seconds, fake_s, draws)
            seen = LookedAt.of(made, thresholds, settings)
            cells.append(f"{seen.fake_rate(thresholds, settings):.1%}")
        print(f"| {fake_s} s | {' | '.join(cells)} |", flush=True)


def recordings(predictions, temperature: float) -> dict[int, list]:
    """The videos of each label, with P(fake) at that temperature."""
    import dataclasses

    from trainer.calibration import apply
    from trainer.evaluation.as_served import Recording

    (dataset,) = predictions.datasets
    found: dict[int, list] = {0: [], 1: []}
    for video in predictions.scored:
        own = [predictions.clips[number] for number in video.clips]
        calibrated = apply([clip.logit for clip in own], temperature).tolist()
        clips = [
            dataclasses.replace(clip, probability_fake=p)
            for clip, p in zip(own, calibrated, strict=True)
        ]
        found[video.video.label].append(Recording.of(clips, dataset.config))
    return found


def choose(videos: dict[int, list], cost: float, max_fpr: float):
    """The thresholds of whole videos, by the rule of `dfdetect calibrate`, at a search cost."""
    from pipelines.verdict import Thresholds, judge_tracks
    from trainer.calibration import choose_thresholds

    at_cost = Thresholds(search_cost=cost)
    labelled = [(video, label) for label, own in videos.items() for video in own]
    scores = [
        judge_tracks(video.evidence(range(len(video.moments))), at_cost).score
        for video, _ in labelled
    ]
    pair = choose_thresholds(scores, [label for _, label in labelled], max_fpr)
    return Thresholds(*pair, search_cost=cost)


def with_a_fake_part(real: Sequence, fake: Sequence, seconds: int, fake_s: int, draws: int) -> list:
    """Videos of so many seconds of real people, and a fake part at one of their cuts."""
    from trainer.evaluation.search_cost import join

    rng = np.random.default_rng([seconds, fake_s])
    made = []
    for _ in range(draws):
        left = (seconds - fake_s) / 10
        row = [real[i] for i in rng.integers(len(real), size=int(left))]
        if left > int(left):
            row.append(cut(real[int(rng.integers(len(real)))], left - int(left)))
        parts = [fake[i] for i in rng.integers(len(fake), size=-(-fake_s // 10))]
        if fake_s < 10:
            parts = [cut(parts[0], fake_s / 10)]
        place = int(rng.integers(len(row) + 1))
        made.append(join([[*row[:place], *parts, *row[place:]]]))
    return made


def cut(video, share: float):
    """The first part of a recording."""
    from pipelines.video.moments import Moments
    from trainer.evaluation.as_served import Recording

    kept = max(1, round(share * len(video.moments)))
    times_s, samples = video.moments.times_s, video.moments.samples
    end = samples[kept][0] if kept < len(samples) else len(times_s)
    faces = {moment: own for moment, own in video.faces.items() if moment < kept}
    return Recording(Moments(times_s[:end], samples[:kept]), faces)


if __name__ == "__main__":
    main()

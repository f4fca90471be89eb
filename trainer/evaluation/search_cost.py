"""The search cost, measured: what a score must lose so that a longer video raises no false alarm.

Real videos are strung together, or put side by side as faces of one video, and looked at as serving
would. A long video, or one of many people, gives a model more chances to be wrong about it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipelines.coverage import ScanSettings
from pipelines.verdict import ClipEvidence, Thresholds, Verdict, judge_tracks
from pipelines.video.moments import Moments
from trainer.evaluation.as_served import Recording, look

# Costs that are tried, the smallest first. Not 0: how rarely a model errs by much is more than a
# few hundred videos can show. 1 is the union bound, right for a calibrated model; what needs more
# is surer of some real videos than it has a right to be. Finer steps would follow single people.
COSTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
FEWEST = 20  # people or sources; of fewer the union bound is taken
DRAWS = 200  # videos that are made of each kind


@dataclasses.dataclass(frozen=True)
class Kind:
    """How real videos are put together. videos: one after the other. faces: side by side.
    one_face: whether those one after the other count as the same person, as in one long shot, or
    each as a new one, as in a film with cuts."""

    videos: int = 1
    faces: int = 1
    one_face: bool = False


# Of the usual 10 s: 60 s and 600 s, and a group of people.
KINDS = (
    Kind(60),
    Kind(60, one_face=True),
    Kind(6),
    Kind(6, one_face=True),
    Kind(faces=8),
    Kind(faces=2),
)


def join(rows: Sequence[Sequence[Recording]], one_face: bool = False) -> Recording:
    """One recording of several: each row's one after the other, the rows side by side.

    The rows are cut to the shortest. one_face: the tracks of a row keep their numbers; otherwise
    each recording's are new ones.
    """
    length = min(sum(len(part.moments) for part in row) for row in rows)
    times: list[np.ndarray] = []
    samples: list[np.ndarray] = []
    faces: dict[int, list[ClipEvidence]] = {}
    track = 0
    for number, row in enumerate(rows):
        moment, frames, start_s, of_row = 0, 0, 0.0, 0
        for part in row:
            if number == 0:  # the picture that all are in
                times.append(part.moments.times_s + start_s)
                samples += [sampled + frames for sampled in part.moments.samples]
            numbers: dict[int, int] = {}
            for own, seen in part.faces.items():
                for face in seen if moment + own < length else ():
                    faces.setdefault(moment + own, []).append(
                        dataclasses.replace(
                            face,
                            clip=moment + own,
                            track=track + numbers.setdefault(face.track, len(numbers)),
                            start_s=face.start_s + start_s,
                            end_s=face.end_s + start_s,
                        )
                    )
            moment += len(part.moments)
            frames += len(part.moments.times_s)
            start_s += part.moments.duration_s
            if one_face:
                of_row = max(of_row, len(numbers))
            else:
                track += len(numbers)
        track += of_row
    times_s = np.concatenate(times)
    end = samples[length][0] if length < len(samples) else len(times_s)
    return Recording(Moments(times_s[:end], samples[:length]), faces)


def draw(
    people: Sequence[Sequence[Recording]], kind: Kind, number: int = DRAWS, seed: int = 0
) -> list[Recording]:
    """Recordings of a kind, made of a video of each of some people at random.

    Nobody is in one twice, unless it takes more people than there are.
    """
    rng = np.random.default_rng([seed, kind.videos, kind.faces, kind.one_face])
    wanted = kind.videos * kind.faces
    made = []
    for _ in range(number):
        chosen = rng.choice(len(people), wanted, replace=wanted > len(people)).tolist()
        videos = [people[i][int(rng.integers(len(people[i])))] for i in chosen]
        rows = [videos[i : i + kind.videos] for i in range(0, wanted, kind.videos)]
        made.append(join(rows, kind.one_face))
    return made


@dataclasses.dataclass(frozen=True, eq=False)
class LookedAt:
    """What serving would see of some recordings: the evidence of each."""

    evidence: Sequence[Sequence[ClipEvidence]]

    @classmethod
    def of(
        cls, recordings: Sequence[Recording], thresholds: Thresholds, settings: ScanSettings
    ) -> LookedAt:
        return cls(
            [
                video.evidence(look(video, thresholds, settings, str(number)))
                for number, video in enumerate(recordings)
            ]
        )

    def fake_rate(self, thresholds: Thresholds, settings: ScanSettings) -> float:
        """The share that is called FAKE."""
        called = [
            judge_tracks(clips, thresholds, settings=settings).verdict == Verdict.FAKE
            for clips in self.evidence
        ]
        return float(np.mean(called))


def wilson(called: float, of: int) -> tuple[float, float]:
    """The 95 % interval of a rate that was seen to be `called` among so many (Wilson 1927)."""
    z2 = 1.959964**2
    middle = (called + z2 / (2 * of)) / (1 + z2 / of)
    half = math.sqrt(z2 * (called * (1 - called) / of + z2 / (4 * of * of))) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def measure_search_cost(
    people: Sequence[Sequence[Recording]],
    thresholds_at: Callable[[float], Thresholds],
    settings: ScanSettings,
    kinds: Sequence[Kind] = KINDS,
) -> float:
    """The smallest of COSTS at which no kind of long or crowded real video is called FAKE more
    often than single ones may be: than the upper end of the interval of their rate. The largest
    where that is true of none.

    people: the recordings of each. thresholds_at: the thresholds that are chosen at a cost.
    """
    singles = [video for own in people for video in own]
    first = thresholds_at(1.0)
    single = LookedAt.of(singles, first, settings)
    made: Mapping[Kind, LookedAt] = {
        kind: LookedAt.of(draw(people, kind), first, settings) for kind in kinds
    }
    for cost in COSTS:
        thresholds = thresholds_at(cost)
        _, most = wilson(single.fake_rate(thresholds, settings), len(people))
        if all(videos.fake_rate(thresholds, settings) <= most for videos in made.values()):
            return cost
    return COSTS[-1]

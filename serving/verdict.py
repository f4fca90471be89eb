"""From scores of clips to the score of a video."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def video_score(track_ids: Sequence[Hashable], probabilities: Sequence[float]) -> float:
    """P(fake) of a video: clips average within a face track, the highest track decides.

    Raises ValueError where there are no clips or the two lengths differ.
    """
    if not len(probabilities):
        raise ValueError("A video without clips has no score.")
    tracks: dict[Hashable, list[float]] = {}
    for track, probability in zip(track_ids, probabilities, strict=True):
        tracks.setdefault(track, []).append(float(probability))
    return max(sum(scores) / len(scores) for scores in tracks.values())

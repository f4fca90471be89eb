"""Names of videos and people as text: what an adapter makes of file names may be none."""

from __future__ import annotations

import dataclasses

from pipelines.clip import Video
from pipelines.datasets.base import Dataset
from pipelines.names import escape


def in_text(dataset: Dataset) -> Dataset:
    """The data set with every name escaped (`pipelines.names`), which leaves most as they are.

    Only `uri` stays what opens the file.
    """
    return dataclasses.replace(
        dataset,
        videos=tuple(sorted(map(_video, dataset.videos))),
        official={escape(name): split for name, split in dataset.official.items()},
        missing=tuple(map(escape, dataset.missing)),
        rejects=tuple(
            dataclasses.replace(reject, video=escape(reject.video)) for reject in dataset.rejects
        ),
        notes=tuple(map(escape, dataset.notes)),
    )


def _video(video: Video) -> Video:
    return dataclasses.replace(
        video,
        id=escape(video.id),
        method=escape(video.method),
        compression=escape(video.compression),
        identities=tuple(map(escape, video.identities)),
        source_id=escape(video.source_id),
    )

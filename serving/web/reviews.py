"""Reviews of verdicts: a CSV manifest to train on, and videos that reviewers chose to leave.

In the folder `review.csv` has a line for each reviewed file, which names it by its SHA-256 as
`videos/SHA256`, whether or not it was left there. Several servers may share a folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.atomic import replacing
from pipelines.clip import FAKE, LABEL_NAMES, ORIGINAL, REAL, Video
from pipelines.datasets.base import DatasetError
from pipelines.datasets.manifest import read_manifest, write_manifest
from serving.web.private_folder import private_folder
from serving.web.receive import Upload
from serving.web.uploads import UploadFolder

FLAG = "--review-dir"
MANIFEST = "review.csv"
DATASET = "review"

log = logging.getLogger("dfdetect.web")


@dataclasses.dataclass(frozen=True)
class Review:
    """What a reviewer says of a file. label: 1 is fake. identities: of a fake target first, then
    donor; empty where they are not known. kept: whether the video was left to train on."""

    label: int
    identities: tuple[str, ...] = ()
    kept: bool = False

    def agrees(self, verdict: str) -> bool | None:
        """Whether a verdict says the same; None of one that is neither FAKE nor REAL."""
        return {"FAKE": self.label == FAKE, "REAL": self.label == REAL}.get(verdict)

    def sentence(self, verdict: str) -> str:
        """The same for people."""
        agrees = self.agrees(verdict)
        said = "" if agrees is None else f", the verdict is {'confirmed' if agrees else 'wrong'}"
        kept = "kept for training" if self.kept else "not kept"
        return f"Noted as {LABEL_NAMES[self.label]}{said}. The video is {kept}."


class NoRoomError(Exception):
    """The videos that are kept would take more than they may."""


class Reviews:
    """The reviews in a folder. Threads may share it.

    limit_bytes: what the videos may take in all. Raises OSError where the folder cannot be used,
    DatasetError where its manifest cannot be read, as do all methods but `close`.
    """

    def __init__(self, folder: Path, limit_bytes: int):
        self._folder = private_folder(folder.absolute(), FLAG)
        self._videos = private_folder(self._folder / "videos", FLAG)
        self._limit_bytes = limit_bytes
        self.manifest = self._folder / MANIFEST
        with self._locked():
            self._read()
        self.arriving = UploadFolder(self._folder / "arriving")  # on the file system of `videos`

    def close(self) -> None:
        self.arriving.close()

    def of(self, sha256: str) -> Review | None:
        """The review of the file with this SHA-256."""
        video = self._read().get(_key(sha256))
        if video is None:
            return None
        return Review(video.label, video.identities, self._path(sha256).exists())

    def sentence(self, document: Mapping[str, Any]) -> str:
        """Of the review of a report's file, for people; "" where there is none, or it cannot be
        read."""
        try:
            review = self.of(document["file"]["sha256"])
        except (OSError, DatasetError) as error:
            log.error("a review could not be read: %s", error)
            return ""
        return review.sentence(document["verdict"]) if review else ""

    def add(self, sha256: str, review: Review, video: Upload | None) -> Review | None:
        """Replaces the file's line, and gives the review that stood there.

        video: is the file, which is kept from now on; one that was left before stays. Raises
        NoRoomError, or ValueError for names that a manifest cannot hold; then all is as it was.
        """
        real = review.label == REAL
        line = Video(
            id=sha256,
            uri=str(self._path(sha256)),
            label=review.label,
            dataset=DATASET,
            method=ORIGINAL if real else "fake",
            identities=review.identities,
            source_id=sha256 if real else "",
        )
        with self._locked():
            earlier, before = self.of(sha256), self._read()
            manifest = write_manifest({**before, line.key: line}.values())
            kept = None
            if video is not None and not self._path(sha256).exists():
                kept = self._keep(video, sha256)
            try:
                self._write(manifest)
            except BaseException:
                if kept:
                    kept.unlink(missing_ok=True)
                raise
        return earlier

    def withdraw(self, sha256: str) -> bool:
        """Removes the file's line, and the video if it was left; whether there was a line."""
        with self._locked():
            lines = self._read()
            there = lines.pop(_key(sha256), None) is not None
            if there:
                self._path(sha256).unlink(missing_ok=True)
                self._write(write_manifest(lines.values()))
        return there

    def _path(self, sha256: str) -> Path:
        return self._videos / sha256

    def _keep(self, video: Upload, sha256: str) -> Path:
        held = sum(path.stat().st_size for path in self._videos.iterdir())
        if held + video.path.stat().st_size > self._limit_bytes:
            raise NoRoomError(
                f"The videos that are kept for training take {held} bytes, {self._limit_bytes} "
                "are allowed with this one. Send the review without the video."
            )
        os.replace(video.path, self._path(sha256))
        return self._path(sha256)

    def _read(self) -> dict[str, Video]:
        """The lines by key: those of reviews, and what else was written there by hand."""
        if not self.manifest.exists():
            return {}
        return {video.key: video for video in read_manifest(self.manifest)}

    def _write(self, manifest: bytes) -> None:
        with replacing(self.manifest) as temporary, open(temporary, "wb", opener=_private) as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile, in this process or another."""
        with open(self._folder / "lock", "w", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _key(sha256: str) -> str:
    return f"{DATASET}/{sha256}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

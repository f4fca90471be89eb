"""Face extraction, video file -> face clips: the one code path of the Beam job and of serving."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np

from pipelines.clip import Clip, Look, VideoError
from pipelines.config import DECODE_LIMIT_S, PreprocessConfig
from pipelines.faces import interrupt
from pipelines.faces.align import crop, similarity
from pipelines.faces.detect import Face, FaceDetector, MtcnnDetector
from pipelines.faces.follow import detect_through
from pipelines.faces.moment_frames import MomentFrames
from pipelines.faces.people import People, sighting
from pipelines.faces.track import Track, fill_gaps, link, smooth_landmarks
from pipelines.verdict import MIN_FRAMES
from pipelines.video.confined import LocalReader, VideoReader
from pipelines.video.probe import FrameTimes, VideoInfo, VideoMetadata
from pipelines.video.sampling import sample_clips
from pipelines.video.stopwatch import Stopwatch
from pipelines.video.watchdog import watched

T = TypeVar("T")

# 4:4:4 keeps colour at full resolution: blending marks live in the chroma too.
_JPEG_444 = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]

# MTCNN's score of a track that tells an upright face from one that lies. Of 11 people those who
# stand had 0.9829 and more; turned by 90, 180 and 270 degrees 7 of 33 were still found, on crops
# that are not upright, with 0.9009 to 0.9713.
SURELY_UPRIGHT = 0.98
LYING = {
    quarters: "A face lies in the picture, which was turned by "
    f"{90 * quarters} degrees against the clock to find it."
    for quarters in (1, 2, 3)
}

# Moments of a video are searched side by side, as long as their frames fit here.
BATCH_BYTES = 256 << 20


class FaceExtractor:
    """Finds, tracks, aligns and crops the faces of videos. Keep one per process.

    threads: for decoding, and for finding faces; 0 for about one per core. time_limit_s: how long
    the decoder may keep us waiting for one video. stills: whether pictures are taken, too, as
    videos of one frame. reader: what opens videos; without it this process, which is for files
    from people who are trusted.
    """

    def __init__(
        self,
        config: PreprocessConfig,
        detector: FaceDetector | None = None,
        *,
        threads: int = 0,
        time_limit_s: float = DECODE_LIMIT_S,
        stills: bool = False,
        reader: VideoReader | None = None,
    ):
        self.config = config
        self._detector = detector or MtcnnDetector(config.min_face, threads)
        self._threads, self._time_limit_s, self._stills = threads, time_limit_s, stills
        self._reader = reader or LocalReader()
        self._pool = ThreadPoolExecutor(threads or os.cpu_count(), "moments")
        self._others: dict[str, FaceExtractor] = {}  # by the fingerprint of their crops

    def for_crops(self, config: PreprocessConfig) -> FaceExtractor:
        """The one for such crops: this, or one that shares its networks where it can."""
        if config.fingerprint == self.config.fingerprint:
            return self
        if config.fingerprint not in self._others:
            self._others[config.fingerprint] = FaceExtractor(
                config,
                self._detector if config.min_face == self.config.min_face else None,
                threads=self._threads,
                time_limit_s=self._time_limit_s,
                stills=self._stills,
                reader=self._reader,
            )
        return self._others[config.fingerprint]

    def open(self, path: str) -> ProbedVideo:
        """Reads the packets of a local video file. Raises VideoError."""
        with self._in_time(path, (self._reader.probe(p, self._stills) for p in (path,))) as probed:
            return ProbedVideo(self, next(probed))

    def extract(self, path: str) -> list[Clip]:
        """All of `clips` at once."""
        return list(self.clips(path))

    def clips(self, path: str, watch: Stopwatch | None = None) -> Generator[Clip]:
        """The face clips of a local video file, by clip index and track, as the config samples it.

        watch: times the stages decode, detect and crop, and counts frames and faces.

        Holds the frames of two batches of clips in memory, however long the video is. Raises
        VideoError for a video that cannot be used; reason "no_face" where no face met the config's
        bounds.
        """
        watch = watch or Stopwatch()
        with watch.running("decode"):
            video = self.open(path)
        config = self.config
        sampled = sample_clips(
            video.frame_times.times_s,
            config.clips_per_video,
            config.frames_per_clip,
            config.frame_stride,
            config.sampling,
        )
        samples = dict(enumerate(sampled))
        people, any_face, mixed = People(), False, ""
        with contextlib.closing(video.looks(samples, watch)) as looks:
            for look in looks:
                if look.damaged and not look.frames:
                    raise VideoError("damaged", "decode", f"{path}: {look.damaged}")
                mixed = mixed or look.damaged
                any_face = any_face or bool(look.clips)
                yield from people.numbered(look.clips)
        if not any_face and mixed:
            raise VideoError("damaged", "decode", f"{path}: {mixed}")
        if not any_face:
            raise VideoError(
                "no_face",
                "faces",
                f"{path}: no face of {config.min_face} px or more (at {config.detect_side} px) "
                f"with score {config.min_confidence} in {config.min_face_share:.0%} of the frames "
                "of any clip.",
            )

    def looks(
        self, info: VideoInfo, samples: Mapping[int, np.ndarray], watch: Stopwatch
    ) -> Generator[Look]:
        """As `ProbedVideo.looks`."""
        with self._in_time(info.path, self._decode(info, samples, watch)) as batches:
            for batch in batches:
                yield from self._faces(batch, watch)

    @contextlib.contextmanager
    def _in_time(self, path: str, items: Iterator[T]) -> Iterator[Iterator[T]]:
        """What the decoder makes, for as long as it does not keep us waiting too long."""
        with contextlib.closing(watched(items, self._time_limit_s)) as in_time:
            try:
                yield in_time
            except TimeoutError as error:
                self._reader.interrupt(path)
                raise VideoError("timeout", "decode", f"{path}: decoding {error}.") from error

    def _decode(
        self, info: VideoInfo, samples: Mapping[int, np.ndarray], watch: Stopwatch
    ) -> Iterator[list[MomentFrames]]:
        """The frames of each moment, in batches that fit in memory."""
        moments = sorted(samples.items())
        wanted = [int(index) for _, sampled in moments for index in sampled]
        batch: list[MomentFrames] = []
        held_bytes = 0
        with contextlib.closing(self._reader.read_frames(info, wanted, self._threads)) as frames:
            for moment, sampled in moments:
                with watch.running("decode"):
                    images = [next(frames) for _ in sampled]
                times_s = info.times_s[sampled].astype(np.float32)
                taken = MomentFrames.of(info, moment, times_s, images, self.config.detect_side)
                batch.append(taken)
                held_bytes += taken.nbytes
                # Whether another moment, as large as this one, would still fit.
                if held_bytes + taken.nbytes > BATCH_BYTES:
                    yield batch
                    batch, held_bytes = [], 0
        if batch:
            yield batch

    def _faces(self, batch: list[MomentFrames], watch: Stopwatch) -> Iterator[Look]:
        check = interrupt.checker()
        with watch.running("detect"):
            searched = list(self._pool.map(lambda frames: self._search(frames, check), batch))
        for frames, (tracks, quarters) in zip(batch, searched, strict=True):
            watch.count("frames", len(frames.present))
            with watch.running("crop"):
                look = self._look(frames, tracks, quarters)
            watch.count("faces", sum(int(clip.has_crop.sum()) for clip in look.clips))
            yield look

    def _look(self, frames: MomentFrames, tracks: list[Track], quarters: int) -> Look:
        if damaged := frames.undecodable():
            return Look(frames.moment, (), 0, b"", damaged)
        kept = tracks[:1] if self.config.faces == "largest" else tracks
        clips = [self._crop_track(frames, i, track, quarters) for i, track in enumerate(kept)]
        damaged = "" if clips else frames.mixed_sizes()
        return Look(frames.moment, tuple(clips), len(frames.present), frames.thumbnail(), damaged)

    def _search(self, frames: MomentFrames, check: Callable[[], None]) -> tuple[list[Track], int]:
        """The tracks of a moment that meet the config's bounds, most prominent first, in px of its
        small frames, and the quarter turns against the clock that bring them upright.

        Faces that lie on their side or head are searched where none stands there with confidence.
        One moment at a time: what a network makes of a face depends, in its last bits, on how many
        it is given at once. check: called before each search.
        """
        check()
        if frames.undecodable():
            return [], 0
        tracks, turns = self._tracks(frames, frames.small), 0
        best = _confidence(tracks)
        for quarters in (1, 2, 3) if best < SURELY_UPRIGHT else ():
            check()
            lying = self._tracks(frames, [_turned(image, quarters) for image in frames.small])
            score = _confidence(lying)
            if score >= SURELY_UPRIGHT and score > best:
                best, turns = score, quarters
                tracks = [track.turned_back(quarters, frames.small_size) for track in lying]
        return tracks, turns

    def _tracks(self, frames: MomentFrames, images: Sequence[np.ndarray | None]) -> list[Track]:
        """images: the frames, small and turned in some way. The tracks are in px of these."""
        shots = [[image for image in images[shot] if image is not None] for shot in frames.shots]
        detections = detect_through(self._detector, shots)
        by_shot = [
            self._shot_tracks(images[shot], faces)
            for shot, faces in zip(frames.shots, detections, strict=True)
        ]
        return by_shot[0] if len(by_shot) == 1 else _joined(frames, images, by_shot)

    def _shot_tracks(
        self, images: Sequence[np.ndarray | None], detections: list[list[Face]]
    ) -> list[Track]:
        """detections: of the frames that are there."""
        by_frame = iter(detections)
        return [
            track
            for track in link([[] if image is None else next(by_frame) for image in images])
            if track.score >= self.config.min_confidence
            and track.seen.mean() >= self.config.min_face_share
        ]

    def _crop_track(self, frames: MomentFrames, number: int, track: Track, quarters: int) -> Clip:
        """track: in px of the small frames. quarters: by which they were turned to find it."""
        size, margin = self.config.crop_size, self.config.margin
        scale = np.array(frames.size) / frames.small_size
        shots = [fill_gaps(Track(track.faces[shot]).scaled(scale)) for shot in frames.shots]
        landmarks = np.concatenate([smooth_landmarks(shot) for shot in shots])
        faces = [face for shot in shots for face in shot.faces]
        transforms = np.zeros((len(faces), 2, 3), np.float32)
        encoded = [b""] * len(faces)
        for t, image in enumerate(frames.images):
            if image is None:
                faces[t], landmarks[t] = None, 0.0  # interpolated, but there is no picture of it
            elif faces[t]:
                transforms[t] = similarity(landmarks[t], size, margin)
                encoded[t] = self._encode(crop(image, transforms[t], size))
        notes = frames.info.notes
        return Clip(
            index=frames.moment,
            track=number,
            fps=frames.info.fps,
            images=encoded,
            times_s=frames.times_s,
            boxes=np.array([f.box if f else np.zeros(4) for f in faces], np.float32),
            landmarks=landmarks,
            confidence=np.array([f.score if f else 0.0 for f in faces], np.float32),
            transforms=transforms,
            notes=(*notes, LYING[quarters]) if quarters else notes,
            sighting=sighting(track, frames.small, frames.thumbs),
        )

    def _encode(self, image: np.ndarray) -> bytes:
        """An RGB crop as JPEG or PNG bytes."""
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if self.config.image_format == "png":
            return cv2.imencode(".png", bgr)[1].tobytes()
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality]
        return cv2.imencode(".jpg", bgr, quality + _JPEG_444)[1].tobytes()


@dataclasses.dataclass(frozen=True)
class ProbedVideo:
    """A video file whose packets were read once."""

    extractor: FaceExtractor
    info: VideoInfo

    @property
    def metadata(self) -> VideoMetadata:
        return VideoMetadata.of(self.info)

    @property
    def frame_times(self) -> FrameTimes:
        return self.info.frame_times

    def looks(
        self, samples: Mapping[int, np.ndarray], watch: Stopwatch | None = None
    ) -> Generator[Look]:
        """Looks at some moments of the video, in their order.

        samples: number of a moment -> ascending indices of its frames, which lie behind those of
        the moments before. Every moment comes, also one without a face or whose frames do not
        decode, and its crops do not depend on which others are asked for. watch: times the stages
        decode, detect and crop, and counts frames and faces.

        One way through the file, with the frames of two batches in memory. Raises VideoError where
        the video cannot be read any further, reason "timeout" where that takes too long.
        """
        return self.extractor.looks(self.info, samples, watch or Stopwatch())


def _joined(
    frames: MomentFrames, images: Sequence[np.ndarray | None], by_shot: Sequence[list[Track]]
) -> list[Track]:
    """Tracks over a moment, from those over each of its shots."""
    people = People()
    faces: dict[int, list[Face | None]] = {}
    for shot, tracks in zip(frames.shots, by_shot, strict=True):
        seen = [sighting(track, images[shot], frames.thumbs[shot]) for track in tracks]
        for number, track in zip(people.number(seen, after_cut=True), tracks, strict=True):
            faces.setdefault(number, [None] * len(images))[shot] = track.faces
    whole = [Track(row) for row in faces.values()]
    return sorted(
        (track for track in whole if track.seen.sum() >= MIN_FRAMES),
        key=lambda track: -track.prominence,
    )


def _confidence(tracks: Sequence[Track]) -> float:
    """The score of the surest, 0 without any."""
    return max((track.score for track in tracks), default=0.0)


def _turned(image: np.ndarray | None, quarters: int) -> np.ndarray | None:
    return None if image is None else np.ascontiguousarray(np.rot90(image, quarters))

"""Face extraction, video file -> face clips: the one code path of the Beam job and of serving."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from operator import itemgetter

import cv2
import numpy as np

from pipelines.clip import Clip, VideoError
from pipelines.config import DECODE_LIMIT_S, PreprocessConfig
from pipelines.faces.align import crop, similarity
from pipelines.faces.detect import Face, FaceDetector, Frames, MtcnnDetector, shrink
from pipelines.faces.follow import detect_through
from pipelines.faces.track import Track, fill_gaps, link, number_tracks, smooth_landmarks
from pipelines.video.decode import read_frames
from pipelines.video.probe import VideoInfo, VideoMetadata, probe
from pipelines.video.sampling import sample_clips
from pipelines.video.stopwatch import FRAMES_SAMPLED, Stopwatch
from pipelines.video.watchdog import watched

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

# Clips of a video are searched together, for larger batches, as long as their frames fit here.
BATCH_BYTES = 256 << 20


class FaceExtractor:
    """Finds, tracks, aligns and crops the faces of videos. Keep one per process.

    threads: for decoding, and for finding faces; 0 for about one per core. time_limit_s: how long
    the decoder may keep us waiting for one video.
    """

    def __init__(
        self,
        config: PreprocessConfig,
        detector: FaceDetector | None = None,
        *,
        threads: int = 0,
        time_limit_s: float = DECODE_LIMIT_S,
    ):
        self.config = config
        self._detector = detector or MtcnnDetector(config.min_face, threads)
        self._threads, self._time_limit_s = threads, time_limit_s

    def open(self, path: str) -> ProbedVideo:
        """Probes a local video file, for its metadata and for its clips. Raises VideoError."""
        return ProbedVideo(self, *self._plan(path))

    def extract(self, path: str) -> list[Clip]:
        """All of `clips` at once."""
        return list(self.clips(path))

    def clips(
        self, path: str, watch: Stopwatch | None = None, video: ProbedVideo | None = None
    ) -> Generator[Clip, None, None]:
        """The face clips of a local video file, by clip index and track.

        watch: times the stages decode, detect and crop, and counts frames and faces; before the
        first clip the frames that are sampled (`FRAMES_SAMPLED`). video: the file by `open`, where
        it was probed before.

        Holds the frames of two batches of clips in memory, however long the video is. Raises
        VideoError for a video that cannot be used; reason "no_face" where no face met the config's
        bounds.
        """
        any_face = False
        watch = watch or Stopwatch()
        places = _Places()
        mixed: list[_Sampled] = []
        decoded = self._decode(path, watch, video)
        with contextlib.closing(watched(decoded, self._time_limit_s)) as batches:
            try:
                for batch in batches:
                    mixed += [clip.without_pictures() for clip in batch if clip.odd_sizes]
                    for clip in self._faces(batch, places, watch):
                        any_face = True
                        yield clip
            except TimeoutError as error:
                raise VideoError("timeout", "decode", f"{path}: decoding {error}.") from error
        if not any_face and mixed:
            raise _mixed_sizes(mixed[0])
        if not any_face:
            config = self.config
            raise VideoError(
                "no_face",
                "faces",
                f"{path}: no face of {config.min_face} px or more (at {config.detect_side} px) "
                f"with score {config.min_confidence} in {config.min_face_share:.0%} of the frames "
                "of any clip.",
            )

    def _plan(self, path: str) -> tuple[VideoInfo, list[np.ndarray]]:
        """What is in the file, and the indices of the frames of each clip to take from it."""
        info, config = probe(path), self.config
        return info, sample_clips(
            info.times_s,
            config.clips_per_video,
            config.frames_per_clip,
            config.frame_stride,
            config.sampling,
        )

    def _decode(
        self, path: str, watch: Stopwatch, video: ProbedVideo | None
    ) -> Iterator[list[_Sampled]]:
        """The sampled clips of a video, in batches that fit in memory."""
        with watch.running("decode"):
            info, sampled = (video.info, video.sampled) if video else self._plan(path)
        watch.count(FRAMES_SAMPLED, sum(map(len, sampled)))
        batch: list[_Sampled] = []
        frames = read_frames(info, np.concatenate(sampled).tolist(), self._threads)
        with contextlib.closing(frames):
            for index, clip in enumerate(sampled):
                with watch.running("decode"):
                    images = [next(frames) for _ in clip]
                times_s = info.times_s[clip].astype(np.float32)
                taken = _sampled(path, index, info, times_s, images)
                if batch and taken.size != batch[-1].size:  # what is searched together has one size
                    yield batch
                    batch = []
                batch.append(taken)
                # Whether another clip, as large as this one, would still fit.
                if taken.nbytes * (len(batch) + 1) > BATCH_BYTES:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _faces(self, batch: list[_Sampled], places: _Places, watch: Stopwatch) -> Iterator[Clip]:
        """places: of the faces in the clips before."""
        config = self.config
        with watch.running("detect"):
            small = [clip.small(config.detect_side) for clip in batch]
            found = self._tracks(batch, small)
            turns = self._lying(batch, small, found)
        for clip, searched, tracks, quarters in zip(batch, small, found, turns, strict=True):
            watch.count("frames", len(clip.present))
            scale = np.array(clip.size) / searched[0].shape[1::-1]
            if quarters:
                clip = dataclasses.replace(clip, notes=(*clip.notes, LYING[quarters]))
            if config.faces == "largest":
                tracks = tracks[:1]
            numbers = number_tracks(tracks, places.at(searched[0].shape[1::-1]))
            for number, track in sorted(zip(numbers, tracks, strict=True), key=itemgetter(0)):
                with watch.running("crop"):
                    cropped = self._crop_track(clip, number, fill_gaps(track.scaled(scale)))
                watch.count("faces", int(cropped.has_crop.sum()))
                yield cropped

    def _tracks(self, clips: Sequence[_Sampled], small: Sequence[Frames]) -> list[list[Track]]:
        """The tracks of each clip that meet the config's bounds, in px of the small frames."""
        config = self.config
        return [
            [
                track
                for track in link(clip.in_all_frames(detections))
                if track.score >= config.min_confidence
                and track.seen.mean() >= config.min_face_share
            ]
            for clip, detections in zip(clips, detect_through(self._detector, small), strict=True)
        ]

    def _lying(
        self, batch: list[_Sampled], small: list[list[np.ndarray]], found: list[list[Track]]
    ) -> list[int]:
        """Finds faces that lie on their side or head, where none stands there with confidence.

        Their tracks take the place of those `found`. -> for each clip the quarter turns, against
        the clock, that bring its faces upright.
        """
        best = [_confidence(tracks) for tracks in found]
        turns = [0] * len(batch)
        doubtful = [i for i, score in enumerate(best) if score < SURELY_UPRIGHT]
        for quarters in (1, 2, 3) if doubtful else ():
            clips = [batch[i] for i in doubtful]
            turned = [[_turned(image, quarters) for image in small[i]] for i in doubtful]
            for i, tracks in zip(doubtful, self._tracks(clips, turned), strict=True):
                score = _confidence(tracks)
                if score >= SURELY_UPRIGHT and score > best[i]:
                    best[i], turns[i] = score, quarters
                    size = small[i][0].shape[1::-1]
                    found[i] = [track.turned_back(quarters, size) for track in tracks]
        return turns

    def _crop_track(self, clip: _Sampled, number: int, track: Track) -> Clip:
        size, margin = self.config.crop_size, self.config.margin
        landmarks = smooth_landmarks(track)
        transforms = np.zeros((len(clip.images), 2, 3), np.float32)
        encoded = [b""] * len(clip.images)
        faces = list(track.faces)
        for t, image in enumerate(clip.images):
            if image is None:
                faces[t], landmarks[t] = None, 0.0  # interpolated, but there is no picture of it
            elif faces[t]:
                transforms[t] = similarity(landmarks[t], size, margin)
                encoded[t] = self._encode(crop(image, transforms[t], size))
        return Clip(
            index=clip.index,
            track=number,
            fps=clip.fps,
            images=encoded,
            times_s=clip.times_s,
            boxes=np.array([f.box if f else np.zeros(4) for f in faces], np.float32),
            landmarks=landmarks,
            confidence=np.array([f.score if f else 0.0 for f in faces], np.float32),
            transforms=transforms,
            notes=clip.notes,
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
    """A video file whose packets were read once. sampled: indices of the frames of each clip."""

    extractor: FaceExtractor
    info: VideoInfo
    sampled: list[np.ndarray]

    @property
    def metadata(self) -> VideoMetadata:
        """What the file is, and which of its frames are looked at."""
        return VideoMetadata.of(self.info, self.sampled)

    def clips(self, watch: Stopwatch | None = None) -> Generator[Clip, None, None]:
        """As `FaceExtractor.clips`."""
        return self.extractor.clips(self.info.path, watch, self)


@dataclasses.dataclass(frozen=True)
class _Sampled:
    """The decoded frames of a clip, all of one size.

    images[t] is (H, W, 3) uint8 RGB; None where damaged, or of another size. odd_sizes: (W, H) of
    all, most frequent first, where they differ.
    """

    path: str
    index: int
    fps: float
    times_s: np.ndarray
    images: list[np.ndarray | None]
    notes: tuple[str, ...]
    odd_sizes: tuple[tuple[int, int], ...] = ()

    def without_pictures(self) -> _Sampled:
        return dataclasses.replace(self, images=[])

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) px."""
        height, width = self.present[0].shape[:2]
        return width, height

    @property
    def present(self) -> list[np.ndarray]:
        return [image for image in self.images if image is not None]

    @property
    def nbytes(self) -> int:
        return sum(image.nbytes for image in self.present)

    def small(self, side_px: int) -> list[np.ndarray]:
        """The frames that are there, long side at most `side_px`."""
        return [shrink(image, side_px) for image in self.present]

    def in_all_frames(self, detections: list[list[Face]]) -> list[list[Face]]:
        """Detections by frame, from those by frame that is there."""
        by_frame = iter(detections)
        return [[] if image is None else next(by_frame) for image in self.images]


def _sampled(
    path: str, index: int, info: VideoInfo, times_s: np.ndarray, images: list[np.ndarray | None]
) -> _Sampled:
    """A clip of these frames, of the size that most of them have: of two the one that came first.

    Raises VideoError where most of them are damaged.
    """
    sizes = Counter(image.shape[1::-1] for image in images if image is not None)
    if 2 * sizes.total() < len(images):
        raise VideoError(
            "damaged",
            "decode",
            f"{path}: {len(images) - sizes.total()} of {len(images)} frames "
            f"from {times_s[0]:.2f} s on do not decode; get the file again.",
        )
    if len(sizes) == 1:
        return _Sampled(path, index, info.fps, times_s, images, info.notes)
    ranked = [size for size, _ in sizes.most_common()]
    kept = [i if i is not None and i.shape[1::-1] == ranked[0] else None for i in images]
    return _Sampled(path, index, info.fps, times_s, kept, info.notes, tuple(ranked))


def _confidence(tracks: Sequence[Track]) -> float:
    """The score of the surest, 0 without any."""
    return max((track.score for track in tracks), default=0.0)


def _turned(image: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image, quarters))


def _mixed_sizes(clip: _Sampled) -> VideoError:
    sizes = ", ".join(f"{width}x{height}" for width, height in clip.odd_sizes)
    width, height = max(clip.odd_sizes)
    return VideoError(
        "damaged",
        "decode",
        f"{clip.path}: the picture changes size within a clip, from {clip.times_s[0]:.2f} s on "
        f"({sizes} px), and no face lasts in one size. Give it one size, as by "
        f"`ffmpeg -i IN -vf scale={width}:{height} OUT`, or take shorter clips.",
    )


class _Places:
    """Where faces were seen last, for `number_tracks`, in a picture that may change size."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._faces: dict[int, Face] = {}

    def at(self, size: tuple[int, int]) -> dict[int, Face]:
        """By number of the face, px of a picture of this size (W, H); the caller adds to them."""
        if self._size and size != self._size:
            scale = np.array(size) / self._size
            self._faces = {number: face.scaled(scale) for number, face in self._faces.items()}
        self._size = size
        return self._faces

"""Face extraction, video file -> face clips: the one code path of the Beam job and of serving."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator
from operator import itemgetter

import cv2
import numpy as np

from pipelines.clip import Clip, VideoError
from pipelines.config import DECODE_LIMIT_S, PreprocessConfig
from pipelines.faces.align import crop, similarity
from pipelines.faces.detect import Face, FaceDetector, MtcnnDetector, shrink
from pipelines.faces.follow import detect_through
from pipelines.faces.track import Track, fill_gaps, link, number_tracks, smooth_landmarks
from pipelines.video.decode import read_frames
from pipelines.video.probe import VideoInfo, VideoMetadata, probe
from pipelines.video.sampling import sample_clips
from pipelines.video.stopwatch import FRAMES_SAMPLED, Stopwatch
from pipelines.video.watchdog import watched

# 4:4:4 keeps colour at full resolution: blending marks live in the chroma too.
_JPEG_444 = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]

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
        places: dict[int, Face] = {}
        decoded = self._decode(path, watch, video)
        with contextlib.closing(watched(decoded, self._time_limit_s)) as batches:
            try:
                for batch in batches:
                    for clip in self._faces(batch, places, watch):
                        any_face = True
                        yield clip
            except TimeoutError as error:
                raise VideoError("timeout", "decode", f"{path}: decoding {error}.") from error
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
                batch.append(_Sampled(path, index, info.fps, times_s, images))
                # Whether another clip, as large as this one, would still fit.
                if batch[-1].nbytes * (len(batch) + 1) > BATCH_BYTES:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _faces(
        self, batch: list[_Sampled], places: dict[int, Face], watch: Stopwatch
    ) -> Iterator[Clip]:
        """places: of the faces in the clips before, see `number_tracks`."""
        config = self.config
        with watch.running("detect"):
            small = [clip.small(config.detect_side) for clip in batch]
            faces = detect_through(self._detector, small)
        for clip, searched, detections in zip(batch, small, faces, strict=True):
            watch.count("frames", len(clip.present))
            scale = np.array(clip.present[0].shape[1::-1]) / searched[0].shape[1::-1]
            tracks = [
                track
                for track in link(clip.in_all_frames(detections))
                if track.score >= config.min_confidence
                and track.seen.mean() >= config.min_face_share
            ]
            if config.faces == "largest":
                tracks = tracks[:1]
            numbers = number_tracks(tracks, places)
            for number, track in sorted(zip(numbers, tracks, strict=True), key=itemgetter(0)):
                with watch.running("crop"):
                    cropped = self._crop_track(clip, number, fill_gaps(track.scaled(scale)))
                watch.count("faces", int(cropped.has_crop.sum()))
                yield cropped

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
    """The decoded frames of a clip: images[t] is (H, W, 3) uint8 RGB, None where damaged.

    Raises VideoError where most of them are damaged or they differ in size.
    """

    path: str
    index: int
    fps: float
    times_s: np.ndarray
    images: list[np.ndarray | None]

    def __post_init__(self) -> None:
        shapes = {image.shape for image in self.present}
        if len(shapes) > 1:
            sizes = ", ".join(f"{w}x{h}" for h, w, _ in sorted(shapes))
            raise VideoError(
                "damaged", "decode", f"{self.path}: frames differ in size: {sizes} px."
            )
        if 2 * len(self.present) < len(self.images):
            raise VideoError(
                "damaged",
                "decode",
                f"{self.path}: {len(self.images) - len(self.present)} of {len(self.images)} frames "
                f"from {self.times_s[0]:.2f} s on do not decode; get the file again.",
            )

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

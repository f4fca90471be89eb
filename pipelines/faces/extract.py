"""Video file -> face clips: the only door to the face code, for the Beam job and serving."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.clip import Clip, VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces.align import crop, similarity
from pipelines.faces.detect import FaceDetector, MtcnnDetector
from pipelines.faces.track import Track, fill_gaps, link, smooth_landmarks
from pipelines.video import VideoInfo, probe, read_frames, sample_clips

# 4:4:4 keeps colour at full resolution: blending marks live in the chroma too.
_JPEG_444 = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


class FaceExtractor:
    """Finds, tracks, aligns and crops the faces of videos. Keep one per process."""

    def __init__(self, config: PreprocessConfig, detector: FaceDetector | None = None):
        self.config = config
        self._detector = detector or MtcnnDetector(config.min_face, config.detect_side)

    def extract(self, path: str) -> list[Clip]:
        """The face clips of a local video file, by clip index and track.

        Holds the frames of one clip in memory at a time. Raises VideoError for a video that
        cannot be used; reason "no_face" where no face met the config's bounds.
        """
        config = self.config
        info = probe(path)
        clips: list[Clip] = []
        for index, frames in enumerate(
            sample_clips(
                info.frames, config.clips_per_video, config.frames_per_clip, config.frame_stride
            )
        ):
            clips.extend(self._clip(info, index, frames))
        if not clips:
            raise VideoError(
                "no_face",
                "faces",
                f"{path}: no face of {config.min_face} px or more (at {config.detect_side} px) "
                f"with score {config.min_confidence} in {config.min_face_share:.0%} of the frames "
                "of any clip.",
            )
        return clips

    def _clip(self, info: VideoInfo, index: int, frame_indices: np.ndarray) -> list[Clip]:
        images = read_frames(info, [int(i) for i in frame_indices])
        tracks = [
            track
            for track in link(self._detector.detect(images))
            if track.score >= self.config.min_confidence
            and track.seen.mean() >= self.config.min_face_share
        ]
        if self.config.faces == "largest":
            tracks = tracks[:1]
        times_s = np.array([info.time_s(i) for i in frame_indices], np.float32)
        return [
            self._crop_track(images, fill_gaps(track), index, number, info.fps, times_s)
            for number, track in enumerate(tracks)
        ]

    def _crop_track(
        self,
        images: np.ndarray,
        track: Track,
        index: int,
        number: int,
        fps: float,
        times_s: np.ndarray,
    ) -> Clip:
        size, margin = self.config.crop_size, self.config.margin
        seen = track.seen
        landmarks = smooth_landmarks(track)
        transforms = np.zeros((len(images), 2, 3), np.float32)
        encoded = [b""] * len(images)
        for t in np.flatnonzero(seen):
            transforms[t] = similarity(landmarks[t], size, margin)
            encoded[t] = self._encode(crop(images[t], transforms[t], size))
        return Clip(
            index=index,
            track=number,
            fps=fps,
            images=encoded,
            times_s=times_s,
            boxes=np.array([f.box if f else np.zeros(4) for f in track.faces], np.float32),
            landmarks=landmarks,
            confidence=np.array([f.score if f else 0.0 for f in track.faces], np.float32),
            transforms=transforms,
        )

    def _encode(self, image: np.ndarray) -> bytes:
        """An RGB crop as JPEG or PNG bytes."""
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if self.config.image_format == "png":
            return cv2.imencode(".png", bgr)[1].tobytes()
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality]
        return cv2.imencode(".jpg", bgr, quality + _JPEG_444)[1].tobytes()

"""Cost of a verdict by the length of the video, by backbone, for the default and for everything.

python benchmarks/long_videos.py VIDEO [--backbones NAME ...] [--lengths S ...] [--everything S]

VIDEO, of a face, becomes 10 s at 720p as FaceForensics++ publishes its videos, and by packets that
are copied videos of each length. Each is judged as `dfdetect predict` does, by an exported model
of random weights. Seconds are process time of all threads, which other programs disturb less than
the clock on the wall: those of decoding (which a second reading of the same frames measures), of
the faces, and of the model.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before serving.py of this folder

import av
import numpy as np

from benchmarks.videos import FRAMES, like_faceforensics
from pipelines.atomic import replacing
from pipelines.clip import Look
from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.faces.extract import FaceExtractor
from pipelines.model_contract import ModelDescription
from pipelines.verdict import Thresholds
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe
from serving.analysis.panel import Voice
from serving.analysis.scan import scan, sha256_of
from serving.client import ModelConfig, Prediction
from serving.client.in_process import InProcessModel

# Below any score: the whole budget is spent, as on a video that is suspicious all along.
SUSPICIOUS = Thresholds(real_below=0.0, fake_above=1e-9)
EVERYTHING = ScanSettings(every=0.01, max_clips=0, max_gigapixels=0)


def repeated(source: Path, times: int) -> Path:
    """`source` as often one after the other, its packets copied; kept beside it."""
    path = source.with_name(f"{source.stem}-x{times}.mp4")
    if path.is_file():
        return path
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        packets = [
            (bytes(p), p.pts, p.dts, p.is_keyframe) for p in container.demux(stream) if p.size
        ]
        step = round(FRAMES / stream.average_rate / stream.time_base)
        with replacing(path) as unfinished, av.open(str(unfinished), "w", format="mp4") as out:
            copy = out.add_stream_from_template(stream)
            for number in range(times):
                for data, pts, dts, is_keyframe in packets:
                    packet = av.Packet(data)
                    packet.stream, packet.time_base = copy, stream.time_base
                    packet.pts, packet.dts = pts + number * step, dts + number * step
                    packet.is_keyframe = is_keyframe
                    out.mux(packet)
    return path


def exported(backbone: str, crops: PreprocessConfig, folder: str) -> InProcessModel:
    """A model of random weights."""
    import keras

    from trainer.config import TrainConfig
    from trainer.exporting.serving_model import Network
    from trainer.exporting.signatures import save
    from trainer.model.detector import build_model

    keras.utils.set_random_seed(0)
    model = build_model(TrainConfig(backbone=backbone), crops.crop_size, crops.frames_per_clip)
    texts = ModelDescription(crops, crops.fingerprint, SUSPICIOUS).to_json()
    save(f"{folder}/{backbone}/1", Network.of(model).folded("float32"), texts, 1.0)
    made = InProcessModel(f"{folder}/{backbone}/1")
    made.warm_up()
    return made


HEADINGS = "  length  moments  decode   faces   model     all  s a minute of it"


@dataclass
class Spent:
    """Process time in seconds; frames that were looked at, of each pass over the file."""

    looks: float = 0.0
    model: float = 0.0
    decode: float = 0.0
    total: float = 0.0
    moments: int = 0
    passes: list[np.ndarray] = field(default_factory=list)

    @property
    def beyond_decoding(self) -> float:
        return self.total - self.decode


def _timed(call: Callable[[], object]) -> tuple[object, float]:
    started = time.process_time()
    return call(), time.process_time() - started


class TimedVideo:
    """A video whose looks are timed."""

    def __init__(self, video, spent: Spent):
        self.metadata, self.frame_times = video.metadata, video.frame_times
        self._video, self._spent = video, spent

    def looks(self, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        self._spent.passes.append(np.unique(np.concatenate(list(samples.values()))))
        looks = self._video.looks(samples)
        while True:
            look, seconds = _timed(lambda: next(looks, None))
            self._spent.looks += seconds
            if look is None:
                return
            yield look


class TimedModel:
    """A model whose predictions are timed."""

    def __init__(self, model: InProcessModel, spent: Spent):
        self._model, self._spent = model, spent

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]:
        answer, seconds = _timed(lambda: self._model.predict(clips))
        self._spent.model += seconds
        return answer


def judge(path: Path, faces: FaceExtractor, model: InProcessModel, settings: ScanSettings) -> Spent:
    """What the verdict on a video costs; opening and hashing it count as decoding."""
    spent = Spent()
    (video, content), opening = _timed(lambda: (faces.open(str(path)), sha256_of(str(path))))

    def work() -> int:
        timed, voice = TimedModel(model, spent), Voice("", ModelConfig(faces.config, SUSPICIOUS))
        (scanned,) = scan(TimedVideo(video, spent), [timed], [voice], settings, content)
        return scanned.coverage.moments

    spent.moments, scanning = _timed(work)
    info = probe(str(path))
    _, reading = _timed(lambda: sum(1 for _ in _frames(info, spent.passes)))
    spent.decode, spent.total = opening + reading, opening + scanning
    return spent


def _frames(info, passes: Sequence[np.ndarray]) -> Iterator[np.ndarray | None]:
    for indices in passes:
        yield from read_frames(info, indices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, metavar="VIDEO")
    parser.add_argument("--backbones", nargs="+", default=["efficientnet_b0", "resnext50_32x4d"])
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 60, 600, 3600], metavar="S")
    parser.add_argument(
        "--everything",
        type=int,
        default=600,
        metavar="S",
        help="up to this length all is looked at",
    )
    parser.add_argument("--cache", type=Path, help="where the videos are kept")
    args = parser.parse_args()
    crops = PreprocessConfig()
    faces = FaceExtractor(crops)
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        ten_s = like_faceforensics(args.video, cache, 1280, 720)
        videos = {seconds: repeated(ten_s, seconds // 10) for seconds in args.lengths}
        judge(videos[min(videos)], faces, _NoModel(), ScanSettings())  # builds the graphs
        for backbone in args.backbones:
            model = exported(backbone, crops, folder)
            for name, settings, longest in (
                ("default", ScanSettings(), max(videos)),
                ("everything", EVERYTHING, args.everything),
            ):
                print(f"\n{backbone}, {name}\n{HEADINGS}")
                measured: dict[int, Spent] = {}
                for seconds, path in videos.items():
                    if seconds <= longest:
                        measured[seconds] = judge(path, faces, model, settings)
                        print(row(seconds, measured[seconds]), flush=True)
                if {600, 3600} <= measured.keys():
                    ratio = measured[3600].beyond_decoding / measured[600].beyond_decoding
                    print(f"60 minutes cost {ratio:.2f} times what 10 do, beyond decoding")


class _NoModel:
    """Answers at once."""

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]:
        return [Prediction(0.5, [0.5] * len(clip)) for clip in clips]


def row(seconds: int, spent: Spent) -> str:
    parts = spent.decode, spent.looks - spent.decode, spent.model, spent.total
    times = "".join(f"{max(0.0, part):8.1f}" for part in parts)
    return f"{seconds:6} s{spent.moments:9}{times}{60 * spent.total / seconds:17.1f}"


if __name__ == "__main__":
    main()

"""Fixtures shared by all tests: small videos, one sample set, one set of shards."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Here jobs run in a process in which TensorFlow is at work already, too late for
# `compute_reproducibly`; their bytes are compared with those of other processes.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# There is a process of tests for every core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import av  # noqa: E402
import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from pipelines.config import PreprocessConfig  # noqa: E402

# How long an example takes depends on what the other processes do.
hypothesis.settings.register_profile("side by side", deadline=None)
hypothesis.settings.load_profile("side by side")

TESTS = Path(__file__).parent


# Of several processes none shall be at one of these alone at the end: they are begun first.
LONGEST_FILES = (
    *("docs/test_readme.py", "recipes/test_recipes.py", "docs/test_reviews_page.py"),
    *("serving/web/test_web_api.py", "serving/batch/test_score.py"),
    "trainer/training/test_loop.py",
)


def pytest_collection_modifyitems(items):
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_addoption(parser):
    parser.addoption("--target", help="URL of a TensorFlow Serving to test instead of our server")
    parser.addoption("--target-grpc", help="host:port of its gRPC API")
    parser.addoption(
        "--clips",
        metavar="DIR",
        default=os.environ.get("DFDETECT_CLIPS"),
        help="folder of .mp4 files with faces of real people, for the tests that need them "
        "(default: $DFDETECT_CLIPS; they are skipped without it)",
    )


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder of a name once for all processes that run tests; the others wait for it.

    With DFDETECT_FIXTURES=DIR it is there for the next run of tests, too: `.ci/run` has several.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of this run of the tests, and not of this process alone
    if kept := os.environ.get("DFDETECT_FIXTURES"):
        root = Path(kept)

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, unfinished = root / name, root / f"{name}.tmp-{os.getpid()}"
        with open(root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return make_once


@pytest.fixture(scope="session")
def confinable() -> None:
    """Skips where this system confines no process: within some sandboxes, and other than Linux."""
    code = "from pipelines.video.confine import confine; print(confine(), end='')"
    command = [sys.executable, "-c", code]
    if why := subprocess.run(command, capture_output=True, text=True, check=True).stdout:
        pytest.skip(why)


@pytest.fixture(scope="session")
def real_clips(pytestconfig) -> list[Path]:
    """Videos of real people, which are not part of the project: see CONTRIBUTING.md."""
    folder = pytestconfig.getoption("--clips")
    if not folder:
        pytest.skip("no clips of real people: give --clips DIR, or set DFDETECT_CLIPS")
    if not (files := sorted(Path(folder).glob("*.mp4"))):
        pytest.fail(f"--clips {folder}: no .mp4 file there. Correct the folder, or leave it out.")
    return files


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Encodes frames (N, H, W, 3) uint8 RGB as H.264."""

    def write(path: Path, frames: np.ndarray, fps: int = 25, gop: int = 12, **options) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=fps, options={"g": str(gop), **options})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Encodes frames (N, H, W, 3) uint8 RGB with any encoder, at 25 frames a second."""

    def write(path: Path, frames: np.ndarray, codec: str, pixels: str = "", **options) -> Path:
        muxer = options.pop("muxer", {})
        usual = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        with av.open(str(path), "w", options=muxer) as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pixels or usual
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(256, 256, 3) uint8: the head of a NASA astronaut, public domain."""
    import skimage.data

    return skimage.data.astronaut()[:256, 96:352]


@pytest.fixture(scope="session")
def face_video(tmp_path_factory, write_video, astronaut) -> Path:
    """30 frames of a still face that drifts one px a frame to the right."""
    frames = np.stack([np.roll(astronaut, i, axis=1) for i in range(30)])
    return write_video(tmp_path_factory.mktemp("video") / "face.mp4", frames)


@pytest.fixture(scope="session")
def small_config() -> PreprocessConfig:
    return PreprocessConfig(frames_per_clip=4, crop_size=48, min_face=40)


@pytest.fixture(scope="session")
def extractor(small_config):
    from pipelines.faces.extract import FaceExtractor

    return FaceExtractor(small_config)


@pytest.fixture(scope="session")
def sample(made_once) -> Path:
    """A generated set of six people, 18 short videos."""
    from pipelines.sample.generate import generate

    return made_once("sample", lambda out: generate(out, identities=6, seed=1, frames=16))


@pytest.fixture(scope="session")
def sample_shards(made_once, sample, small_config) -> Path:
    """The sample set as shards of 48 px crops."""
    from pipelines.beam.settings import PreprocessSettings
    from pipelines.preprocess import preprocess

    return made_once(
        "shards",
        lambda out: preprocess(str(sample), str(out), small_config, PreprocessSettings(shards=2)),
    )


@pytest.fixture(scope="session")
def trained_run(made_once, sample_shards) -> Path:
    """A tiny model after one epoch on the sample shards: real, but no good."""
    from trainer.config import TrainConfig
    from trainer.training.train import train

    config = TrainConfig(backbone="resnext_tiny", temporal_units=8, epochs=1, augment=False)
    return made_once("run", lambda out: train(sample_shards, out, config, verbose=False))


@pytest.fixture(scope="session")
def exported(made_once, trained_run) -> Path:
    """The tiny model as a SavedModel: .../dfdetect/1."""
    from trainer.exporting.export import export

    return made_once("models", lambda out: export(trained_run, out)) / "dfdetect" / "1"


@pytest.fixture(scope="session")
def exported_model(exported):
    """The tiny SavedModel, loaded in this process."""
    from serving.client import InProcessModel

    with InProcessModel(exported) as model:
        yield model


@pytest.fixture(scope="session", params=["openvino", "onnx"])
def engine_export(request, made_once, trained_run) -> Path:
    """The tiny model for another engine, where its extra is installed: .../dfdetect/FORMAT-1."""
    from pipelines.inference_engines import InferenceEngineError, require_packages
    from trainer.exporting.inference_engines import EXPORTS, export_for_engine

    name = request.param
    try:
        require_packages(name, EXPORTS[name].packages)
    except InferenceEngineError as error:
        pytest.skip(str(error))
    made = made_once(f"{name}-models", lambda out: export_for_engine(trained_run, out, name))
    return made / "dfdetect" / f"{name}-1"


@pytest.fixture(scope="session")
def export_with(made_once, trained_run) -> Callable[..., Path]:
    """(name, changes of the run's record) -> an export of the tiny model, as if it were so."""
    from trainer.exporting.export import export

    def export_once(name: str, **changes: object) -> Path:
        def make(out: Path) -> None:
            run = shutil.copytree(trained_run, out / "run")
            record = json.loads((run / "config.json").read_text())
            (run / "config.json").write_text(json.dumps({**record, **changes}))
            export(run, out)

        return made_once(name, make) / "dfdetect" / "1"

    return export_once


@pytest.fixture(scope="session")
def exported_judge(export_with) -> Path:
    """`exported` as if its videos were not generated: that gives no verdicts."""
    return export_with("judges", sample_data=False)


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory) -> Path:
    """Small models for the serving protocol; see tests/fixtures/serving_models.py."""
    from tests.fixtures import serving_models

    return serving_models.write_all(tmp_path_factory.mktemp("half_plus_two"))


@pytest.fixture
def unchecked(monkeypatch) -> None:
    """Exports within the test are not loaded in a process of their own, as `exported` was."""
    monkeypatch.setattr("trainer.exporting.export.check_outputs", lambda *_: None)

"""The engines: their flags, checked before anything starts, and the same shards from each."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as pb
from apache_beam.runners.dataflow.internal import apiclient
from rich.console import Console

import beam_options
from dfdetect.__main__ import main
from pipelines.beam import engine
from pipelines.beam.engine import EngineError
from pipelines.beam.output import PARTS
from pipelines.beam.settings import PreprocessSettings
from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.preprocess import build
from pipelines.verdict import Thresholds
from serving.analysis.panel import Voice
from serving.batch import score
from serving.batch.scoring_model import ScoringPanel
from serving.batch.settings import ScoreSettings
from serving.client import ModelConfig, ModelSource
from tests.fixtures import ROOT

FLAGS = ["--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40", "--shards", "2"]
EMBEDDED = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
CLOUD = ["--project=project", "--temp_location=gs://bucket/tmp"]
IMAGE = ["--sdk_container_image=region-docker.pkg.dev/project/images/worker"]


def options(*flags: str) -> dict:
    return engine.effective(engine.parse(flags))


@pytest.mark.parametrize("flags", [[], ["@direct"], ["--runner=DirectRunner"]])
def test_this_machine_is_fnapirunner_by_whatever_name(flags):
    assert options(*flags) == {"runner": "FnApiRunner", "beam": "2.77.0", "options": {}}


def test_there_is_a_commented_flag_file_for_each_engine():
    assert beam_options.names() == [
        "dataflow",
        "dataflow_gpu",
        "direct",
        "flink",
        "multiprocess",
        "prism",
        "spark",
    ]
    for name in beam_options.names():
        text = (Path(beam_options.__file__).parent / f"{name}.txt").read_text()
        assert text.startswith("#") and "--runner=" in text


def test_flags_after_a_named_set_take_precedence():
    chosen = options("@dataflow", *CLOUD, *IMAGE, "--max_num_workers=7")["options"]
    assert chosen["max_num_workers"] == 7 and chosen["machine_type"] == "n2-standard-4"


def test_the_effective_options_are_shown_and_stored_without_secrets(tmp_path):
    said = io.StringIO()
    path = tmp_path / "options.json"
    chosen = engine.parse(["@multiprocess", "--s3_secret_access_key=abc123"])
    engine.announce(chosen, str(path), Console(file=said, width=40))
    stored = json.loads(path.read_text())
    assert stored["runner"] == "FnApiRunner" and stored["beam"] == "2.77.0"
    assert stored["options"] == {
        "direct_num_workers": 0,
        "direct_running_mode": "multi_processing",
        "s3_secret_access_key": "***",
    }
    assert said.getvalue().startswith("engine: FnApiRunner, Beam 2.77.0 direct_num_workers=0")
    assert "abc123" not in path.read_text() + said.getvalue()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["@direct", "@dataflow"], "FnApiRunner and DataflowRunner; a job has one"),
        (["--runner=Nimbus"], "--runner=Nimbus: unknown; there are FnApiRunner"),
        (["--runner=DaskRunner"], "loses tagged outputs"),
        (["@direct", "--crop-size=3"], "--crop-size=3 is none of Beam's"),
        (["@direct", "--direct_num_workers=x"], "invalid int value: 'x'"),
        (["--direct_num_workers=2"], "does nothing without --direct_running_mode=multi_processing"),
        (["@prism", "--direct_running_mode=multi_processing"], "does nothing with PrismRunner"),
        (
            ["@prism", "--prism_location=nowhere"],
            "nowhere: no such file.*`make prism`",
        ),
        (["@flink", "--flink_job_server_jar=no.jar"], "no.jar: no such file.*`make flink-jar`"),
        (
            ["@flink", "--flink_job_server_jar=", "--flink_master=host:8081"],
            "host:8081 is another machine.*--environment_type=DOCKER",
        ),
        (["@spark", "--spark_master_url=spark://host:7077"], "host:7077 is another machine"),
        (["--runner=PortableRunner"], "needs --job_endpoint=HOST:PORT, or embed"),
        (["@dataflow"], "needs --project=PROJECT and --temp_location=gs://BUCKET/tmp"),
        (["@dataflow", "--region=", *CLOUD], "needs --region=REGION"),
        (
            ["@dataflow", "--project=project", "--temp_location=/tmp"],
            "=/tmp: Dataflow needs a gs://",
        ),
        (["@dataflow", *CLOUD], "add --sdk_container_image=IMAGE.*or --setup_file"),
        (["@dataflow", *CLOUD, "--setup_file=no.py"], "--setup_file=no.py: no such file"),
        (["@dataflow_gpu", *CLOUD, "--setup_file=setup.py"], "needs --sdk_container_image=IMAGE"),
        (["@dataflow", *CLOUD, *IMAGE, "--dry_run=False"], "--dry_run=False.*leave it out"),
        (["@dataflow", *CLOUD, *IMAGE, "--template_location=gs://b/t"], "--template_location"),
        (["@direct", "--faces_accelerator=type:t4"], "FnApiRunner has none to give"),
    ],
)
def test_what_lacks_or_contradicts_is_said_before_anything_starts(flags, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(EngineError, match=message):
        engine.parse(flags)


@pytest.mark.parametrize(
    ("flags", "elsewhere"),
    [
        (["@direct"], False),
        (["@multiprocess"], False),
        (EMBEDDED, False),
        (["@spark"], False),
        (["--runner=FlinkRunner"], False),
        (["--runner=FlinkRunner", "--flink_master=host:8081"], True),
        (["--runner=PortableRunner", "--job_endpoint=host:8099"], True),
        (["@spark", "--environment_type=DOCKER"], True),
        (["@dataflow", *CLOUD, *IMAGE], True),
    ],
)
def test_paths_of_this_machine_are_refused_where_workers_run_elsewhere(flags, elsewhere):
    chosen = engine.parse(flags)
    engine.require_reachable(chosen, {"--output": "gs://bucket/data"})
    if elsewhere:
        with pytest.raises(EngineError, match="--output runs/data: is a path of this machine"):
            engine.require_reachable(chosen, {"--output": "runs/data"})
    else:
        engine.require_reachable(chosen, {"--output": "runs/data"})


@pytest.mark.parametrize("before", ["/usr/bin:/bin", "", None])
def test_workers_find_this_python_and_path_is_as_before_when_the_run_is_over(before, monkeypatch):
    if before is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", before)

    class Failing:
        options = engine.parse(["@direct"])

        def run(self):
            assert os.environ["PATH"].split(os.pathsep)[0] == os.path.dirname(sys.executable)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        engine.run(Failing())
    assert os.environ.get("PATH") == before


def test_a_worker_process_computes_with_one_thread_where_there_are_several():
    threads = {name: engine.worker_threads(engine.parse([name])) for name in ("@direct", "@spark")}
    assert threads == {"@direct": 0, "@spark": 1}
    assert engine.worker_threads(engine.parse(["@multiprocess"])) == 1
    assert engine.worker_threads(engine.parse(["@dataflow", *CLOUD, *IMAGE])) == 1


def preprocess(sample: Path, out: Path, *flags: str, **options) -> subprocess.CompletedProcess:
    """In a process of its own, as a user would."""
    argv = ["preprocess", "--input", str(sample), "--output", str(out), *FLAGS]
    return subprocess.run(
        [sys.executable, "-m", "dfdetect", *argv, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        **options,
    )


def contents(out: Path) -> dict[str, str]:
    """Of all but job/, which tells how it was made."""
    files = [path for path in out.iterdir() if path.is_file()]
    assert len(files) == 10
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_run(out: Path, expected: dict[str, str], said: str) -> None:
    """The bytes that every engine writes, and an account of the work."""
    assert contents(out) == expected
    assert sorted(p.name for p in (out / "job").iterdir()) == [
        "index",
        "metrics.json",
        "options.json",
    ]
    metrics = json.loads((out / "job" / "metrics.json").read_text())
    assert metrics["counts"] == {"faces": 144, "frames": 144, "videos": 18}
    stages = {"copy", "crop", "decode", "detect", "shard", "video", "write"}
    assert metrics["stages"].keys() == stages and metrics["stages"]["decode"]["count"] == 18
    assert "engine: " in said and "mean ms" in said


@pytest.fixture(scope="module")
def expected(sample_shards) -> dict[str, str]:
    """By FnApiRunner in one process with as many threads as there are cores."""
    return contents(sample_shards)


@pytest.mark.parametrize("flags", [["--threads", "1"], ["--", *EMBEDDED]], ids=" ".join)
def test_an_engine_in_this_process_writes_the_same_bytes_and_counts_its_work(
    flags, sample, expected, tmp_path, capsys
):
    argv = ["--input", str(sample), "--output", str(tmp_path / "out"), *FLAGS, *flags]
    assert main(["preprocess", *argv]) == 0
    check_run(tmp_path / "out", expected, capsys.readouterr().out)


@pytest.mark.parametrize(
    "flags",
    [
        ["--", "@multiprocess", "--direct_num_workers=2"],
        pytest.param(["--", "@prism"], marks=pytest.mark.prism),
        pytest.param(["--", "@flink"], marks=pytest.mark.flink),
        pytest.param(
            ["--", "@flink", "--parallelism=2", "--sdk_worker_parallelism=2"],
            marks=pytest.mark.flink,
        ),
    ],
    ids=" ".join,
)
def test_an_engine_of_several_processes_does_so_too(flags, sample, expected, tmp_path):
    done = preprocess(sample, tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    check_run(tmp_path / "out", expected, done.stdout)


@pytest.mark.flink
def test_flink_survives_the_death_of_a_worker_and_writes_the_same_bytes(sample, expected, tmp_path):
    out = tmp_path / "out"
    argv = ["preprocess", "--input", str(sample), "--output", str(out), *FLAGS]
    engine_flags = ["--", "@flink", "--parallelism=2", "--sdk_worker_parallelism=2"]
    log = tmp_path / "log"
    with log.open("w") as said:
        job = subprocess.Popen(
            [sys.executable, "-m", "dfdetect", *argv, *engine_flags],
            cwd=ROOT,
            stdout=said,
            stderr=said,
        )
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob(f"{PARTS}/*.tfrecord")):
            assert job.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        killed = _workers(job.pid)
        assert killed, "no worker process of its own"
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        assert job.wait(180) == 0, log.read_text()
    finally:
        job.kill()
        job.wait(20)
    assert contents(out) == expected


def _workers(parent: int) -> list[int]:
    """The Python workers that a job has started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "python -c" in line]


@pytest.fixture
def quick_dry_run(monkeypatch, tmp_path) -> list[str]:
    """Flags of a dry run on Dataflow, which leaves its files in tmp_path."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(ROOT)
    return [*CLOUD, "--dry_run=True", "--no_save_main_session"]


@pytest.fixture
def remote_manifest(tmp_path) -> Path:
    path = tmp_path / "videos.csv"
    rows = "".join(
        f"gs://bucket/{label}/{i}.mp4,{label}\n" for label in ("real", "fake") for i in range(5)
    )
    path.write_text("uri,label\n" + rows)
    return path


def graph(*flags: str):
    """The job that Dataflow would get for the preprocessing."""
    pipeline = beam.Pipeline(options=engine.parse(flags))
    build(pipeline, "gs://bucket/data", PreprocessConfig(), PreprocessSettings())
    return engine.rehearse(pipeline)


def steps(job) -> dict[str, Any]:
    return {step.unique_name: step for step in job.proto_pipeline.components.transforms.values()}


def test_dataflow_gets_the_steps_under_their_names(quick_dry_run):
    job = graph("@dataflow", *IMAGE, *quick_dry_run)
    labels = [
        "ReadTasks/Deal",
        "ExtractFaces/ParDo(ExtractFaces)",
        "WriteShards/GroupByShard",
        "WriteShards/WriteShard",
        "Finish/WriteInfo",
    ]
    assert set(labels) <= steps(job).keys()
    assert job.proto_pipeline.ByteSize() < 100_000  # whatever the number of videos


def test_dataflow_gets_the_image_and_the_machines_that_the_flags_name(quick_dry_run):
    job = graph("@dataflow", *IMAGE, "--sdk_location=container", *quick_dry_run)
    environments = job.proto_pipeline.components.environments.values()
    images = {pb.DockerPayload.FromString(e.payload).container_image for e in environments}
    assert images == {IMAGE[0].split("=")[1]}
    request = apiclient.Environment(
        packages=[],
        options=job.options,
        environment_version="8",
        proto_pipeline_staged_url="gs://bucket/graph",
        proto_pipeline=job.proto_pipeline,
    ).proto
    (pool,) = [p for p in request.worker_pools if p.kind == "harness"]
    assert (pool.machine_type, pool.disk_size_gb) == ("n2-standard-4", 50)
    assert pool.autoscaling_settings.max_num_workers == 50


def test_only_the_face_step_asks_for_a_gpu(quick_dry_run):
    job = graph("@dataflow_gpu", *IMAGE, *quick_dry_run)
    environments = job.proto_pipeline.components.environments
    hints = {
        name: dict(environments[step.environment_id].resource_hints)
        for name, step in steps(job).items()
        if step.environment_id and environments[step.environment_id].resource_hints
    }
    assert hints == {
        "ExtractFaces/ParDo(ExtractFaces)": {
            "beam:resources:accelerator:v1": b"type:nvidia-tesla-t4;count:1;install-nvidia-driver",
            "beam:resources:min_ram_bytes:v1": b"24000000000",
        }
    }


def test_scoring_asks_for_the_gpu_for_faces_and_model_alike(quick_dry_run):
    """Or crops would travel between the two."""
    pipeline = beam.Pipeline(options=engine.parse(["@dataflow_gpu", *IMAGE, *quick_dry_run]))
    voice = Voice("dfdetect/1", ModelConfig(PreprocessConfig(), Thresholds()))
    panel = ScoringPanel((ModelSource(("gs://bucket/model",)),), (voice,))
    score.build(pipeline, "gs://bucket/scores", panel, ScoreSettings(), ScanSettings())
    job = engine.rehearse(pipeline)
    environments = job.proto_pipeline.components.environments
    hinted = {
        name.split("/")[0]
        for name, step in steps(job).items()
        if step.environment_id and environments[step.environment_id].resource_hints
    }
    assert hinted == {"ScoreVideos"}


def test_the_console_of_a_runner_shows_how_crops_are_made(quick_dry_run):
    step = steps(graph("@dataflow", *IMAGE, *quick_dry_run))["ExtractFaces/ParDo(ExtractFaces)"]
    payloads = [pb.LabelledPayload.FromString(data.payload) for data in step.display_data]
    shown = {p.key: p.string_value or p.int_value or p.double_value for p in payloads}
    assert shown["fingerprint"] == PreprocessConfig().fingerprint
    assert shown["crop_size"] == 224 and shown["image_format"] == "jpeg"


def test_a_setup_file_is_built_and_staged(quick_dry_run, tmp_path):
    """A small one stands for the project's own, which tests/test_package.py builds."""
    (tmp_path / "setup.py").write_text("import setuptools\nsetuptools.setup(name='small')\n")
    job = graph("@dataflow", f"--setup_file={tmp_path / 'setup.py'}", *quick_dry_run)
    staged = {
        pb.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name
        for environment in job.proto_pipeline.components.environments.values()
        for artifact in environment.dependencies
    }
    assert "workflow.tar.gz" in staged


def test_a_dry_run_by_command_checks_everything_and_writes_nothing(
    quick_dry_run, remote_manifest, capsys
):
    argv = ["--input", str(remote_manifest), "--output", "gs://bucket/data", "--"]
    assert main(["preprocess", *argv, "@dataflow", *IMAGE, *quick_dry_run]) == 0
    assert "nothing was started or written" in capsys.readouterr().out


def test_a_local_video_in_a_manifest_is_refused_for_dataflow(
    quick_dry_run, sample, tmp_path, capsys
):
    argv = ["--input", str(sample), "--output", "gs://bucket/data", "--"]
    with pytest.raises(SystemExit) as caught:
        main(["preprocess", *argv, "@dataflow", *IMAGE, *quick_dry_run])
    assert caught.value.code == 2
    assert "is a path of this machine" in capsys.readouterr().err

"""Many callers for long: no request lost, answered wrongly or left without an answer.

Half-way a new version takes over; near the end the server is told to end. The full run is
`pytest -m slow -s tests/serving/model_server/test_soak.py`.
"""

import dataclasses
import itertools
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.fixtures import ROOT, serving_models

NAME = serving_models.NAME
OFFSETS = (2.0, 3.0)  # of versions 1 and 2
BATCHING = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 2 }
"""
NOT_TAKEN = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


@dataclasses.dataclass
class Soak:
    """What happened to the requests of one run."""

    url: str
    grpc_address: str
    total: int
    answered: int = 0
    refused: int = 0  # after the server was told to end; it never had them
    wrong: list = dataclasses.field(default_factory=list)
    ending: bool = False
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    _numbers: itertools.count = dataclasses.field(default_factory=itertools.count)

    def work(self) -> None:
        """One caller: asks until all requests are made or the server takes no more."""
        with (
            httpx.Client(base_url=self.url, trust_env=False, timeout=60) as http,
            grpc.insecure_channel(self.grpc_address) as channel,
        ):
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while (i := next(self._numbers)) < self.total:
                try:
                    good = over_grpc(stub, i) if i % 5 == 4 else over_rest(http, i)
                except NOT_TAKEN as error:
                    self._count(i, None if self.ending else error)
                    return
                except grpc.RpcError as error:
                    gone = self.ending and error.code() in (
                        grpc.StatusCode.UNAVAILABLE,
                        grpc.StatusCode.CANCELLED,
                    )
                    self._count(i, None if gone else error)
                    return
                self._count(i, good)

    def _count(self, i: int, good) -> None:
        with self._lock:
            if good is None:
                self.refused += 1
                return
            self.answered += 1
            if good is not True:
                self.wrong.append((i, good))


def over_rest(http, i):
    """True where request `i` got the right answer, else what it got."""
    x = float(i % 1000)
    kind = i % 8
    path, body, status = f"/v1/models/{NAME}:predict", {"instances": [x, -x]}, 200
    if kind == 5:
        path, status = "/v1/models/other:predict", 404
    elif kind == 6:
        body, status = {"instances": [x, "x"]}, 400
    elif kind == 7:  # computed in one batch with those of kind 3
        body, status = {"signature_name": "root", "instances": [x, -1]}, 400
    elif kind == 3:
        body = {"signature_name": "root", "instances": [x * x, 4]}
    response = http.post(path, json=body)
    answer = response.json()
    if response.status_code != status:
        return response.status_code, answer
    if status != 200:
        return set(answer) == {"error"} or answer
    expected = [[x, 2.0]] if kind == 3 else [[x / 2 + n, -x / 2 + n] for n in OFFSETS]
    return answer["predictions"] in expected or answer


def over_grpc(stub, i):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([float(i % 1000)]))
    response = stub.Predict(request, 60)
    y = i % 1000 / 2 + OFFSETS[response.model_spec.version.value - 1]
    return list(response.outputs["y"].float_val) == [y] or str(response)


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024


def soak(folder: Path, total: int, callers: int) -> tuple[Soak, subprocess.Popen, list, str]:
    """Runs it -> the counts, the ended process, (answered, MB) over time, what it logged."""
    names = ("root", "named")
    serving_models.write(folder / NAME / "1", OFFSETS[0], names)
    serving_models.write(folder / "new", OFFSETS[1], names)
    (folder / "batching.pbtxt").write_text(BATCHING)
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dfdetect", "serve", "--model-base", str(folder / NAME)]
            + ["--model-name", NAME, "--rest-port", "0", "--grpc-port", "0"]
            + ["--batching-parameters-file", str(folder / "batching.pbtxt")],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=os.environ,
        )
    try:
        words = process.stdout.readline().split()
        run = Soak(words[2].removesuffix("/v1/models,"), words[-1], total)
        threads = [threading.Thread(target=run.work) for _ in range(callers)]
        for thread in threads:
            thread.start()
        memory = []

        def wait_for(answered):
            memory.append((run.answered, resident_mb(process.pid)))
            while run.answered < answered and any(t.is_alive() for t in threads):
                time.sleep(0.05)
                memory.append((run.answered, resident_mb(process.pid)))

        wait_for(total // 2)
        (folder / "new").rename(folder / NAME / "2")
        takes_over = f"{NAME}/2: serving"
        while takes_over not in (folder / "log").read_text() and process.poll() is None:
            run.total = max(total, run.answered + total // 2)  # there are callers all the while
            time.sleep(0.01)
        wait_for(run.total * 95 // 100)
        run.ending = True
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
    return run, process, memory, (folder / "log").read_text()


@pytest.mark.parametrize(
    ("total", "callers"), [(600, 16), pytest.param(10_000, 32, marks=pytest.mark.slow)]
)
def test_no_request_is_lost_through_a_new_version_and_the_end(tmp_path, total, callers):
    run, process, memory, log = soak(tmp_path, total, callers)
    assert not run.wrong, run.wrong[:5]
    assert process.returncode == 0, log
    counted = int(re.search(r"(\d+) requests were answered", log)[1])
    assert counted == run.answered, "the server answered requests whose callers got nothing"
    assert run.answered >= run.total * 95 // 100 and run.refused <= callers
    assert f"{tmp_path.resolve() / NAME / '2'}: serving" in log
    before = [mb for answered, mb in memory if answered < total // 2]
    after = [mb for answered, mb in memory if answered >= total // 2]
    print(
        f"{run.answered} answered, {run.refused} refused at the end; memory "
        f"{statistics.median(before):.0f} MB before the new version, "
        f"{statistics.median(after):.0f} MB after, {memory[-1][1]:.0f} MB at last"
    )
    if total >= 10_000:
        assert memory[-1][1] < 1.1 * statistics.median(before)

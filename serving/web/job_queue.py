"""Job queue of the web application: bounded, emptied by workers; results until they expire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.clip import VideoError
from serving.analysis.analyse import Analysis, Cancelled, analyse
from serving.client import Model, ModelServerError
from serving.web.analysis_job import AnalysisJob, JobProgress
from serving.web.problems import Problem, internal, not_found, of_video
from serving.web.process import Spares
from serving.web.prometheus import Metrics
from serving.web.receive import Upload
from serving.web.settings import Settings
from serving.web.uploads import UploadFolder
from serving.web.worker import FaceWorker, WorkerFaces

RETRY_S = 5.0  # from one attempt to start a worker to the next, while there is no job

log = logging.getLogger("dfdetect.web")


class JobQueue:
    """Lives in one event loop, from `start` to `stop`.

    open_model: gives a connection to the model; each job opens and closes its own.
    """

    def __init__(self, settings: Settings, metrics: Metrics):
        self._settings, self._metrics = settings, metrics
        self._jobs: dict[str, AnalysisJob] = {}  # in the order in which they came
        self._queue: deque[AnalysisJob] = deque()
        self._arrived = asyncio.Event()
        self._coming = 0  # uploads that are being received
        self._stopping = threading.Event()
        self._usual_s = 10.0  # what a job took of late
        self._spares = Spares(settings, metrics.workers.inc)
        self.workers = [
            FaceWorker(settings, metrics.workers.inc, self._spares) for _ in range(settings.workers)
        ]

    async def start(self, open_model: Callable[[], Model]) -> None:
        """Raises OSError where the folder for uploads cannot be used."""
        self._open_model = open_model
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(len(self.workers), "job")
        self.folder = UploadFolder(self._settings.upload_folder())
        if self.folder.removed:
            log.info("removed %d uploads of a server that had died", self.folder.removed)
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self.workers]
        self._tasks.append(asyncio.create_task(self._forget_old()))

    async def stop(self) -> None:
        """Cancels what is not done, and leaves nothing behind."""
        self._stopping.set()
        for job in self._jobs.values():
            job.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        for worker in self.workers:
            worker.stop()
        self._spares.close()
        self.folder.close()

    # What the API asks for.

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for an upload while it comes in. Raises Problem where there is none."""
        waiting = self._coming + sum(not job.ended for job in self._jobs.values())
        if waiting >= self._settings.places:
            wait_s = max(1, round(self._usual_s / len(self.workers)))
            raise Problem(
                "busy",
                f"{waiting} videos are being received, waiting or being analysed, as many as there "
                f"may be. Try again in {wait_s} s.",
                {"Retry-After": str(wait_s)},
            )
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def add(self, upload: Upload) -> AnalysisJob:
        """A job for a file, which is the job's from now on."""
        job = AnalysisJob(upload)
        self._jobs[job.id] = job
        self._queue.append(job)
        self._renumber()
        self._arrived.set()
        return job

    def get(self, id: str) -> AnalysisJob:
        """Raises Problem where there is none."""
        job = self._jobs.get(id)
        if job is None or self._is_over(job):
            raise not_found()
        return job

    def result(self, id: str) -> Analysis:
        """Raises Problem where there is none: yet, any more, or at all."""
        job = self.get(id)
        if job.analysis is not None:
            return job.analysis
        raise job.problem or Problem("not-done", f"It is {job.state}; ask again later.")

    def delete(self, id: str) -> AnalysisJob:
        """Cancels a job that has not ended; forgets one that has."""
        job = self.get(id)
        if job.ended:
            del self._jobs[id]
            return job
        if job.state == "queued":
            self._queue.remove(job)
            job.upload.discard()
            self._renumber()
        job.cancel()
        self._metrics.jobs.labels("cancelled").inc()
        self._drop_beyond(self._settings.results)
        return job

    def ask_version(self) -> str:
        """Of the model that answers now. Raises ModelServerError."""
        with contextlib.closing(self._open_model()) as model:
            return model.version()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> int:
        return sum(job.state == "running" for job in self._jobs.values())

    @property
    def ready(self) -> bool:
        """Whether a worker is warm."""
        return any(worker.ready for worker in self.workers)

    # The work.

    async def _serve(self, worker: FaceWorker) -> None:
        """Analyses one job after the other; meanwhile keeps its worker warm."""
        while True:
            if not worker.ready:
                await self._loop.run_in_executor(self._threads, self._warm, worker)
            job = await self._next(None if worker.ready else RETRY_S)
            if job is None:
                continue
            try:
                await self._run(job, worker)
            finally:
                job.upload.discard()
            self._drop_beyond(self._settings.results)

    async def _next(self, wait_s: float | None) -> AnalysisJob | None:
        """The job whose turn it is; None where there is none for so long."""
        while not self._queue:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), wait_s)
            except TimeoutError:
                return None
        job = self._queue.popleft()
        job.start()
        self._renumber()
        return job

    def _renumber(self) -> None:
        for position, job in enumerate(self._queue, 1):
            job.report(JobProgress("queued", position))

    async def _run(self, job: AnalysisJob, worker: FaceWorker) -> None:
        started = time.monotonic()
        try:
            analysis = await self._loop.run_in_executor(self._threads, self._work, job, worker)
            job.end("done", analysis)
        except Cancelled:
            return
        except Problem as problem:
            job.end("failed", problem=problem)
            self._metrics.problems.labels(problem.name).inc()
        took_s = time.monotonic() - started
        self._usual_s = 0.7 * self._usual_s + 0.3 * took_s
        if job.state != "cancelled":
            self._metrics.jobs.labels(job.state).inc()
            self._metrics.seconds.observe(took_s)

    def _warm(self, worker: FaceWorker) -> None:
        """Starts a worker before there is a job for it, if the model can say what is needed."""
        try:
            with contextlib.closing(self._open_model()) as model:
                worker.prepare(model.config().preprocess, self._stopping.is_set)
        except Cancelled:
            return
        except (ModelServerError, VideoError) as error:
            log.warning("no worker could be started: %s", error)
        except Exception:  # jobs must go on; the next one says so to its user
            log.exception("no worker could be started")

    def _work(self, job: AnalysisJob, worker: FaceWorker) -> Analysis:
        """Runs in a thread. Raises Problem, or Cancelled."""
        path = str(job.upload.path)
        try:
            return self._analyse(job, worker, path)
        except VideoError as error:
            raise of_video(error, path) from error
        except ModelServerError as error:
            log.warning("the model server gave no answer: %s", error)
            raise Problem("model-server-down", _why(error)) from error
        except Cancelled:
            raise
        except Exception as error:
            log.exception("a job failed")
            raise internal() from error

    def _analyse(self, job: AnalysisJob, worker: FaceWorker, path: str) -> Analysis:
        def report(stage: str, done: float | None = None, detail: str = "") -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                progress = JobProgress(stage, None, done, detail)
                self._loop.call_soon_threadsafe(job.report, progress)

        with contextlib.closing(self._open_model()) as model:
            config = model.config().preprocess
            worker.prepare(config, lambda: not job.wanted)
            deadline = time.monotonic() + self._settings.job_timeout
            faces = WorkerFaces(worker, config, deadline, lambda: not job.wanted, report)
            return analyse(
                path,
                faces,
                model,
                self._settings.scan,
                name=job.name,
                sha256=job.upload.sha256,
                on_progress=report,
                cancelled=lambda: not job.wanted,
            )

    # The end of results.

    def _is_over(self, job: AnalysisJob) -> bool:
        return job.ended_s is not None and time.monotonic() - job.ended_s > self._settings.ttl

    def _drop_beyond(self, number: int) -> None:
        ended = [job for job in self._jobs.values() if job.ended]
        for job in ended[: max(0, len(ended) - number)]:
            del self._jobs[job.id]

    async def _forget_old(self) -> None:
        while True:
            await asyncio.sleep(min(30.0, self._settings.ttl / 2))
            for job in [job for job in self._jobs.values() if self._is_over(job)]:
                del self._jobs[job.id]


def _why(error: Exception) -> str:
    """For users: the address of the model server is nothing that they should read."""
    return (
        f"The model server gave no answer that can be used ({type(error).__name__}). "
        "There is no verdict on this video; send it again later."
    )

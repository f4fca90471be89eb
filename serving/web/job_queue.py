"""Job queue of the web application: bounded, fair between clients, emptied by workers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from serving.analysis.analyse import Analysis, Cancelled, analyse
from serving.client import Model, ModelServerError
from serving.provenance.reader import FactsReader
from serving.web.analysis_job import AnalysisJob, JobProgress
from serving.web.audit_log import AuditLog
from serving.web.clients import Sender
from serving.web.fair_queue import FairQueue
from serving.web.history import History
from serving.web.job_times import JobTimes
from serving.web.problems import Problem, internal, interrupted, not_found, of_video, stopping
from serving.web.process import Spares
from serving.web.prometheus import Metrics
from serving.web.receive import Upload
from serving.web.results_store import Bounds, ResultsStore, StoredResult
from serving.web.settings import Settings
from serving.web.stored_job import EndState, StoredJob
from serving.web.uploads import UploadFolder
from serving.web.worker import FaceWorker, WorkerFaces

RETRY_S = 5.0  # from one look after a worker to the next, while there is no job
FORGET_S = 30.0  # from one look for what has expired to the next, at most

log = logging.getLogger("dfdetect.web")


class JobQueue:
    """Lives in one event loop, from `start` to `stop`. Jobs that have ended are in the store.

    open_model: gives a connection to the model; each job opens and closes its own. Raises OSError
    and ValueError for a trust list that cannot be used, OSError where results cannot be kept or the
    audit log cannot be written.
    """

    def __init__(self, settings: Settings, metrics: Metrics):
        self._settings, self._metrics = settings, metrics
        # A result has the place of recording; who asks for the result decides whether to be told.
        self._facts_reader = dataclasses.replace(
            FactsReader.of(settings.provenance), show_location=True
        )
        self.audit = AuditLog(Path(settings.audit_log)) if settings.audit_log else None
        self.store = ResultsStore(
            Path(settings.results_dir) if settings.results_dir else None,
            Bounds(settings.ttl, settings.results, settings.results_bytes),
        )
        self.history = History(settings, self.store, self._facts_reader, self.ask_version)
        self._jobs: dict[str, AnalysisJob] = {}  # that have not ended, or could not be stored
        self._ending = asyncio.Lock()  # of jobs, one after the other
        self._queue: FairQueue[AnalysisJob] = FairQueue()
        self._adding = 0  # jobs that are being stored
        self._arrived = asyncio.Event()
        self._stopping = threading.Event()
        self._times = JobTimes()
        self.draining = False
        self._spares = Spares(settings, metrics.workers.inc)
        self.workers = [
            FaceWorker(settings, metrics.workers.inc, self._spares)
            for _ in range(settings.processes)
        ]

    async def start(
        self, open_model: Callable[[], Model], crops: PreprocessConfig | None = None
    ) -> None:
        """crops: what the model wants to see, where that is known before it answers. Raises
        OSError where the folder for uploads cannot be used."""
        self._open_model, self._crops = open_model, crops
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(len(self.workers), "job")
        self.folder = UploadFolder(self._settings.upload_folder())
        if self.folder.removed:
            log.info("removed %d uploads of a server that had died", self.folder.removed)
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self.workers]
        self._tasks.append(asyncio.create_task(self._forget_old()))

    async def drain(self) -> None:
        """Before the server ends: takes no video any more, sends back those that wait, and returns
        when those at work have ended, or `drain_timeout` is over. Who follows a job is told."""
        self.draining = True
        for job in list(self._queue):
            await self._end(job, "failed", interrupted())
        for job in self._jobs.values():
            job.announce_stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout):
                for job in list(self._jobs.values()):
                    async for _ in job.follow():
                        pass

    async def stop(self) -> None:
        """Ends what is not done, and leaves nothing behind but results in their folder."""
        self.draining = True
        self._stopping.set()
        for job in list(self._jobs.values()):
            await self._end(job, "failed", interrupted())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        for worker in self.workers:
            worker.stop()
        self._spares.close()
        self.folder.close()
        self.history.close()
        self.store.close()

    # What the API asks for.

    def check_place(self) -> None:
        """Raises Problem where there is no place for one more video."""
        if self.draining:
            raise stopping()
        waiting = self._adding + sum(not job.ended for job in self._jobs.values())
        if waiting >= self._settings.places:
            now = time.monotonic()
            running_s = [
                now - job.started_s
                for job in self._jobs.values()
                if job.started_s is not None and not job.ended
            ]
            wait_s = self._times.wait_s(waiting, running_s, len(self.workers))
            raise Problem(
                "busy",
                f"{waiting} videos are waiting or being analysed, as many as there may be. "
                f"Try again in {wait_s} s.",
                {"Retry-After": str(wait_s)},
            )

    async def check_quota(self, sender: Sender) -> None:
        """Raises Problem where the sender's key may send no more today."""
        if sender.quota:
            try:
                await asyncio.to_thread(self.store.check_quota, sender.name, sender.quota)
            except OSError as error:
                raise not_stored(error) from error

    @contextlib.contextmanager
    def _adding_one(self) -> Iterator[None]:
        """A place for a job on its way into the queue. Raises Problem where there is none."""
        self.check_place()
        self._adding += 1
        try:
            yield
        finally:
            self._adding -= 1

    async def _store_job(self, job: AnalysisJob, sender: Sender) -> None:
        """Raises Problem."""
        try:
            size = job.upload.path.stat().st_size
            given = job.id, sender.name, job.name, job.sha256, size, sender.quota, sender.history
            job.created_at = await asyncio.to_thread(self.store.add, *given)
        except OSError as error:
            raise not_stored(error) from error
        if self.draining:
            await asyncio.to_thread(self.store.delete, job.id)
            raise stopping()

    async def add(
        self, upload: Upload, sender: Sender, again: bool = False
    ) -> AnalysisJob | StoredJob:
        """A job for a file, which is the job's from now on; unless `again`, one of the history with
        a result of the same. Raises Problem. The file is gone but for a new job."""
        job = AnalysisJob(upload, sender.name)
        try:
            if not again and (earlier := await self.history.earlier(upload.sha256, sender)):
                upload.discard()
                return earlier
            with self._adding_one():
                await self._store_job(job, sender)
        except BaseException:
            upload.discard()
            raise
        self._jobs[job.id] = job
        self._queue.push(job.owner, job)
        self._renumber()
        self._arrived.set()
        return job

    async def get(self, id: str) -> AnalysisJob | StoredJob:
        """Raises Problem where there is none."""
        if job := self._jobs.get(id):
            return job
        if ended := await asyncio.to_thread(self.store.job, id):
            return ended
        raise not_found(outlives_restart=bool(self._settings.results_dir))

    def at_work(self, id: str) -> AnalysisJob | None:
        """One that has not ended, or could not be stored."""
        return self._jobs.get(id)

    async def done(self, id: str) -> None:
        """Raises Problem for a job without a result."""
        job = await self.get(id)
        if job.state != "done":
            raise job.problem or Problem("not-done", f"It is {job.state}; ask again later.")

    async def result(self, id: str) -> StoredResult:
        """Raises Problem where there is none: yet, any more, or at all."""
        await self.done(id)
        result = await asyncio.to_thread(self.store.result, id)
        if result is None:
            raise not_found()
        return result

    async def delete(self, id: str) -> AnalysisJob | None:
        """Cancels a job that has not ended, and gives it; forgets one that has."""
        job = self._jobs.get(id)
        if job is not None and await self._end(job, "cancelled", _cancelled()):
            return job
        await self.get(id)
        async with self._ending:
            await asyncio.to_thread(self.store.delete, id)
            self._jobs.pop(id, None)
        return None

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
        return not self.draining and any(worker.ready for worker in self.workers)

    # The work.

    async def _serve(self, worker: FaceWorker) -> None:
        """Analyses one job after the other; meanwhile keeps its worker warm."""
        while True:
            if not worker.ready:
                await self._loop.run_in_executor(self._threads, self._warm, worker)
            job = await self._next(RETRY_S)
            if job is None:
                continue
            try:
                await self._run(job, worker)
            finally:
                job.upload.discard()
                self._queue.done(job.owner)
                self._renumber()

    async def _next(self, wait_s: float) -> AnalysisJob | None:
        """The job whose turn it is; None where there is none for so long."""
        while self.draining or not len(self._queue):
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), wait_s)
            except TimeoutError:
                return None
        job = self._queue.pop()
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
            ended = await self._end(job, "done", analysis=analysis)
        except Cancelled:
            return
        except Problem as problem:
            ended = await self._end(job, "failed", problem)
        took_s = time.monotonic() - started
        self._times.add(took_s, job.state == "done")
        if ended:
            self._metrics.seconds.observe(took_s)

    async def _end(
        self,
        job: AnalysisJob,
        state: EndState,
        problem: Problem | None = None,
        analysis: Analysis | None = None,
    ) -> bool:
        """Stores how a job ended, then tells who follows it; whether it had not ended before."""
        async with self._ending:
            if job.ended:
                return False
            if job.state == "queued":
                self._queue.remove(job.owner, job)
                job.upload.discard()
                self._renumber()
            stored = True
            try:
                await asyncio.to_thread(self._store_end, job, state, problem, analysis)
            except OSError as error:
                stored, analysis = False, None
                state, problem = "failed", problem or not_stored(error)
            if self.audit:
                await asyncio.to_thread(self.audit.decided, job, state, problem, analysis)
            if stored:
                del self._jobs[job.id]
            job.end(state, problem)
        self._metrics.jobs.labels(state).inc()
        if state == "failed" and problem:
            self._metrics.problems.labels(problem.name).inc()
        return True

    def _store_end(
        self,
        job: AnalysisJob,
        state: EndState,
        problem: Problem | None,
        analysis: Analysis | None,
    ) -> None:
        """Runs in a thread. Raises OSError."""
        if analysis is not None:
            model = "{name}/{version}".format(**analysis.document["model"])
            self.store.keep(job.id, analysis, self.history.judged_by(model))
        elif problem is not None:
            self.store.end(job.id, state, job.progress.stage, problem)

    def _warm(self, worker: FaceWorker) -> None:
        """Starts a worker before there is a job for it, if it is known what is needed."""
        try:
            worker.prepare(self._crops or self._asked_crops(), self._stopping.is_set)
        except Cancelled:
            return
        except (ModelServerError, VideoError) as error:
            log.warning("no worker could be started: %s", error)
        except Exception:  # jobs must go on; the next one says so to its user
            log.exception("no worker could be started")

    def _asked_crops(self) -> PreprocessConfig:
        with contextlib.closing(self._open_model()) as model:
            return model.config().preprocess

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
                facts_reader=self._facts_reader,
                on_progress=report,
                cancelled=lambda: not job.wanted,
            )

    async def _forget_old(self) -> None:
        """Deletes what has expired, for as long as the server lives."""
        ttl_s = self._settings.ttl
        while True:
            await asyncio.sleep(min(FORGET_S, ttl_s / 2))
            for job in list(self._jobs.values()):
                if job.ended_s is not None and time.monotonic() - job.ended_s > ttl_s:
                    del self._jobs[job.id]
            try:
                await asyncio.to_thread(self.store.forget_old)
            except OSError as error:
                log.error("results that have expired could not be deleted: %s", error)


def _cancelled() -> Problem:
    return Problem("cancelled", "It was cancelled by its user.")


def not_stored(error: OSError) -> Problem:
    """The file of results cannot be used; the log says why."""
    log.error("a job could not be stored: %s", error)
    return Problem("not-stored", "The server could not store the result. Try again later.")


def _why(error: Exception) -> str:
    """For users: the address of the model server is nothing that they should read."""
    return (
        f"The model server gave no answer that can be used ({type(error).__name__}). "
        "There is no verdict on this video; send it again later."
    )

"""History: a sender's earlier jobs, to be searched, and results that answer for the same file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import hashlib
import json
import logging
import math
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection

from pipelines.model_contract import FACTS_NAME, VERDICT_NAME
from serving.analysis.panel import sources_of
from serving.client import ModelServerError, ModelSource
from serving.provenance.reader import FactsReader
from serving.web.clients import Sender, sender_of
from serving.web.origin import Origins
from serving.web.problems import Problem
from serving.web.results_database import folded
from serving.web.results_store import ResultsStore
from serving.web.settings import Settings
from serving.web.stored_job import COLUMNS, StoredJob

FORMAT = 1  # raise when results of earlier versions are not what would be told now
ASK_S = 3.0  # that the model may take to tell its version, before a file is analysed all the same
MOST = 200  # jobs of a page
_CREATED = struct.Struct(">d")

log = logging.getLogger("dfdetect.web")


class JudgedBy:
    """What makes two results of the same file the same: models and settings, as a digest.

    Raises nothing for a folder without a model: loading it says so.
    """

    def __init__(self, settings: Settings, facts_reader: FactsReader):
        self._made_from = [
            FORMAT,
            settings.scan.to_dict(),
            dataclasses.asdict(facts_reader),
            [_identity(source) for source in sources_of(settings)],
            Path(settings.ensemble).read_text() if settings.ensemble else "",
        ]

    def digest(self, models: str) -> str:
        """models: their names and versions. 64 hex digits."""
        made_from = json.dumps([models, *self._made_from], sort_keys=True)
        return hashlib.sha256(made_from.encode()).hexdigest()


def _identity(source: ModelSource) -> list[Any]:
    """Of a model on servers their addresses; else what tells an exported model from others of its
    name, its thresholds and figures included."""
    if source.is_server:
        return sorted(source.places)
    try:
        exported = source.exported()
        said = [exported.extra / name for name in (VERDICT_NAME, FACTS_NAME)]
        return [exported.identity(), [path.read_text() for path in said if path.is_file()]]
    except (OSError, ValueError):
        return []


@dataclasses.dataclass(frozen=True)
class Search:
    """name: a part of the file's, in any case. sha256: how it begins. verdict: or DEMO. "": any."""

    name: str = ""
    sha256: str = ""
    verdict: str = ""


@dataclasses.dataclass(frozen=True)
class Page:
    """Jobs, the newest first. next: what `History.page` takes as `before`; None: that is all."""

    jobs: list[StoredJob]
    next: str | None


class History:
    """Of all senders; nobody reaches another's.

    ask_version: gives the models' names and versions, or raises ModelServerError.
    """

    def __init__(
        self,
        settings: Settings,
        store: ResultsStore,
        facts_reader: FactsReader,
        ask_version: Callable[[], str],
    ):
        self._settings, self._store, self._ask_version = settings, store, ask_version
        self._origins = Origins(settings)
        self._judged_by = JudgedBy(settings, facts_reader)
        # Of its own: a model server that hangs holds up nothing else.
        self._asking = ThreadPoolExecutor(1, "history")

    def close(self) -> None:
        self._asking.shutdown(wait=False, cancel_futures=True)

    def judged_by(self, models: str) -> str:
        """See JudgedBy."""
        return self._judged_by.digest(models)

    def of(self, connection: HTTPConnection) -> str:
        """The history of whoever asks. Raises Problem where there is none.

        Where no token is needed, a page of another site could read it through a name that is bound
        to this machine's address (DNS rebinding): the name is then checked as of a POST.
        """
        history = sender_of(connection, self._settings).history
        if history is None:
            raise no_history(self._settings)
        if not (self._settings.token_file or self._settings.keys_file):
            self._origins.check_host(connection.scope)
        return history

    def page(self, history: str, search: Search, limit: int = 50, before: str = "") -> Page:
        """Ended jobs that are still kept. before: "" for the newest, else the `next` of a page.

        Raises Problem for a cursor that is none, OSError.
        """
        where, values = ["history = ?", "expires > ?"], [history, self._store.now()]
        if search.name:
            where.append("instr(folded(name), ?)")
            values.append(folded(search.name))
        if search.sha256:
            where.append("sha256 >= ? AND sha256 < ?")
            values += [search.sha256.lower(), search.sha256.lower() + "g"]
        if search.verdict:
            where.append("verdict = ?")
            values.append(search.verdict)
        if before:
            where.append("(created, id) < (?, ?)")
            values += _of_cursor(before)
        with self._store.reading() as database:
            rows = database.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(where)} "
                "ORDER BY created DESC, id DESC LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        jobs = [StoredJob.of(row) for row in rows[:limit]]
        return Page(jobs, _cursor(jobs[-1]) if len(rows) > limit else None)

    async def earlier(self, sha256: str, sender: Sender) -> StoredJob | None:
        """The newest result of the same file that the sender has, by the models that answer now
        and these settings; None, too, where neither they nor the file of results answers."""
        if sender.history is None:
            return None
        try:
            if await asyncio.to_thread(self._newest, sha256, sender.history) is None:
                return None
            models = await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(self._asking, self._ask_version), ASK_S
            )
            judged_by = self.judged_by(models)
            return await asyncio.to_thread(self._newest, sha256, sender.history, judged_by)
        except (ModelServerError, OSError) as error:  # TimeoutError is one
            log.warning("a file is analysed without a look into the history: %r", error)
            return None

    def _newest(self, sha256: str, history: str, judged_by: str | None = None) -> StoredJob | None:
        """judged_by: None for any."""
        by, values = ("AND judged_by = ? ", [judged_by]) if judged_by else ("", [])
        with self._store.reading() as database:
            row = database.execute(
                f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_by_file "
                f"WHERE sha256 = ? AND history = ? {by}"
                "AND state = 'done' AND expires > ? ORDER BY created DESC LIMIT 1",
                (sha256, history, *values, self._store.now()),
            ).fetchone()
        return StoredJob.of(row) if row else None


def _cursor(job: StoredJob) -> str:
    """Where a page ends, as one word; of the sender's own job, so that it tells nothing else."""
    return base64.urlsafe_b64encode(_CREATED.pack(job.created_at) + job.id.encode()).decode()


def _of_cursor(cursor: str) -> tuple[float, str]:
    try:
        data = base64.b64decode(cursor.encode(), b"-_", validate=True)
        (created,) = _CREATED.unpack(data[: _CREATED.size])
        if not math.isfinite(created):
            raise ValueError("no time")
        return created, data[_CREATED.size :].decode()
    except (ValueError, struct.error, binascii.Error) as error:
        what = "query.before: not the `next` of an answer; leave it out to begin anew"
        raise Problem("http", what, code=422) from error


def no_history(settings: Settings) -> Problem:
    """Why a server keeps none."""
    if not settings.results_dir:
        missing = "it was started without --results-dir"
    else:
        missing = (
            "it cannot tell who asks; start it with --token-file, or with --keys-file for a "
            "history for each user"
        )
    return Problem("no-history", f"This server keeps no history: {missing}.")

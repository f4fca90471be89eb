"""The web application: pages, API, and the model server behind them in one command."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
from collections.abc import AsyncIterator

import uvicorn
from fastapi import Depends, FastAPI

from serving.client import RestClient
from serving.web import api, pages, problems
from serving.web.guard import Guard, token_check
from serving.web.jobs import Jobs
from serving.web.metrics import Metrics
from serving.web.settings import Settings

SHUTDOWN_S = 5  # for streams of events to end

log = logging.getLogger("dfdetect.web")


def create_app(settings: Settings) -> FastAPI:
    """The application. With --model it starts a model server of its own and ends it.

    Raises OSError and ValueError for a token file that cannot be used.
    """
    metrics = Metrics()
    jobs = Jobs(settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with contextlib.ExitStack() as stack:
            url = settings.model_server
            if not url:
                from serving.model_server.server import start_in_thread

                server = start_in_thread(settings.model, settings.model_name)
                url = await asyncio.to_thread(stack.enter_context, server)
            await jobs.start(lambda: RestClient(url, settings.model_name, settings.model_timeout))
            try:
                yield
            finally:
                await jobs.stop()

    app = FastAPI(
        title="dfdetect",
        description="Deepfake video detection: send a video, get a report.",
        version=importlib.metadata.version("dfdetect"),
        openapi_url=f"{api.PREFIX}/openapi.json",
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.jobs = jobs
    problems.install(app)
    needs_token = [Depends(token_check(settings.token()))]
    health, inner = api.operations(jobs, metrics)
    app.include_router(health)
    app.include_router(inner, dependencies=needs_token)
    app.include_router(api.router(jobs, settings), dependencies=needs_token)
    app.include_router(pages.router(jobs, settings), dependencies=needs_token)
    app.add_middleware(Guard, metrics=metrics)
    return app


def server(app: FastAPI) -> uvicorn.Server:
    """What runs the application: `run` until SIGTERM or Ctrl-C."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # it would write down ids
            ws="none",
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )

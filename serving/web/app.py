"""The web application: pages, API, and the model server behind them in one command."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import importlib.metadata
import logging
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import Depends, FastAPI

from pipelines.config import add_flags, from_flags
from serving.client import RestClient, model_folder, newest_version
from serving.listen import address, listen
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect web",
        description="Upload a video in the browser, or through the API, and get a report.",
        allow_abbrev=False,
    )
    add_flags(parser, Settings)
    args = parser.parse_args(argv)
    try:
        settings = from_flags(Settings, args)
    except ValueError as error:
        parser.error(str(error))
    try:
        if settings.model:
            version = newest_version(model_folder(Path(settings.model), settings.model_name))
            settings = dataclasses.replace(settings, model=str(version))
        app = create_app(settings)
        listener = listen(settings.host, settings.port, "--port")
    except (OSError, ValueError) as error:
        print(f"dfdetect web: {error}", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    print(f"http://{address(settings.host, listener.getsockname()[1])}/", flush=True)
    # uvicorn ends in good order, then sends itself the signal again for who listened before it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    web = server(app)
    with contextlib.suppress(SystemExit):  # how uvicorn ends where the start failed; it says why
        web.run([listener])
    return 0 if web.started else 1


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


if __name__ == "__main__":
    sys.exit(main())

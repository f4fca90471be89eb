"""Web application: pages and API in one server, over a model server or a model loaded here."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.metadata
import logging
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from fastapi import Depends, FastAPI

from pipelines.config import PreprocessConfig
from pipelines.ensemble import Ensemble
from pipelines.model_contract import ModelContractError
from serving.analysis.panel import Panel, ensemble_of, sources_of
from serving.client import (
    BalancedModel,
    Model,
    ModelConfig,
    ModelServerError,
    ModelSource,
    load_model,
    open_servers,
)
from serving.web import (
    api,
    export_api,
    history_api,
    pages,
    problems,
    refusals,
    review_api,
    share_api,
    shared_pages,
)
from serving.web.api_keys import Keyring
from serving.web.arrivals import Arrivals
from serving.web.connections import Connection, Connections, Requests
from serving.web.draining import DrainingServer
from serving.web.guard import Guard, key_check, token_check
from serving.web.job_queue import JobQueue
from serving.web.open_files import ACCEPTED_IN_A_ROW, Listener, most_connections
from serving.web.origin import Origins
from serving.web.prometheus import Metrics
from serving.web.reviews import Reviews
from serving.web.settings import Settings

SHUTDOWN_S = 5  # for streams of events to end

log = logging.getLogger("dfdetect.web")


def create_app(settings: Settings) -> FastAPI:
    """The application. Models in folders it loads when it starts.

    Raises OSError and ValueError for a file of a token, keys or an ensemble, a trust list, an audit
    log, or a folder of results or reviews that cannot be used.
    """
    ensemble = ensemble_of(settings)
    metrics = Metrics()
    jobs = JobQueue(settings, metrics)
    reviews: Reviews | None = None
    if settings.review_dir:
        reviews = Reviews(Path(settings.review_dir), settings.review_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Processes that decode start while the model is being loaded: both take seconds.
        with ThreadPoolExecutor(1) as loader:
            loading = loader.submit(_panel_opener, settings, ensemble)
            await jobs.start(lambda: loading.result()(), _crops(settings))
            try:
                await asyncio.wrap_future(loading)
                yield
            finally:
                await jobs.stop()
                if reviews:
                    reviews.close()

    app = FastAPI(
        title="dfdetect",
        description="Deepfake video detection: send a video, get a report.",
        version=importlib.metadata.version("dfdetect"),
        openapi_url=f"{api.PREFIX}/openapi.json",
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to wherever a request's Host says
        lifespan=lifespan,
        responses={503: problems.refusals("too-many-requests")[503]},
    )
    app.state.jobs = jobs
    refusals.install(app)
    if settings.keys_file:
        needs_token = [Depends(key_check(Keyring(Path(settings.keys_file))))]
    else:
        needs_token = [Depends(token_check(settings.token()))]
    health, inner = api.operations(jobs, metrics)
    app.include_router(health)
    app.include_router(inner, dependencies=needs_token)
    arrivals = Arrivals(settings, metrics.uploads)
    app.include_router(api.router(jobs, arrivals, settings), dependencies=needs_token)
    app.include_router(history_api.router(jobs), dependencies=needs_token)
    app.include_router(export_api.router(jobs, settings), dependencies=needs_token)
    app.include_router(share_api.router(jobs, settings), dependencies=needs_token)
    app.include_router(shared_pages.router(jobs))
    if reviews:
        reviewing = review_api.router(jobs, arrivals, reviews, settings)
        app.include_router(reviewing, dependencies=needs_token)
    app.include_router(pages.router(jobs, arrivals, settings, reviews), dependencies=needs_token)
    connections = Connections(
        most_connections(settings.connections),
        settings.client_connections,
        settings.header_timeout,
        settings.proxies(),
        metrics.closed,
    )
    app.add_middleware(
        Guard, metrics=metrics, requests=Requests(connections), origins=Origins(settings)
    )
    app.state.connections, app.state.proxies = connections, list(settings.trusted_proxy)
    return app


def _crops(settings: Settings) -> PreprocessConfig | None:
    """What the first model wants to see, where that can be read before it is loaded."""
    first = sources_of(settings)[0]
    if first.is_server:
        return None
    try:
        return ModelConfig.of(first.exported().description).preprocess
    except (OSError, ModelContractError, ModelServerError):  # loading it says why
        return None


def _panel_opener(settings: Settings, ensemble: Ensemble | None) -> Callable[[], Panel]:
    """How a job gets its models: clients of its own, so that it keeps to one version, of servers
    that all share; and those that are loaded here.

    Raises OSError, ModelServerError.
    """
    openers = [_opener(source, settings.model_timeout) for source in sources_of(settings)]
    return lambda: Panel([opened() for opened in openers], ensemble)


def _opener(source: ModelSource, timeout_s: float) -> Callable[[], Model]:
    if source.is_server:
        servers = open_servers(source.places, source.name)
        return lambda: BalancedModel(servers, source.name, timeout_s, keep_open=True)
    model = load_model(source.exported())
    model.warm_up()
    return lambda: model


class _Server(DrainingServer):
    """Takes connections by a Listener, in place of the sockets that it is given."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets and [Listener(given) for given in sockets])


def server(app: FastAPI) -> uvicorn.Server:
    """What runs the application: `run` until SIGTERM or Ctrl-C."""
    return _Server(
        uvicorn.Config(
            app,
            loop="asyncio",  # takes connections by the Listener
            http=functools.partial(Connection, app.state.connections),  # type: ignore[arg-type]
            backlog=ACCEPTED_IN_A_ROW,
            proxy_headers=bool(app.state.proxies),
            forwarded_allow_ips=app.state.proxies,
            log_config=None,  # the command's
            log_level="warning",
            access_log=False,  # it would write down ids
            ws="none",
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        ),
        app.state.jobs,
    )

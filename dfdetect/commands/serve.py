"""The command `dfdetect serve`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

from dfdetect.commands import local_path, make_parser
from pipelines.flags import add_flags, from_flags
from pipelines.model_contract import model_folder
from serving.model_server.settings import Settings


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("serve", "Serve SavedModels over TensorFlow Serving's REST and gRPC APIs.")
    parser.add_argument("--model-base", type=local_path, metavar="DIR", help="what `export` wrote")
    parser.add_argument("--model-name", default="dfdetect", help="(default: %(default)s)")
    add_flags(parser, Settings)
    return parser


def _config(args: argparse.Namespace, settings: Settings) -> Any:
    """Raises ValueError, OSError."""
    from serving.model_server.config_files import read_models
    from serving.model_server.version_policy import one_model

    if settings.model_config_file:
        return read_models(settings.model_config_file)
    return one_model(args.model_name, model_folder(args.model_base, args.model_name))


@contextlib.contextmanager
def _ending() -> Iterator[socket.socket]:
    """Can be read from as soon as SIGTERM or SIGINT has come.

    An event that a handler sets would not do: the handler runs in the main thread alone, which a
    signal that is given to another thread does not wake.
    """
    ending, sender = socket.socketpair()
    with ending, sender:
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        try:
            yield ending
        finally:
            signal.set_wakeup_fd(-1)


def main(argv: list[str]) -> int:
    """Serves until SIGTERM or SIGINT. Exit codes: 0 all requests were answered, 1 it could not
    start or some were not, 2 wrong usage."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        settings = from_flags(Settings, args)
    except ValueError as error:
        parser.error(str(error))
    if bool(args.model_base) == bool(settings.model_config_file):
        parser.error("give either --model-base or --model-config-file")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    with _ending() as ending:
        return _serve(args, settings, ending)


def _serve(args: argparse.Namespace, settings: Settings, ending: socket.socket) -> int:
    from serving.model_server.server import ModelServer

    server = ModelServer(settings, _config(args, settings))
    server.start()
    addresses = server.addresses
    print(f"REST at {addresses.rest}/v1/models, gRPC at {addresses.grpc or 'no port'}", flush=True)
    ending.recv(1)
    if server.stop():
        logging.info("%d requests were answered", server.metrics.requests())
        return 0
    print(
        f"dfdetect serve: some requests were not answered within {settings.drain_seconds:g} s.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # the threads that compute them would keep the process

"""Listening sockets of our servers."""

from __future__ import annotations

import socket


def listen(host: str, port: int, flag: str) -> socket.socket:
    """flag: the command's, for another port. Raises OSError where the port is taken."""
    # With its protocol named: asyncio sends small answers at once (TCP_NODELAY) only then; else
    # each waits some 40 ms for the acknowledgement of its headers.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"{address(host, port)}: cannot listen there ({error.strerror}). Give another {flag}."
        ) from error
    return listener


def address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

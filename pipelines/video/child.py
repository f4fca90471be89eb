"""Start of a process of ours that decodes: what it gets, and that it ends with who started it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

# What finds and sets up libraries; nothing else of the environment, which may hold secrets.
KEPT = (
    *("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE"),
    *("KERAS_BACKEND", "KERAS_HOME"),
    *("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_XLA_FLAGS", "XLA_FLAGS"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "KMP_BLOCKTIME", "KMP_AFFINITY"),
)


def start_process(module: str, *arguments: int) -> tuple[subprocess.Popen, socket.socket]:
    """Starts `python -m module DESCRIPTOR PARENT ARGUMENTS...`, which has that descriptor alone:
    the other end of our socket."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):  # whatever the default, which Beam's client of Google Cloud sets
        end.setblocking(True)
    numbers = map(str, (theirs.fileno(), os.getpid(), *arguments))
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *numbers],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us, who end it
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        except OSError:
            ours.close()
            raise
    return process, ours


def environment() -> dict[str, str]:
    """That of a process that decodes."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def end_with_parent(parent: int) -> None:
    """Ends this process once its parent has: one that was killed leaves nothing behind."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

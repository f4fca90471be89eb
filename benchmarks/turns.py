"""Paired measurement of programs in turn, A B A B: what slows a machine down meets both alike."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator


def answer(measure: Callable[[], float]) -> None:
    """The program's side: measures once for each line of standard input."""
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


@contextlib.contextmanager
def _program(command: list[str], environment: dict[str, str]) -> Iterator[Callable[[], float]]:
    with subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin and process.stdout

        def ask() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(command)} ended with {process.wait()}")
            return json.loads(line)

        yield ask
        process.stdin.close()


def in_turn(
    commands: dict[str, tuple[list[str], dict[str, str]]], rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """The number that each program gives, by its name, round by round. A program: command and
    environment."""
    samples: dict[str, list[float]] = {name: [] for name in commands}
    with contextlib.ExitStack() as stack:
        asks = {n: stack.enter_context(_program(*command)) for n, command in commands.items()}
        for i in range(warmup + rounds):
            for name, ask in asks.items():
                sample = ask()
                if i >= warmup:
                    samples[name].append(sample)
    return samples


def ratio(a: list[float], b: list[float]) -> str:
    """The median over rounds of a / b, with the smallest and the largest."""
    pairs = [x / y for x, y in zip(a, b, strict=True)]
    return f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"

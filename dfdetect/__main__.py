"""The command `dfdetect`: one subcommand per job. Each loads only what it needs."""

from __future__ import annotations

import importlib
import io
import os
import sys

from dfdetect.commands import COMMANDS
from pipelines.errors import DfdetectError


def _usage() -> str:
    lines = [f"  {name:14} {summary}" for name, summary in COMMANDS.items()]
    return "usage: dfdetect COMMAND [--help] ...\n\n" + "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Runs a subcommand. Exit codes: 0 done, 1 the work failed, 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show must not end what is at work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    name = argv[0]
    if name not in COMMANDS:
        print(f"dfdetect: no command {name!r}.\n\n{_usage()}", file=sys.stderr)
        return 2
    # TensorFlow's start-up notices bury what the command says; set it to 0 to see them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        command = importlib.import_module(f"dfdetect.commands.{name.replace('-', '_')}")
        return command.main(argv[1:])
    except ModuleNotFoundError as error:
        print(
            f"dfdetect {name}: the package {error.name!r} is not installed. "
            "Install the extras too: pip install 'dfdetect[serving]'.",
            file=sys.stderr,
        )
    except (DfdetectError, OSError, ValueError) as error:
        print(f"dfdetect {name}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

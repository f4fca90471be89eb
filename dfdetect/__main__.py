"""The command `dfdetect`: one subcommand per job. Each loads only what it needs."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys

from dfdetect.commands import COMMANDS, EXTRAS
from dfdetect.extras import how_to_install, missing_packages
from pipelines.errors import sentence

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def _usage() -> str:
    lines = [f"  {name:14} {summary}" for name, summary in COMMANDS.items()]
    return "usage: dfdetect COMMAND [--help] ...\n\n" + "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Runs a subcommand. Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 Ctrl-C.

    The one place where errors become what people read; a traceback is a fault of the program.
    """
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
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    extras = EXTRAS.get(name, ())
    # Before any work: a training that ends without its report would be worse.
    asks_for_help = bool({"-h", "--help"} & set(argv[1:]))
    if extras and not asks_for_help and (missing := missing_packages(extras)):
        _say(f"dfdetect {name}: needs {_packages(missing)}: {how_to_install(extras)}")
        return 2
    try:
        command = importlib.import_module(f"dfdetect.commands.{name.replace('-', '_')}")
        code = command.main(argv[1:])
        sys.stdout.flush()
        return code
    except ModuleNotFoundError as error:
        if error.name is None:
            raise
        _say(f"dfdetect {name}: needs {_packages([error.name])}: {how_to_install(extras)}")
        return 2
    except KeyboardInterrupt:
        _say(f"dfdetect {name}: interrupted.")
        return INTERRUPTED
    except Exception as error:
        if not _output_works() and isinstance(error, BrokenPipeError):
            return 1  # as of `dfdetect ... | head`: its reader has what it wants
        said = sentence(error)
        if said is None:
            raise
        what = said
    _say(f"dfdetect {name}: {what}")
    return 1


def _packages(names: list[str]) -> str:
    if len(names) == 1:
        return f"the package {names[0]!r}, which is not installed"
    return f"packages that are not installed ({', '.join(names)})"


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a log on a full disk
        print(text, file=sys.stderr, flush=True)


def _output_works() -> bool:
    """Whether standard output takes what is printed; if not, what waits is dropped, or Python would
    complain of it at its end."""
    try:
        sys.stdout.flush()
        return True
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False


if __name__ == "__main__":
    sys.exit(main())

"""Errors for people: each says where, what was wrong and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator


class DfdetectError(Exception):
    """Work that cannot be done, said so that it can be mended; a command prints it alone."""


class UsageError(DfdetectError, ValueError):
    """Flags that cannot be used, or not together; a command ends with exit code 2."""


class JobError(DfdetectError):
    """A Beam job that cannot be done."""


class StorageError(DfdetectError, OSError):
    """A place on a remote file system that cannot be reached, read or written."""


# The system's errors that people can mend, and how.
ADVICE = {
    errno.ENOSPC: "Free some space there, or give another place.",
    errno.EDQUOT: "Free some space there, or give another place.",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f), or give another file system.",
    errno.EROFS: "It is on a read-only file system; give another place.",
    errno.EACCES: "Change who may use it, or give another place.",
    errno.EPERM: "Change who may use it, or give another place.",
    errno.ENOENT: "Check the path, and make the folder that is to hold it.",
    errno.ENOTDIR: "A part of its path is a file; give another path.",
    errno.EISDIR: "It is a folder; give a file.",
    errno.EEXIST: "It is there already, as a file or a folder; give another path.",
    errno.ENOTEMPTY: "It holds other files; give another path.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.ELOOP: "Its links lead in a circle; mend them.",
    errno.EMFILE: "Raise the number of files that may be open (ulimit -n).",
    errno.ENFILE: "Close other programs: the system has no open file left.",
    errno.ENOMEM: "Close other programs, or take a machine with more memory.",
    errno.EIO: "The disk or the network drive fails; copy what can be saved, and use another.",
    errno.ESTALE: "The network drive is gone; mount it again.",
    errno.ETXTBSY: "Another program uses it; end that.",
    errno.EBUSY: "Another program uses it; end that.",
    errno.EXDEV: "Give places on one file system.",
}
# How libraries in other languages quote such an error in one of their own.
_NUMBER = re.compile(r"(?:os error |errno[ =]+|Os \{ code: )(\d+)", re.IGNORECASE)
_PATH = re.compile(r"(/\S+); ")  # TensorFlow puts it before the system's words
_WORDS = {os.strerror(code): code for code in ADVICE}


def sentence(error: BaseException) -> str | None:
    """What people are told of an error; None of one that is a fault of the program."""
    if isinstance(error, DfdetectError):
        return str(error)
    if isinstance(error, OSError) and error.errno and error.strerror:
        where = f"{os.fsdecode(name)}: " if isinstance(name := error.filename, str | bytes) else ""
        # Some count errors of their own, as SSL does; the system's are known by its words.
        of_system = error.strerror == os.strerror(error.errno)
        advice = f" {ADVICE[error.errno]}" if of_system and error.errno in ADVICE else ""
        return f"{where}{error.strerror.rstrip('.')}.{advice}"
    if isinstance(error, ValueError):
        return str(error)
    if code := _quoted(str(error)):
        path = _PATH.search(str(error))
        said = f"{path[1]}: {os.strerror(code)}" if path else str(error).strip().rstrip(".")
        return f"{said}. {ADVICE[code]}"
    return str(error) if isinstance(error, OSError) else None


def _quoted(text: str) -> int | None:
    """The number of the system's error that the text of another one quotes."""
    if found := _NUMBER.search(text):
        return int(found[1]) if int(found[1]) in ADVICE else None
    text = text.partition(" [Op:")[0].rstrip(". ")  # TensorFlow ends with the operation
    return next((code for words, code in _WORDS.items() if text.endswith(words)), None)


def explain(error: BaseException) -> str:
    """A sentence on any error; of one that may be a fault of the program its kind too."""
    if isinstance(error, DfdetectError | OSError):
        return str(sentence(error))
    return f"{type(error).__name__}: {error}".strip(": ")


@contextlib.contextmanager
def naming(path: str | os.PathLike, temporary: str = "") -> Iterator[None]:
    """Of what fails inside for a reason of the system's makes an OSError that names the path.

    Not where it names a file already, but for one with `temporary` in its name.
    """
    try:
        yield
    except (DfdetectError, ValueError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            name = error.filename
            if name is None or (temporary and temporary in str(name)):
                error.filename = os.fspath(path)
                del error.filename2  # as of a rename; None would be shown
        elif code := _quoted(str(error)):
            raise OSError(code, os.strerror(code), os.fspath(path)) from error
        raise

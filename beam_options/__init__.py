"""Named sets of Beam flags: a commented file each, used as `-- @direct` on the command line."""

from __future__ import annotations

import shlex
from importlib import resources


def names() -> list[str]:
    """The names of the flag files that ship with the package."""
    return sorted(p.name[:-4] for p in resources.files(__name__).iterdir() if p.name[-4:] == ".txt")


def expand(arguments: list[str]) -> list[str]:
    """The arguments with each `@name` replaced by the flags in that file.

    Raises ValueError for a name that has no file.
    """
    flags: list[str] = []
    for argument in arguments:
        if not argument.startswith("@"):
            flags.append(argument)
            continue
        if argument[1:] not in names():
            raise ValueError(
                f"{argument}: no such set of Beam flags. There are "
                f"{', '.join('@' + name for name in names())}."
            )
        text = (resources.files(__name__) / f"{argument[1:]}.txt").read_text()
        flags.extend(shlex.split(text, comments=True))
    return flags

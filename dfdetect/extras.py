"""Extras: the packages that a command needs beyond those of `dfdetect predict`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

NAME = "dfdetect"


def missing_packages(extras: Sequence[str]) -> list[str]:
    """The packages of these extras that are not installed, by their names on the package index.

    extras: as pyproject.toml names them. None is missing where this project itself is not
    installed, for then nothing says what an extra is.
    """
    from packaging.requirements import Requirement  # start-up: most commands need no extra

    try:
        declared = [Requirement(line) for line in metadata.requires(NAME) or ()]
    except metadata.PackageNotFoundError:
        return []
    wanted = {
        requirement.name
        for requirement in declared
        if requirement.marker and not requirement.marker.evaluate({"extra": ""})
        if any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
    }
    return sorted(name for name in wanted if not _is_installed(name))


def how_to_install(extras: Sequence[str]) -> str:
    """A command line: `pip install 'dfdetect[train]'`."""
    return f"pip install '{NAME}[{','.join(extras)}]'" if extras else f"pip install {NAME}"


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
        return True
    except metadata.PackageNotFoundError:
        return False

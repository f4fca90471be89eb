"""Numbered version folders of a model, written aside and renamed once they are finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.atomic import scratch_folder
from pipelines.model_contract import version_number


def write_version(base: Path, write: Callable[[Path], None], prefix: str = "") -> Path:
    """Makes `base`/`prefix``next number`, filled by `write`, and returns it.

    Until then it has a name that no server takes for a version; where `write` fails, nothing is
    left of it.
    """
    base.mkdir(parents=True, exist_ok=True)
    with scratch_folder(base / "version") as scratch:
        folder = scratch / "version"
        folder.mkdir()
        write(folder)
        folder.chmod(0o755)
        names = [path.name.removeprefix(prefix) for path in base.glob(f"{prefix}[0-9]*")]
        taken = [number for name in names if (number := version_number(name)) is not None]
        # Numbered last, and never over another: a rename onto a folder with files fails.
        return folder.rename(base / f"{prefix}{max(taken, default=0) + 1}")

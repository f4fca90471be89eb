"""Private folder: of this user, for this user's eyes only."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def private_folder(path: Path, flag: str) -> Path:
    """The folder, made if need be, which nobody else may enter (0700).

    flag: the command's, for another one. Raises OSError where it cannot be used, is a link, or
    belongs to somebody else.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise OSError(f"{path}: is not a folder of this user. Give another {flag}.")
    path.chmod(0o700)
    return path

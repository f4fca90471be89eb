"""Named API keys: a file of their hashes, changed by a command, followed by the running server.

Keys are 256 random bits, which nobody finds by trying: unlike for a password, one SHA-256 without
salt or stretching keeps them secret from who reads the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.atomic import replacing
from serving.web.usage import Quota

FORMAT = "dfdetect-keys/1"
PREFIX = "dfdetect_"  # by which a key that was published by mistake is found
BYTES = 32
# Of a name; the first character tells it from the addresses of clients without a key.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger("dfdetect.web")


@dataclasses.dataclass(frozen=True)
class ApiKey:
    """sha256: of the key itself, hexadecimal. made: date and time, ISO 8601."""

    name: str
    sha256: str
    made: str
    quota: Quota = Quota()


def check_name(name: str) -> str:
    """The name. Raises ValueError for one that no key may have."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a key's name; give up to 64 letters, digits, '.', '_' and '-', "
            "of which the first is a letter."
        )
    return name


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file, in the order in which they were made.

    Raises OSError where it cannot be read, ValueError where it is no file of keys, or one that
    others may write: they would make keys for themselves.
    """
    with open(path, encoding="utf-8") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError(
                f"{path}: others may write it (mode {mode:04o}). Make it yours: chmod 600."
            )
        try:
            return _parsed(json.load(file))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path}: is no file of keys ({error}). Make one with `dfdetect web keys add`."
            ) from error


def _parsed(document: Any) -> list[ApiKey]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    if not isinstance(document.get("keys"), list):
        raise ValueError("it has no list of keys")
    keys = [_key_of(dict(entry)) for entry in document["keys"]]
    for what in ("name", "sha256"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise ValueError(f"two keys have the same {what}")
    return keys


def _key_of(entry: dict[str, Any]) -> ApiKey:
    name, digest, made = (str(entry.pop(field, "")) for field in ("name", "sha256", "made"))
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"sha256 of {name} is none")
    for field, most in entry.items():
        if most is not None and (type(most) is not int or most < 1):
            raise ValueError(f"{field} of {name} is {most!r}")
    return ApiKey(check_name(name), digest, made, Quota(**entry))


def add_key(path: Path, name: str, quota: Quota) -> str:
    """A new key, which is nowhere but in the answer; the file, made if need be, has its hash.

    Raises OSError, and ValueError as `check_name` and `read_keys`, or where the name is taken.
    """
    key = PREFIX + secrets.token_urlsafe(BYTES)
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = ApiKey(check_name(name), _digest(key.encode()), made, quota)
    with _changing(path) as path:
        keys = read_keys(path) if path.exists() else []
        if any(one.name == name for one in keys):
            raise ValueError(f"{path}: has a key {name!r}. Revoke it first, or give another name.")
        _write(path, [*keys, entry])
    return key


def revoke_key(path: Path, name: str) -> None:
    """The key of this name is none any more. Raises OSError, ValueError where there is none."""
    with _changing(path) as path:
        keys = read_keys(path)
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            known = ", ".join(key.name for key in keys) or "none at all"
            raise ValueError(f"{path}: has no key {name!r}; it has {known}.")
        _write(path, left)


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[Path]:
    """Where the file is; nobody else changes it meanwhile."""
    path = path.resolve()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(folder)


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    """Replaces the file whole. It keeps its owner and rights, by which the server reads it."""
    earlier = path.stat() if path.exists() else None
    entries = []
    for key in keys:
        fields = dataclasses.asdict(key)
        quota = fields.pop("quota")
        entries.append({**fields, **quota})
    with replacing(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if earlier:
                os.fchmod(descriptor, stat.S_IMODE(earlier.st_mode))
                os.fchown(descriptor, earlier.st_uid, earlier.st_gid)
            file.write(json.dumps({"format": FORMAT, "keys": entries}, indent=2) + "\n")
            file.flush()
            os.fsync(descriptor)


class Keyring:
    """The keys of a file as it is now: each look-up sees what was changed before it.

    A file that cannot be used later on opens no door; the log says why. Raises OSError and
    ValueError as `read_keys` where it cannot be used from the start.
    """

    def __init__(self, path: Path):
        self._path = path
        self._seen = self._version()
        self._keys = self._read()

    def find(self, given: bytes) -> ApiKey | None:
        """The entry of the key that was given.

        The time of the look-up depends on the hash of what was given, which says nothing of keys.
        """
        self._follow()
        return self._keys.get(_digest(given))

    def _read(self) -> dict[str, ApiKey]:
        return {key.sha256: key for key in read_keys(self._path)}

    def _version(self) -> tuple[int, ...] | None:
        """Differs once the file was changed; None where it is not there."""
        try:
            info = os.stat(self._path)
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size

    def _follow(self) -> None:
        version = self._version()
        if version == self._seen:
            return
        self._seen, self._keys = version, {}
        try:
            self._keys = self._read()
        except ValueError as error:
            log.error("no key is taken any more: %s", error)
        except OSError as error:
            self._seen = None  # it may be readable the next time
            log.error("no key is taken for now: %s: %s", self._path, error.strerror)


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()

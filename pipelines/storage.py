"""Storage on any of Beam's file systems: atomic writes, listings, and local copies to read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.errors import StorageError, explain, naming

# Scheme -> what to install for it, and the module that is there then.
PACKAGES = {
    "gs": ("dfdetect[gcp]", "google.cloud.storage"),
    "s3": ("apache-beam[aws]", "boto3"),
    "azfs": ("apache-beam[azure]", "azure.storage.blob"),
    "hdfs": ("apache-beam[hadoop]", "hdfs"),
}
if FileSystems._pipeline_options is None:  # those of S3 and Azure refuse to work without any
    FileSystems.set_options(PipelineOptions([]))


def is_remote(path: str) -> bool:
    return "://" in path


@contextlib.contextmanager
def _reaching(path: str) -> Iterator[None]:
    """Says of whatever is raised inside, if `path` is remote, what is wrong with reaching that: the
    file systems raise everything from AssertionError to NameError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        cause = error
        while isinstance(cause, BeamIOError) and cause.exception_details:
            cause = next(iter(cause.exception_details.values()))
        if is_remote(path):
            raise StorageError(f"{path}: {_why_unreachable(path, cause)}") from error
        if cause is error:
            raise
        raise cause from error


def _why_unreachable(path: str, error: Exception) -> str:
    scheme, _, rest = path.partition("://")
    if scheme == "file":
        return f"give the path itself, /{rest.strip('/')}."
    if scheme in PACKAGES:
        package, module = PACKAGES[scheme]
        try:
            importlib.import_module(module)
        except ImportError:
            return f"{scheme}:// needs a package: pip install '{package}'."
    elif str(error).startswith("Unable to get filesystem"):
        known = ", ".join(f"{scheme}://" for scheme in PACKAGES)
        return f"{scheme}:// is not read; {known} are. Copy it to a folder of this machine first."
    return (
        f"cannot be reached ({explain(error).rstrip('.')}). Check the address, the network and who "
        "may use it."
    )


def join(path: str, *names: str) -> str:
    with _reaching(path):
        return FileSystems.join(path, *names)


def exists(path: str) -> bool:
    with _reaching(path):
        return FileSystems.exists(path)


def open_file(path: str) -> BinaryIO:
    """The file's bytes as they are: Beam would unpack what is named .gz on the way."""
    with _reaching(path):
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def write_atomically(path: str, chunks: Iterable[bytes]) -> dict[str, Any]:
    """Writes to a temporary name and renames at the end.

    Returns {"bytes", "sha256"} of what was written. Nothing is left behind on an error.
    """
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    digest, size = hashlib.sha256(), 0
    try:
        with _create(path, temporary) as write:
            for chunk in chunks:
                write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except BaseException:
        with contextlib.suppress(Exception):  # what was raised counts
            remove(temporary)
        raise
    return {"bytes": size, "sha256": digest.hexdigest()}


@contextlib.contextmanager
def _create(path: str, temporary: str) -> Iterator[Callable[[bytes], None]]:
    """What writes to a temporary file, which is renamed to `path` at the end."""
    with naming(path, temporary), _reaching(path):
        handle = FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED)

    def write(chunk: bytes) -> None:
        with naming(path, temporary), _reaching(path):
            handle.write(chunk)

    try:
        yield write
    except BaseException:
        with contextlib.suppress(Exception):  # it would write what is left: what was raised counts
            handle.close()
        raise
    with naming(path, temporary), _reaching(path):
        handle.close()
        FileSystems.rename([temporary], [path])


def write_json(path: str, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(path, [text.encode()])


def read_json(path: str) -> Any:
    with open_file(path) as handle:
        return json.loads(handle.read())


def write_lines(path: str, values: Iterable[Any]) -> None:
    """Writes a JSON value to a line."""
    write_atomically(path, (json.dumps(v, sort_keys=True).encode() + b"\n" for v in values))


def read_lines(path: str) -> Iterator[Any]:
    """The JSON values of a file that has one to a line, one at a time."""
    with open_file(path) as handle:
        while line := handle.readline():
            yield json.loads(line)


def matching(pattern: str) -> list[FileMetadata]:
    """The files that match: * stands for anything but a slash, ** for anything."""
    with _reaching(pattern):
        return FileSystems.match([pattern])[0].metadata_list


def listing(folder: str, pattern: str = "**") -> list[FileMetadata]:
    """The files in a folder whose path below it matches, as in `matching`.

    The local folder's own name may hold what would be a pattern, as in "clips [1080p]".
    """
    if is_remote(folder):
        return matching(join(folder, pattern))
    fits = re.compile(FileSystem.translate_pattern(pattern))
    files = []
    for path, folders, file_names in os.walk(folder):
        if "**" not in pattern:
            folders.clear()
        paths = (os.path.join(path, name) for name in file_names)
        files += [describe(p) for p in paths if fits.match(os.path.relpath(p, folder))]
    return files


def size(path: str) -> int | None:
    """In bytes; None where there is no such file."""
    if is_remote(path):
        return next((file.size_in_bytes for file in matching(path)), None)
    return os.path.getsize(path) if os.path.isfile(path) else None


def describe(path: str) -> FileMetadata:
    """Size and time of change of a local file; of a link to nothing, the link's own."""
    try:
        status = os.stat(path)
    except OSError:  # who opens it is told so; one such name must not stop a job
        status = os.lstat(path)
    return FileMetadata(path, status.st_size, status.st_mtime)


def names(folder: str, pattern: str) -> set[str]:
    """The names, without folders, of the files in a folder that match."""
    return {FileSystems.split(metadata.path)[1] for metadata in listing(folder, pattern)}


def delete(folder: str, *patterns: str) -> None:
    """Deletes what matches in a folder; nothing matching is no error."""
    remove(*(file.path for pattern in patterns for file in listing(folder, pattern)))


def remove(*paths: str) -> None:
    """Deletes files; one that is not there is no error."""
    for path in paths:
        if not is_remote(path):  # Beam would take the path for a pattern
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
    remote = [path for path in paths if is_remote(path) and exists(path)]
    if remote:
        with _reaching(remote[0]):
            FileSystems.delete(remote)


def make_folder(path: str) -> None:
    """Makes a local folder; remote ones come with their files."""
    if not is_remote(path):
        os.makedirs(path, exist_ok=True)


def fetch(uri: str, path: str) -> None:
    """Copies a file to a local path, whose folders are made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open_file(uri) as source, open(path, "wb") as out:
        shutil.copyfileobj(source, out)


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[str]:
    """A local path to read `uri` from; a copy, removed afterwards, where it is remote."""
    if not is_remote(uri):
        yield uri
        return
    handle, path = tempfile.mkstemp(suffix=os.path.splitext(uri)[1])
    os.close(handle)
    try:
        fetch(uri, path)
        yield path
    finally:
        os.unlink(path)


@contextlib.contextmanager
def local_folder(uri: str) -> Iterator[str]:
    """A local folder with the files of `uri`; a copy, removed afterwards, where it is remote."""
    if not is_remote(uri):
        yield uri
        return
    root = uri.rstrip("/") + "/"
    with tempfile.TemporaryDirectory() as temporary:
        # A model goes by the names of its folder and of the one above.
        folder = os.path.join(temporary, *root.split("/")[-3:-1])
        for metadata in listing(root):
            fetch(metadata.path, os.path.join(folder, metadata.path[len(root) :]))
        yield folder

"""Tensors of a file by PyTorch's `torch.save`, read without PyTorch and without running a pickle.

The pickle's operations are walked through as data: of the few that a dictionary of tensors is made
of the values are kept, and any other ends the reading. Nothing is imported or called, so a hostile
file can at worst be refused. The formats are those of torch/serialization.py (PyTorch 1.0 to 2.9):
a ZIP archive with `data.pkl` and a file for each storage, or, before 1.6, five pickles followed by
the storages.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
TENSOR, PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
DICT = "collections OrderedDict"
_NAMES = {TENSOR, PARAMETER, DICT, *(f"torch {name}" for name in STORAGES)}


class _Refused(Exception):
    """The file is not a dictionary of tensors, or damaged. Its text: what was found."""


@dataclasses.dataclass(frozen=True)
class _Name:
    """An importable name that is only compared."""

    text: str


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    length: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name; of a dictionary that holds one as "state_dict" or
    "model", that one's.

    Raises FileNotFoundError, or ValueError for a file that holds anything but tensors, or that is
    damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    try:
        if zipfile.is_zipfile(path):
            found, storages = _read_zip(path)
        else:
            found, storages = _read_legacy(io.BytesIO(path.read_bytes()))
        return {name: _array(tensor, storages) for name, tensor in _state_dict(found).items()}
    except (_Refused, OSError, zipfile.BadZipFile, RuntimeError) as error:
        raise ValueError(
            f"{path}: not a PyTorch file of tensors alone, or a damaged one: {error}. Save "
            "`model.state_dict()` and nothing else, or convert it to .safetensors."
        ) from error


def _read_zip(path: Path) -> tuple[Any, dict[str, bytes]]:
    """What the archive describes, and the bytes of its storages."""
    with zipfile.ZipFile(path) as archive:
        # PyTorch does not compress, so what is read is never more than the file's size.
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise _Refused("its parts are compressed")
        names = set(archive.namelist())
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refused(f"it holds {len(pickles)} data.pkl; expected one")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise _Refused("its numbers are big-endian")
        found, storages = _walk(io.BytesIO(archive.read(pickles[0])))
        contents = {}
        for key in storages:
            if f"{root}data/{key}" not in names:
                raise _Refused(f"it lacks the storage {key!r}")
            contents[key] = archive.read(f"{root}data/{key}")
        return found, contents


def _read_legacy(file: io.BytesIO) -> tuple[Any, dict[str, bytes]]:
    """As `_read_zip`, of what PyTorch wrote before 1.6."""
    head = [_walk(file)[0] for _ in range(3)]
    if head[:2] != [LEGACY_MAGIC, LEGACY_PROTOCOL] or not isinstance(head[2], dict):
        raise _Refused("it does not begin as one")
    if head[2].get("little_endian") is not True:
        raise _Refused("its numbers are big-endian")
    found, storages = _walk(file)
    keys, _ = _walk(file)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise _Refused("its storages are not those that its tensors name")
    contents = {}
    for key in keys:
        length = int.from_bytes(file.read(8), "little")
        if length != storages[key].length:
            raise _Refused(f"storage {key!r} has another length than its tensors say")
        contents[key] = file.read(length * storages[key].dtype.itemsize)
    return found, contents


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_LIST": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_VALUES = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}


def _walk(file: io.BytesIO) -> tuple[Any, dict[str, _Storage]]:
    """What the pickle at hand describes, and the storages that its tensors are of, by key."""
    pickle = _Pickle()
    try:
        for operation, argument, _ in pickletools.genops(file):
            if operation.name == "STOP":
                return pickle.stack[-1], pickle.storages
            pickle.step(operation.name, argument)
    except (LookupError, TypeError, AttributeError, ValueError, AssertionError) as error:
        raise _Refused(f"its pickle is damaged ({type(error).__name__})") from error
    raise _Refused("its pickle has no end")


class _Pickle:
    """The operations of a pickle (Python's pickletools) on plain values."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.storages: dict[str, _Storage] = {}
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Raises _Refused for an operation or a name that a dictionary of tensors does not need."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise _Refused(f"it holds {argument.replace(' ', '.')!r}, which is no tensor")
            stack.append(_Name(argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._dict()[key] = value
        elif name == "SETITEMS":
            pairs = self._since_mark()
            self._dict().update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            values = [stack.pop()] if name == "APPEND" else self._since_mark()
            stack[-1].extend(values)
        elif name == "BINPERSID":
            stack.append(self._storage(*stack.pop()[:5]))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_reduced(function, arguments))
        elif name == "BUILD":  # versions of modules, which PyTorch hangs on the dictionary
            stack.pop()
        elif name != "PROTO":
            raise _Refused(f"it holds the operation {name}, which no tensor needs")

    def _since_mark(self) -> list[Any]:
        place = max(i for i, value in enumerate(self.stack) if value is _MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _dict(self) -> dict:
        if not isinstance(self.stack[-1], dict):
            raise _Refused("it sets items of what is no dictionary")
        return self.stack[-1]

    def _storage(self, kind: str, name: _Name, key: str, device: str, length: int) -> _Storage:
        dtype = STORAGES[name.text.removeprefix("torch ")]
        storage = _Storage(str(key), dtype, int(length))
        if kind != "storage" or self.storages.setdefault(storage.key, storage) != storage:
            raise _Refused(f"storage {key!r} is described in two ways")
        return storage


def _reduced(function: _Name, arguments: tuple) -> Any:
    if function.text == DICT and not arguments:
        return {}
    if function.text == PARAMETER:
        return arguments[0]
    if function.text != TENSOR:
        raise _Refused(
            f"it calls {function.text.replace(' ', '.')!r} in a way that no tensor needs"
        )
    storage, offset, shape, strides = arguments[:4]
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise _Refused("it holds a tensor without a storage")
    if not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
        raise _Refused("it holds a tensor whose shape is none")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _state_dict(found: Any) -> dict[str, _Tensor]:
    """Raises _Refused where there is anything but tensors."""
    for name in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not found:
        raise _Refused("it holds no dictionary")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise _Refused(f"its {name!r} is no tensor")
    return found


def _array(tensor: _Tensor, storages: Mapping[str, bytes]) -> np.ndarray:
    """A copy, in its shape. Raises _Refused where it lies beyond its storage."""
    dtype = tensor.storage.dtype
    content = storages[tensor.storage.key]
    count = math.prod(tensor.shape)
    length = len(content) // dtype.itemsize
    if len(content) != tensor.storage.length * dtype.itemsize or count > length:
        raise _Refused(f"storage {tensor.storage.key!r} is cut off")
    steps = [(side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True)]
    if count and tensor.offset + sum(steps) >= length:
        raise _Refused(f"a tensor lies beyond its storage {tensor.storage.key!r}")
    if not count:
        return np.zeros(tensor.shape, dtype)
    numbers = np.frombuffer(content, dtype)[tensor.offset :]
    strides = [step * dtype.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides).copy()

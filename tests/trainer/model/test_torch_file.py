"""PyTorch's files read without PyTorch, and hostile ones refused without running anything."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.model.torch_file import LEGACY_MAGIC, LEGACY_PROTOCOL, STORAGES, read_torch

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
STATE = {"a.weight": MATRIX, "b": np.array([1, 2], np.int64), "scalar": np.float32(3).reshape(())}


class Tensor:
    """What the pickler below writes as PyTorch writes a tensor."""

    def __init__(self, array, offset=0, shape=None, strides=None, length=None):
        self.array = np.asarray(array)
        self.offset, self.shape = offset, self.array.shape if shape is None else shape
        steps = np.array(self.array.strides) // self.array.itemsize
        self.strides = tuple(steps.tolist()) if strides is None else strides
        self.length = self.array.size if length is None else length


def pretend_torch(patch: pytest.MonkeyPatch) -> types.ModuleType:
    """Names that a pickle can refer to; the reader never sees them."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES:
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*arguments):
        raise AssertionError("the reader called it")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    patch.setitem(sys.modules, "torch", module)
    patch.setitem(sys.modules, "torch._utils", utils)
    return module


@pytest.fixture
def torch(monkeypatch) -> types.ModuleType:
    return pretend_torch(monkeypatch)


def pickled(value, torch) -> tuple[bytes, dict[str, np.ndarray]]:
    """The pickle of a dictionary with `Tensor`s, and its storages."""
    storages: dict[str, np.ndarray] = {}
    of_dtype = {dtype: name for name, dtype in STORAGES.items()}

    class Storage:
        def __init__(self, tensor: Tensor):
            self.key, self.length = str(len(storages)), tensor.length
            self.kind = getattr(torch, of_dtype[tensor.array.dtype])
            storages[self.key] = tensor.array

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return ("storage", value.kind, value.key, "cpu", value.length)
            return None

        def reducer_override(self, value):
            if isinstance(value, Tensor):
                places = value.offset, value.shape, value.strides, False, collections.OrderedDict()
                return sys.modules["torch._utils"]._rebuild_tensor_v2, (Storage(value), *places)
            return NotImplemented

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue(), storages


def state_dict(arrays) -> collections.OrderedDict:
    state = collections.OrderedDict((name, Tensor(array)) for name, array in arrays.items())
    state._metadata = {"": {"version": 1}}  # as PyTorch's has
    return state


def write_zip(path: Path, value, torch, compression=zipfile.ZIP_STORED) -> Path:
    data, storages = pickled(value, torch)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def write_legacy(path: Path, value, torch) -> Path:
    data, storages = pickled(value, torch)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = [pickle.dumps(v, protocol=2) for v in (LEGACY_MAGIC, LEGACY_PROTOCOL, system)]
    parts = [*head, data, pickle.dumps(list(storages), protocol=2)]
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


WRITERS: list[Callable] = [write_zip, write_legacy]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("wrapped", ["", "state_dict", "model"])
def test_tensors_come_back_with_their_names_shapes_and_types(write, wrapped, torch, tmp_path):
    state = state_dict(STATE)
    tensors = read_torch(write(tmp_path / "w.pth", {wrapped: state} if wrapped else state, torch))
    assert list(tensors) == list(STATE)
    for name, expected in STATE.items():
        assert tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[name], expected)


def test_a_view_of_a_storage_is_followed(torch, tmp_path):
    view = Tensor(MATRIX, offset=1, shape=(2, 3), strides=(1, 4))
    tensors = read_torch(write_zip(tmp_path / "w.pth", {"t": view}, torch))
    np.testing.assert_array_equal(tensors["t"], MATRIX.T[1:3])


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "value",
    [
        Hostile(os.system, "touch {marker}"),
        Hostile(exec, "open({marker!r}, 'w')"),
        Hostile(getattr, collections.OrderedDict, "mro"),
        Hostile(collections.OrderedDict, (("a", 1),)),
    ],
    ids=["system", "exec", "getattr", "call"],
)
@pytest.mark.parametrize("place", ["instead of a tensor", "beside the tensors"])
def test_code_in_a_pickle_is_never_run(write, value, place, torch, tmp_path):
    marker = tmp_path / "ran"
    call = [str(a).format(marker=str(marker)) if isinstance(a, str) else a for a in value.call]
    state = state_dict(STATE)
    state["b" if place == "instead of a tensor" else "more"] = Hostile(*call)
    with pytest.raises(ValueError, match="w.pth: not a PyTorch file of tensors alone"):
        read_torch(write(tmp_path / "w.pth", state, torch))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (Tensor(MATRIX, offset=1), "lies beyond its storage"),
        (Tensor(MATRIX, shape=(3, 5), strides=(5, 1)), "cut off"),
        (Tensor(MATRIX, shape=(10**9, 10**9), strides=(0, 0)), "cut off"),
        (Tensor(MATRIX, shape=(2, 2), strides=(-1, 1)), "whose shape is none"),
        (Tensor(MATRIX, offset=-4), "whose shape is none"),
        (Tensor(MATRIX, shape=(3,)), "without a storage"),
        (Tensor(MATRIX, length=10**12), "cut off"),
    ],
)
def test_a_tensor_that_is_not_within_its_storage_is_refused(tensor, found, torch, tmp_path):
    with pytest.raises(ValueError, match=f"w.pth: not a PyTorch file .*{found}"):
        read_torch(write_zip(tmp_path / "w.pth", {"t": tensor}, torch))


@pytest.mark.parametrize(
    ("value", "found"),
    [([], "no dictionary"), ({}, "no dictionary"), ({"epoch": 3}, "'epoch' is no tensor")],
)
@pytest.mark.parametrize("write", WRITERS)
def test_what_is_no_dictionary_of_tensors_is_named(write, value, found, torch, tmp_path):
    with pytest.raises(ValueError, match=found):
        read_torch(write(tmp_path / "w.pth", value, torch))


def test_a_compressed_archive_is_refused_as_it_may_grow_beyond_all_bounds(torch, tmp_path):
    path = write_zip(tmp_path / "w.pth", state_dict(STATE), torch, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        read_torch(path)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth: there is no such file"):
        read_torch(tmp_path / "absent.pth")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        module = pretend_torch(patch)
        return {
            write.__name__: write(folder / "w.pth", state_dict(STATE), module).read_bytes()
            for write in WRITERS
        }


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data, whole, tmp_path_factory):
    contents = bytearray(whole[data.draw(st.sampled_from(sorted(whole)))])
    places = st.integers(0, len(contents) - 1)
    for place in data.draw(st.lists(places, max_size=3)):
        contents[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.write_bytes(bytes(contents[: data.draw(st.integers(0, len(contents)))]))
    try:
        tensors = read_torch(path)
    except ValueError as error:
        assert "damaged.pth: not a PyTorch file" in str(error)
    else:
        assert all(isinstance(tensor, np.ndarray) for tensor in tensors.values())

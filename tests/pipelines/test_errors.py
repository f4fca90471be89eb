"""Errors for people: a sentence on what the system and file systems raise, none on our faults."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import storage
from pipelines.atomic import replacing
from pipelines.clip import VideoError
from pipelines.errors import ADVICE, DfdetectError, JobError, explain, naming, sentence


@given(st.sampled_from(sorted(ADVICE)), st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_sentence_on_a_system_error_says_where_what_and_what_to_do(code, name):
    said = sentence(OSError(code, os.strerror(code), name))
    assert said == f"{name}: {os.strerror(code)}. {ADVICE[code]}"


@pytest.mark.parametrize(
    "text",
    [  # of safetensors, TensorFlow, HDF5 and Beam
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "{{function_node __wrapped__SaveV2}} /out/variables/part-0; No space left on device "
        "[Op:SaveV2]",
        "Can't write data (file write failed: time = ..., errno = 28, error message = 'No space "
        "left on device', buf = 0x1)",
        "OSError: [Errno 28] No space left on device",
    ],
)
def test_an_error_that_quotes_the_systems_is_one_of_the_system(text):
    class LibraryError(Exception):
        pass

    said = sentence(LibraryError(text))
    assert said is not None and said.endswith(ADVICE[errno.ENOSPC])
    with pytest.raises(OSError) as caught, naming("/runs/a"):
        raise LibraryError(text)
    assert sentence(caught.value) == f"/runs/a: No space left on device. {ADVICE[errno.ENOSPC]}"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("pts"),
        AssertionError(),
        RuntimeError("the disk is full of stars"),
        VideoError("unreadable", "decode", "a.mp4: no such file."),
    ],
)
def test_a_fault_of_the_program_has_no_sentence_and_stays_what_it_is(error):
    assert sentence(error) is None
    with pytest.raises(type(error)) as caught, naming("/runs/a"):
        raise error
    assert caught.value is error


def test_our_own_errors_are_told_as_they_are():
    text = "out: the job stopped: No space left on device"
    for error in (JobError(text), ValueError(text), FileNotFoundError(text + ", too.")):
        assert sentence(error) == str(error)


def test_numbers_that_are_not_the_systems_get_no_advice_of_its():
    said = sentence(OSError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    assert said == "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed."


def test_any_error_is_explained_and_an_unforeseen_one_with_its_kind():
    assert explain(DfdetectError("a: b.")) == "a: b."
    assert explain(OSError(errno.EIO, "Input/output error", "a")).startswith("a: Input/output")
    try:
        [][1]
    except IndexError as error:
        assert explain(error) == "IndexError: list index out of range"
    assert explain(MemoryError()) == "MemoryError"


def test_a_file_that_cannot_be_written_is_named_and_not_the_temporary_one(tmp_path):
    target = tmp_path / "a.json"
    with pytest.raises(OSError) as caught, replacing(target) as temporary:
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
    assert caught.value.filename == str(target) and os.listdir(tmp_path) == []
    with pytest.raises(OSError) as caught, replacing(target):
        open(tmp_path / "other")
    assert caught.value.filename == str(tmp_path / "other")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_storage_names_the_file_that_it_could_not_write_and_leaves_nothing(
    tmp_path, monkeypatch, code
):
    class Full:
        def write(self, data):
            raise OSError(code, os.strerror(code))

        def close(self):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(storage.FileSystems, "create", lambda *_, **__: Full())
    with pytest.raises(OSError) as caught:
        storage.write_json(str(tmp_path / "a.json"), {})
    assert sentence(caught.value) == f"{tmp_path}/a.json: {os.strerror(code)}. {ADVICE[code]}"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("address", "way_out"),
    [
        ("https://host/set", "Copy it to a folder of this machine"),
        ("zz://host/set", "zz:// is not read"),
        ("file:///data/set", "give the path itself, /data/set."),
        ("s3://bucket/set", "pip install 'apache-beam[aws]'"),
        ("hdfs://host/set", "pip install 'apache-beam[hadoop]'"),
        ("azfs://account/container/set", "pip install 'apache-beam[azure]'"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        storage.exists,
        storage.open_file,
        storage.listing,
        storage.size,
        storage.remove,
        lambda address: storage.write_json(address, {}),
        lambda address: storage.names(address, "*"),
        lambda address: storage.local_copy(address).__enter__(),
        lambda address: storage.local_folder(address).__enter__(),
    ],
)
def test_a_store_that_cannot_be_reached_is_named_with_the_way_out(
    address, way_out, use, monkeypatch
):
    real = storage.importlib.import_module
    modules = {module for _, module in storage.PACKAGES.values()}

    def without_packages(name):
        if name in modules:
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(storage.importlib, "import_module", without_packages)
    with pytest.raises(OSError) as caught:
        use(address)
    said = sentence(caught.value)
    assert said.startswith(address) and way_out in said


def test_a_store_that_refuses_is_told_in_the_words_of_the_innermost_error(monkeypatch):
    from apache_beam.io.filesystem import BeamIOError

    def refuse(*_):
        inner = BeamIOError("List failed", {"gs://b/x/": PermissionError("403 Forbidden")})
        raise BeamIOError("Match failed", {"gs://b/x/**": inner})

    monkeypatch.setattr(storage.FileSystems, "match", refuse)
    with pytest.raises(OSError) as caught:
        storage.listing("gs://b/x")
    said = sentence(caught.value)
    assert "gs://b/x" in said and "(403 Forbidden)" in said and "BeamIOError" not in said

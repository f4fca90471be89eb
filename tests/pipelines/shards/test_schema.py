"""Records: what goes in comes out, and any TFRecord reader can read it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import Clip, Video
from pipelines.shards import schema
from pipelines.shards.write import write_records

text = st.text(max_size=12)
floats = st.floats(-1e4, 1e4, width=32)


@st.composite
def videos_and_clips(draw):
    video = Video(
        id=draw(text),
        uri="",
        label=draw(st.sampled_from([0, 1])),
        dataset=draw(text),
        method=draw(text),
        compression=draw(text),
        identities=tuple(draw(st.lists(text, max_size=3))),
        source_id=draw(text),
        split=draw(st.sampled_from(["train", "val", "test"])),
    )
    length = draw(st.integers(1, 4))

    def array(*shape):
        values = draw(st.lists(floats, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        return np.array(values, np.float32).reshape(shape)

    clip = Clip(
        index=draw(st.integers(0, 9)),
        track=draw(st.integers(0, 9)),
        fps=draw(floats),
        images=[draw(st.binary(max_size=20)) for _ in range(length)],
        times_s=array(length),
        boxes=array(length, 4),
        landmarks=array(length, 5, 2),
        confidence=array(length),
        transforms=array(length, 2, 3),
    )
    return video, clip


def example_clip(frames: int = 3) -> Clip:
    return Clip(
        index=1,
        track=0,
        fps=25.0,
        images=[b"crop", b"", b"crop"][:frames],
        times_s=np.arange(frames, dtype=np.float32),
        boxes=np.ones((frames, 4), np.float32),
        landmarks=np.ones((frames, 5, 2), np.float32),
        confidence=np.ones(frames, np.float32),
        transforms=np.ones((frames, 2, 3), np.float32),
    )


VIDEO = Video("a/1", "/x", 1, "set", "FaceSwap", "c23", ("1", "2"), "1", "test")


@given(videos_and_clips())
def test_parse_undoes_serialize(pair):
    video, clip = pair
    video_back, clip_back, fingerprint = schema.parse(schema.serialize(video, clip, "f00"))
    assert (video_back, fingerprint) == (video, "f00")
    assert vars(clip_back).keys() == vars(clip).keys()
    for name, value in vars(clip).items():
        np.testing.assert_array_equal(getattr(clip_back, name), value)


def test_the_same_clip_gives_the_same_bytes_wherever_the_video_lay():
    from dataclasses import replace

    a = schema.serialize(VIDEO, example_clip(), "f00")
    assert a == schema.serialize(replace(VIDEO, uri="/elsewhere"), example_clip(), "f00")


def test_a_record_of_another_version_is_refused(monkeypatch):
    record = schema.serialize(VIDEO, example_clip(), "f00")
    monkeypatch.setattr(schema, "VERSION", 2)
    with pytest.raises(ValueError, match="schema version 1, this package reads 2"):
        schema.parse(record)


def test_tensorflow_reads_the_file_with_our_feature_spec(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    write_records(path, [schema.serialize(VIDEO, example_clip(), "f00")] * 3)
    records = list(tf.data.TFRecordDataset([path]))
    assert len(records) == 3
    context, frames, _ = tf.io.parse_sequence_example(records, *schema.feature_spec())
    assert context["label"].numpy().tolist() == [1, 1, 1]
    assert frames["frame/landmarks"].shape == (3, 3, 5, 2)
    assert frames["frame/image"][0].numpy().tolist() == [b"crop", b"", b"crop"]


READER = """
import json, sys
from tfrecord.reader import tfrecord_loader
path, context, frames = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
((context, frames),) = tfrecord_loader(path, None, context, sequence_description=frames)
print(json.dumps({
    "id": bytes(context["video/id"]).decode(),
    "label": int(context["label"][0]),
    "context": sorted(context),
    "frames": sorted(frames),
    "images": [bytes(image).decode() for image in frames["frame/image"]],
}))
"""


def test_an_independent_reader_reads_every_feature(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    write_records(path, [schema.serialize(VIDEO, example_clip(), "f00")])
    kinds = {bytes: "byte", int: "int", float: "float"}
    context = {name: kinds[kind] for name, (kind, _) in schema.CONTEXT.items()}
    frames = {name: kinds[kind] for name, (kind, _) in schema.FRAMES.items()}
    # Its protocol buffers clash with TensorFlow's, so it gets a process of its own.
    done = subprocess.run(
        [sys.executable, "-c", READER, path, json.dumps(context), json.dumps(frames)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert (read["id"], read["label"]) == ("a/1", 1)
    assert read["context"] == sorted(context) and read["frames"] == sorted(frames)
    assert read["images"] == ["crop", "", "crop"]

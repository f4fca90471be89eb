"""Inference methods, where they differ from TensorFlow Serving; the rest is test_conformance.py."""

from tensorflow_serving.apis import input_pb2

from serving.model_server import methods
from serving.model_server.servable import Servable
from tests.fixtures import echo_model


def test_a_label_that_is_no_utf_8_is_kept_for_rest_and_marked_in_a_message(half_plus_two):
    servable = Servable("echo", 1, half_plus_two / echo_model.NAME / "1")
    given = input_pb2.Input()
    given.example_list.examples.add()
    labels, scores = methods.classes(methods.run_alone, servable, "binary_label", given)
    assert labels.tolist() == [[b"\xff\0", b"b"]] and scores is None
    (row,) = methods.classify(methods.run_alone, servable, "binary_label", given).classifications
    assert [(c.label, c.score) for c in row.classes] == [("\ufffd\0", 0.0), ("b", 0.0)]

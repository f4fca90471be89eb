"""Outputs that are asked for alone: what only the others need is not executed."""

import numpy as np
import pytest
import tensorflow as tf

from serving.model_server.servable import Servable
from tests.fixtures import serving_models


@pytest.fixture(scope="module")
def servable(half_plus_two):
    return Servable("model", 1, half_plus_two / serving_models.NAME / "1")


def run(servable, x, *outputs):
    results = servable.run("several", {"x": np.float32(x)}, outputs)
    return {name: array.tolist() for name, array in results.items()}


def test_outputs_come_in_the_order_in_which_they_are_asked_for(servable):
    everything = run(servable, [1.0, 4.0])
    assert set(everything) == {"half", "root", "log"}
    for outputs in (("half",), ("root", "half"), ("log", "root"), ("root", "log", "half")):
        found = run(servable, [1.0, 4.0], *outputs)
        assert list(found) == list(outputs)
        assert found == {name: everything[name] for name in outputs}


@pytest.mark.parametrize("failing", [(), ("root",), ("log",), ("half", "root")])
def test_an_output_fails_where_it_is_asked_for_and_only_there(servable, failing):
    assert run(servable, [-4.0], "half") == {"half": [0.0]}
    with pytest.raises(tf.errors.InvalidArgumentError, match="No root|No logarithm"):
        run(servable, [-4.0], *failing)


@pytest.mark.parametrize("outputs", [(), ("half",), ("root", "log")])
def test_a_check_of_the_whole_is_made_whatever_is_asked_for(servable, outputs):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Out of range"):
        run(servable, [200.0], *outputs)


def test_variables_are_those_of_the_version(tmp_path):
    versions = [
        Servable("model", n, serving_models.write(tmp_path / str(n), float(n), ("several",)))
        for n in (1, 5)
    ]
    assert [run(v, [4.0], "half")["half"] for v in versions] == [[3.0], [7.0]]

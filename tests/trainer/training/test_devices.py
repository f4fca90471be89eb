"""Devices and precision; a training step as a TPU compiles it, and on two devices."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import ROOT
from trainer.config import TrainConfig
from trainer.errors import TrainError
from trainer.input.sampling import to_fit
from trainer.model.backbones import BACKBONE
from trainer.model.detector import build_model
from trainer.model.temporal import encode_and_pool
from trainer.training import devices
from trainer.training.devices import choose_precision, cpu_flags, is_tpu, make_strategy
from trainer.training.losses import compile_model
from trainer.training.optimizer import make_optimizer

T, SIDE, FEATURES = 3, 16, 6
CONFIG = TrainConfig(backbone="resnext_tiny", temporal_units=8, dropout=0.0, warmup=0.0)
no_gpu = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="is about machines without a GPU"
)


@no_gpu
@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_without_other_devices_the_cpu_is_taken(name):
    devices = make_strategy(name).extended.worker_devices
    assert [device.rpartition("device:")[2] for device in devices] == ["CPU:0"]


@no_gpu
def test_mirrored_takes_the_cpu_where_there_is_no_gpu():
    assert isinstance(make_strategy("mirrored"), tf.distribute.MirroredStrategy)


@no_gpu
def test_a_gpu_that_is_not_there_is_an_error_with_what_to_do():
    with pytest.raises(TrainError, match="sees no GPU here; use --strategy cpu"):
        make_strategy("gpu")


def test_a_tpu_that_is_not_there_is_an_error_with_what_to_do():
    with pytest.raises(TrainError, match="(?s)no TPU can be reached .*use --strategy auto"):
        make_strategy("tpu")


def test_a_cpu_is_no_tpu():
    assert not is_tpu(make_strategy("cpu"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2", "avx512_bf16"}, "bfloat16"),
        ({"amx_bf16"}, "bfloat16"),
        ({"avx2", "avx512f"}, "float32"),
        (set(), "float32"),
    ],
)
def test_a_cpu_computes_in_what_it_has_instructions_for(monkeypatch, flags, expected):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    assert choose_precision("auto", make_strategy("cpu")) == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
@pytest.mark.parametrize("flags", [set(), {"amx_bf16"}])
def test_a_precision_that_is_asked_for_is_taken(monkeypatch, name, flags):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    assert choose_precision(name, make_strategy("cpu")) == name


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_the_flags_of_the_cpu_are_single_words():
    assert all(flag and flag.split() == [flag] for flag in cpu_flags())


# A TPU compiles the whole training step with XLA, and so does this on the CPU.


def batch(clips: int) -> dict[str, tf.Tensor]:
    """Clips as the data set gives them: real and fake in turn, some frames lost."""
    rng = np.random.default_rng(0)
    return {
        "clips": tf.constant(rng.integers(0, 256, (clips, T, SIDE, SIDE, 3), dtype=np.uint8)),
        "mask": tf.constant(rng.random((clips, T)) < 0.8),
        "label": tf.constant(np.arange(clips) % 2),
    }


def compiled(model: keras.Model, slow: keras.Model) -> keras.Model:
    compile_model(model, make_optimizer(CONFIG, model, slow, 4), CONFIG.frame_loss_weight)
    return model


def loss_under_xla(model: keras.Model, data: tuple) -> float:
    return float(tf.function(model.train_step, jit_compile=True)(data)["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("temporal", ["lstm", "transformer"])
def test_a_training_step_of_a_detector_compiles(temporal):
    model = build_model(dataclasses.replace(CONFIG, temporal=temporal), SIDE, T)
    assert np.isfinite(loss_under_xla(compiled(model, model.get_layer(BACKBONE)), to_fit(batch(2))))


@pytest.mark.parametrize("temporal", ["lstm", "transformer"])
def test_a_training_step_of_a_temporal_model_compiles(temporal):
    x, mask = keras.Input((T, FEATURES), name="x"), keras.Input((T,), dtype="bool", name="mask")
    sequence, clip = encode_and_pool(x, mask, dataclasses.replace(CONFIG, temporal=temporal))
    outputs = {"logit": clip[:, 0], "frame_logit": sequence[..., 0]}
    model = keras.Model({"x": x, "mask": mask}, outputs)
    inputs, *targets = to_fit(batch(2))
    features = tf.random.stateless_normal((2, T, FEATURES), (0, 0))
    data = {"x": features, "mask": inputs["mask"]}, *targets
    assert np.isfinite(loss_under_xla(compiled(model, model), data))


# A CPU becomes two devices before TensorFlow starts, so that this needs a process.

MIRRORED = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tests.trainer.training.test_devices import trained
from trainer.training.devices import make_strategy

one, one_loss = trained(make_strategy("cpu"))
strategy = make_strategy("mirrored")
both, both_loss = trained(strategy)
replicas = [strategy.experimental_local_results(x.value) for x in both.trainable_variables]


def furthest(pairs):
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)


def averages(model):
    return [average.numpy() for average in model.optimizer.averages().values()]


print(json.dumps({
    "replicas": {len(values) for values in replicas} == {2} and strategy.num_replicas_in_sync,
    "losses": [one_loss, both_loss],
    "between replicas": furthest(replicas),
    "weights": furthest(
        (a.numpy(), b.numpy())
        for a, b in zip(one.trainable_variables, both.trainable_variables, strict=True)
    ),
    "averages": furthest(zip(averages(one), averages(both), strict=True)),
}))
"""


def mirrored_batch() -> tuple:
    """Both devices see the same clips, so that batch norm has on each the statistics that it has
    on one device with all; but other labels, so that neither's gradient is that of all."""
    half = batch(2)
    whole = {name: tf.concat([value, value], 0) for name, value in half.items()}
    return to_fit({**whole, "label": tf.constant([0, 1, 1, 1])}, weights=(1.5, 0.5))


def trained(strategy: tf.distribute.Strategy) -> tuple[keras.Model, float]:
    """A detector after two steps, and its last loss."""
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(CONFIG, temporal="mean", ema=0.9, clip_norm=0.1)
    with strategy.scope():
        model = build_model(config, SIDE, T)
        optimizer = make_optimizer(config, model, model.get_layer(BACKBONE), 4)
        compile_model(model, optimizer, config.frame_loss_weight)
    data = tf.data.Dataset.from_tensors(mirrored_batch()).repeat(2)
    return model, model.fit(data, verbose=0, shuffle=False).history["loss"][-1]


@pytest.fixture(scope="module")
def on_two_devices() -> dict:
    """How a training on two devices differs from the same on one."""
    process = subprocess.run(
        [sys.executable, "-c", MIRRORED],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
def test_mirrored_keeps_all_weights_on_both_devices(on_two_devices):
    assert on_two_devices["replicas"] == 2


@pytest.mark.slow
def test_training_on_two_devices_has_the_loss_of_one(on_two_devices):
    one, both = on_two_devices["losses"]
    assert both == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["weights", "averages"])
def test_training_on_two_devices_gives_the_weights_of_one(on_two_devices, what):
    assert on_two_devices[what] < 1e-5


@pytest.mark.slow
def test_both_devices_have_the_same_weights_after_training(on_two_devices):
    assert on_two_devices["between replicas"] == 0

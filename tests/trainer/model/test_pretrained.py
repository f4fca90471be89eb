"""Pretrained weights in PyTorch's naming: the same network comes out, or nothing changes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dfdetect.__main__ import main

keras = pytest.importorskip("keras")

import ml_dtypes  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from trainer.model import pretrained as weights  # noqa: E402
from trainer.model.resnext import build_resnext  # noqa: E402

CLASSES = 10
TOLERANCE = 1e-4  # measured: below 5e-6, with outputs near 1 to 5


class Plan(NamedTuple):
    """A ResNeXt in the words of torchvision's ResNet: what its tensors' shapes follow from."""

    blocks: tuple[int, ...]
    groups: int
    width: int
    expansion: int
    stem: int
    stem_kernel: int


PLANS = {
    "resnext_small": Plan((1, 1, 2), 8, 32, 2, 32, 5),
    "resnext26_32x4d": Plan((2, 2, 2, 2), 32, 128, 2, 64, 7),
}


def state_dict(preset: str, classes: int | None = CLASSES, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights and statistics, named and laid out as torchvision does."""
    plan, rng = PLANS[preset], np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        shape = (out, into, kernel, kernel)
        values = rng.normal(0, (2 / (into * kernel**2)) ** 0.5, shape)
        tensors[f"{name}.weight"] = values.astype("float32")

    def norm(name: str, channels: int) -> None:
        for part, low, high in (
            ("weight", 0.4, 0.8),
            ("bias", -0.5, 0.5),
            ("running_mean", -0.5, 0.5),
            ("running_var", 0.2, 2.0),
        ):
            tensors[f"{name}.{part}"] = rng.uniform(low, high, channels).astype("float32")
        tensors[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv1", plan.stem, 3, plan.stem_kernel)
    norm("bn1", plan.stem)
    channels = plan.stem
    for stage, blocks in enumerate(plan.blocks):
        width = plan.width * 2**stage
        out = width * plan.expansion
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            conv(f"{name}.conv1", width, channels, 1)
            conv(f"{name}.conv2", width, width // plan.groups, 3)
            conv(f"{name}.conv3", out, width, 1)
            for i, size in enumerate((width, width, out)):
                norm(f"{name}.bn{i + 1}", size)
            if not block:
                conv(f"{name}.downsample.0", out, channels, 1)
                norm(f"{name}.downsample.1", out)
            channels = out
    if classes:
        tensors["fc.weight"] = rng.normal(0, 0.1, (classes, channels)).astype("float32")
        tensors["fc.bias"] = rng.normal(0, 0.1, classes).astype("float32")
    return tensors


class Reference(NamedTuple):
    """torchvision's ResNeXt forward pass in NumPy, with what ports commonly get wrong as options.

    Reads only tensors in torchvision's naming and layout: images (B, 3, H, W) -> (B, classes).
    """

    epsilon: float = 1e-5
    strided: str = "conv2"  # the convolution of a block that has the stride
    same: bool = False  # TensorFlow's "SAME" instead of padding on both sides
    pool_pad: int = 1
    interleaved: bool = False  # group g takes channels g, g + groups, ...

    def __call__(self, tensors: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        x = np.maximum(self._norm(tensors, "bn1", self._conv(tensors, "conv1", x, 2)), 0)
        x = self._windows(x, 3, 2, self.pool_pad, -np.inf).max((4, 5))
        stage = 1
        while f"layer{stage}.0.conv1.weight" in tensors:
            block = 0
            while f"layer{stage}.{block}.conv1.weight" in tensors:
                strides = 2 if stage > 1 and block == 0 else 1
                x = self._block(tensors, f"layer{stage}.{block}", x, strides)
                block += 1
            stage += 1
        x = x.mean((2, 3))
        return x @ tensors["fc.weight"].T + tensors["fc.bias"] if "fc.weight" in tensors else x

    def _block(self, tensors, name: str, x: np.ndarray, strides: int) -> np.ndarray:
        shortcut = x
        if f"{name}.downsample.0.weight" in tensors:
            shortcut = self._conv(tensors, f"{name}.downsample.0", x, strides)
            shortcut = self._norm(tensors, f"{name}.downsample.1", shortcut)
        for i in (1, 2, 3):
            step = strides if self.strided == f"conv{i}" else 1
            x = self._norm(
                tensors, f"{name}.bn{i}", self._conv(tensors, f"{name}.conv{i}", x, step)
            )
            x = np.maximum(x + shortcut if i == 3 else x, 0)
        return x

    def _norm(self, tensors, name: str, x: np.ndarray) -> np.ndarray:
        weight, bias, mean, variance = (
            tensors[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + self.epsilon) * weight + bias

    def _conv(self, tensors, name: str, x: np.ndarray, strides: int) -> np.ndarray:
        kernel = tensors[f"{name}.weight"]  # (out, in / groups, k, k)
        groups = x.shape[1] // kernel.shape[1]
        if self.interleaved:
            x = np.concatenate([x[:, group::groups] for group in range(groups)], 1)
        windows = self._windows(x, kernel.shape[2], strides, kernel.shape[2] // 2)
        parts = [
            np.einsum("bchwij,ocij->bohw", window, weight, optimize=True)
            for window, weight in zip(
                np.split(windows, groups, 1), np.split(kernel, groups), strict=True
            )
        ]
        return np.concatenate(parts, 1)

    def _windows(self, x, kernel: int, strides: int, pad: int, fill: float = 0) -> np.ndarray:
        """x (B, C, H, W) -> (B, C, H', W', k, k)."""
        before, after = pad, pad
        if self.same:
            total = max(kernel - strides if x.shape[2] % strides == 0 else kernel - 1, 0)
            before, after = total // 2, total - total // 2
        edges = [(0, 0), (0, 0), (before, after), (before, after)]
        x = np.pad(x, edges, constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))
        return windows[:, :, ::strides, ::strides]


def images(side: int) -> np.ndarray:
    return np.random.default_rng(side).normal(size=(2, side, side, 3)).astype("float32")


def difference(network, tensors, x: np.ndarray, reference: Reference | None = None) -> float:
    """Greatest difference of our network from the reference, on images x (B, H, W, 3)."""
    exact = {name: tensor.astype("float64") for name, tensor in tensors.items()}
    expected = (reference or Reference())(exact, x.transpose(0, 3, 1, 2).astype("float64"))
    return float(np.abs(network.predict_on_batch(x) - expected).max())


def saved(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    save_file(tensors, path)
    return path


def numbers(network) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy() for variable in network.weights}


def same_numbers(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def backbone():
    """A small backbone without a classifier; what its weights are at first does not matter."""
    return build_resnext("resnext_small", (32, 32, 3))


@pytest.mark.parametrize(
    ("preset", "side", "classes"),
    [
        ("resnext_small", 64, CLASSES),
        ("resnext_small", 65, CLASSES),
        ("resnext_small", 50, CLASSES),
        ("resnext_small", 47, None),
        ("resnext26_32x4d", 64, CLASSES),
        ("resnext26_32x4d", 33, None),
    ],
)
def test_imported_weights_give_the_outputs_of_torchvisions_network(preset, side, classes, tmp_path):
    tensors = state_dict(preset, classes)
    network = build_resnext(preset, (side, side, 3), classes)
    weights.load_backbone(network, saved(tmp_path / "w.safetensors", tensors))
    assert difference(network, tensors, images(side)) < TOLERANCE


@pytest.fixture(scope="module")
def imported():
    """Side -> a small network with imported weights."""
    networks = {side: build_resnext("resnext_small", (side, side, 3), CLASSES) for side in (32, 33)}
    for network in networks.values():
        weights.load_state_dict(network, state_dict("resnext_small"), "test")
    return networks


@pytest.mark.parametrize(
    ("side", "wrong"),
    [
        (32, {"epsilon": 1e-3}),  # Keras' default
        (32, {"strided": "conv1"}),  # the first ResNet's; on conv3 it would be no difference
        (33, {"strided": "conv1"}),
        (32, {"same": True}),  # at odd sides "SAME" is no difference
        (32, {"pool_pad": 0}),
        (33, {"pool_pad": 0}),
        (32, {"interleaved": True}),
    ],
)
def test_a_forward_pass_with_one_detail_wrong_is_told_apart(imported, side, wrong):
    tensors, x = state_dict("resnext_small"), images(side)
    assert difference(imported[side], tensors, x) < TOLERANCE
    assert difference(imported[side], tensors, x, Reference(**wrong)) > 10 * TOLERANCE


@pytest.mark.parametrize(
    "wrong",
    [
        lambda name, x: x.swapaxes(2, 3) if x.ndim == 4 else x,  # height and width
        lambda name, x: x[:, ::-1] if "conv2" in name else x,  # input channels of a group
        lambda name, x: x[::-1] if "conv2" in name else x,  # output channels
        lambda name, x: x**2 if "running_var" in name else x,  # deviation for variance
    ],
    ids=["height and width", "inputs", "outputs", "variance"],
)
def test_a_tensor_laid_out_wrongly_is_told_apart(imported, wrong):
    tensors = {name: wrong(name, x) for name, x in state_dict("resnext_small").items()}
    assert difference(imported[32], tensors, images(32)) > 10 * TOLERANCE


def test_every_variable_has_the_name_and_shape_of_torchvisions_tensor():
    tensors = state_dict("resnext26_32x4d")
    slots = weights.torch_name_map(build_resnext("resnext26_32x4d", (32, 32, 3), CLASSES))
    assert {name: slot.shape for name, slot in slots.items()} == {
        name: x.shape for name, x in tensors.items() if "num_batches" not in name
    }


def test_a_network_that_is_no_resnext_is_refused():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="other")], name="mlp")
    with pytest.raises(ValueError, match="mlp: layer other has no counterpart"):
        weights.torch_name_map(network)


def test_resnext101_has_the_papers_parameters():
    network = build_resnext("resnext101_32x8d", (64, 64, 3), classes=1000)
    assert sum(int(np.prod(x.shape)) for x in network.trainable_weights) == 88_791_336


def test_a_classifier_is_left_out_where_the_network_has_none(backbone):
    left_out = weights.load_state_dict(backbone, state_dict("resnext_small"), "test")
    assert left_out == ["fc.bias", "fc.weight"]


@pytest.mark.parametrize(
    "rename",
    [
        lambda tensors: {f"module.{name}": x for name, x in tensors.items()},
        lambda tensors: {name: x for name, x in tensors.items() if "num_batches" not in name},
    ],
    ids=["DataParallel", "no counters"],
)
def test_common_variants_of_a_state_dict_load_alike(backbone, rename):
    tensors = state_dict("resnext_small")
    weights.load_state_dict(backbone, tensors, "test")
    expected = numbers(backbone)
    backbone.set_weights([np.zeros_like(x) for x in backbone.get_weights()])
    weights.load_state_dict(backbone, rename(tensors), "test")
    assert same_numbers(numbers(backbone), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64", ml_dtypes.bfloat16])
def test_other_floats_are_read_as_float32(backbone, dtype, tmp_path):
    tensors = {name: x.astype(dtype) for name, x in state_dict("resnext_small").items()}
    weights.load_backbone(backbone, saved(tmp_path / "w.safetensors", tensors))
    got = backbone.get_layer("stem").kernel.numpy()
    expected = tensors["conv1.weight"].astype("float32").transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(got, expected)


def _without(name):
    return lambda tensors: tensors.pop(name)


def _with(name, change):
    return lambda tensors: tensors.update({name: np.asarray(change(tensors))})


def _bad_number(value, dtype="float32"):
    def change(tensors):
        mean = tensors["bn1.running_mean"].astype(dtype)
        mean[3:5] = value
        return mean

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("bn1.running_var"), r"  bn1.running_var is missing; expected \(32,\)"),
        (_without("layer1.0.conv2.weight"), r"conv2.weight is missing; expected \(32, 4, 3, 3\)"),
        (_with("layer9.x", lambda t: np.ones((2, 3))), r"  layer9.x \(2, 3\) is unexpected"),
        (
            _with("layer3.0.conv1.weight", lambda t: t["layer3.0.conv1.weight"][:, :, 0, 0]),
            r"  layer3.0.conv1.weight is \(128, 128\); expected \(128, 128, 1, 1\)",
        ),
        (
            _with("conv1.weight", lambda t: t["conv1.weight"].transpose(2, 3, 1, 0)),
            r"  conv1.weight is \(5, 5, 3, 32\); expected \(32, 3, 5, 5\)",
        ),
        (
            _with("bn1.bias", lambda t: np.ones(32, "int8")),
            r"  bn1.bias is int8; expected one of bfloat16, float16, float32, float64",
        ),
        (_with("bn1.running_mean", _bad_number(np.nan)), "bn1.running_mean has 2 values that are"),
        (_with("bn1.running_mean", _bad_number(-np.inf)), "bn1.running_mean has 2 values that are"),
        (_with("bn1.running_mean", _bad_number(1e300, "float64")), "are not finite in float32"),
    ],
    ids=["missing", "missing kernel", "unexpected", "rank", "layout", "ints", "nan", "inf", "huge"],
)
def test_a_tensor_that_does_not_fit_is_named_and_nothing_is_assigned(backbone, damage, message):
    tensors = state_dict("resnext_small")
    damage(tensors)
    before = numbers(backbone)
    with pytest.raises(ValueError, match=message) as caught:
        weights.load_state_dict(backbone, tensors, "some/file")
    assert str(caught.value).startswith("some/file: these are not the weights of resnext_small;")
    assert str(caught.value).count("\n  ") == 1  # no other tensor is blamed
    assert same_numbers(numbers(backbone), before)


def test_every_tensor_that_does_not_fit_is_named(backbone):
    tensors = state_dict("resnext_small")
    del tensors["bn1.weight"], tensors["layer3.1.bn2.bias"]
    tensors |= {"extra": np.ones(1), "conv1.weight": np.ones((32, 3, 7, 7))}
    with pytest.raises(ValueError) as caught:
        weights.load_state_dict(backbone, tensors, "file")
    named = [line.split()[0] for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert sorted(named) == ["bn1.weight", "conv1.weight", "extra", "layer3.1.bn2.bias"]


def test_a_classifier_of_other_classes_is_refused():
    network = build_resnext("resnext_small", (32, 32, 3), 3)
    with pytest.raises(ValueError, match=r"fc.weight is \(10, 256\); expected \(3, 256\)"):
        weights.load_state_dict(network, state_dict("resnext_small"), "file")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.weights.h5"])
def test_a_missing_file_is_named(backbone, name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{name}: there is no such file"):
        weights.load_backbone(backbone, tmp_path / name)


@pytest.mark.parametrize("suffix", ["pth", "pt", "bin"])
def test_a_pickle_of_anything_but_tensors_is_refused(backbone, suffix, tmp_path):
    path = tmp_path / f"resnext.{suffix}"
    path.write_bytes(pickle.dumps({"model": print}, protocol=2))
    with pytest.raises(ValueError, match=rf"resnext.{suffix}: not a PyTorch file of tensors alone"):
        weights.load_backbone(backbone, path)


def test_a_file_of_another_kind_is_refused(backbone, tmp_path):
    with pytest.raises(
        ValueError, match="w.npz: expected a .safetensors, .pth or .weights.h5 file"
    ):
        weights.load_backbone(backbone, tmp_path / "w.npz")


@pytest.mark.parametrize("suffix", ["safetensors", "weights.h5"])
@pytest.mark.parametrize("kept", [0, 5, 4000], ids=["empty", "a few bytes", "cut off"])
def test_a_damaged_file_is_named_and_nothing_is_assigned(backbone, suffix, kept, tmp_path):
    path = tmp_path / f"w.{suffix}"
    if suffix == "safetensors":
        saved(path, state_dict("resnext_small"))
    else:
        weights.save_backbone(backbone, path)
    path.write_bytes(path.read_bytes()[:kept])
    before = numbers(backbone)
    with pytest.raises(ValueError, match=f"w.{suffix}: not a.* or a damaged one: .*again"):
        weights.load_backbone(backbone, path)
    assert same_numbers(numbers(backbone), before)


def test_numbers_that_numpy_lacks_are_refused(tmp_path):
    path = saved(tmp_path / "w.safetensors", {"a": np.ones(3, ml_dtypes.float8_e4m3fn)})
    with pytest.raises(ValueError, match="w.safetensors: .*NumPy lacks.* Save the weights as"):
        weights.read_tensors(path)


@pytest.mark.parametrize("frozen", [False, True])
def test_our_own_file_brings_the_same_weights_back(frozen, tmp_path):
    backbone = build_resnext("resnext_small", (32, 32, 3))
    weights.load_state_dict(backbone, state_dict("resnext_small"), "test")
    backbone.trainable = not frozen
    weights.save_backbone(backbone, tmp_path / "w.weights.h5")
    again = build_resnext("resnext_small", (48, 48, 3))
    assert weights.load_backbone(again, tmp_path / "w.weights.h5") == []
    assert same_numbers(numbers(again), numbers(backbone))


def test_our_own_file_loads_in_keras_too(backbone, tmp_path):
    weights.save_backbone(backbone, tmp_path / "w.weights.h5")
    again = build_resnext("resnext_small", (32, 32, 3))
    again.load_weights(tmp_path / "w.weights.h5")
    assert same_numbers(numbers(again), numbers(backbone))


def test_our_own_files_classifier_is_left_out_too(backbone, tmp_path):
    network = build_resnext("resnext_small", (32, 32, 3), CLASSES)
    weights.save_backbone(network, tmp_path / "w.weights.h5")
    left_out = weights.load_backbone(backbone, tmp_path / "w.weights.h5")
    assert left_out == ["classes/0", "classes/1"]
    assert same_numbers(numbers(backbone), dict(list(numbers(network).items())[:-2]))


def test_our_own_file_of_another_network_is_refused_and_nothing_is_assigned(backbone, tmp_path):
    weights.save_backbone(backbone, tmp_path / "w.weights.h5")
    tiny = build_resnext("resnext_tiny", (32, 32, 3))
    before = numbers(tiny)
    with pytest.raises(ValueError, match="w.weights.h5: these are not the weights of resnext_tiny"):
        weights.load_backbone(tiny, tmp_path / "w.weights.h5")
    assert same_numbers(numbers(tiny), before)


def test_our_own_file_of_a_longer_network_is_refused(backbone, tmp_path):
    weights.save_backbone(backbone, tmp_path / "w.weights.h5")
    end = backbone.get_layer("stage3_block2_conv1").input
    shorter = keras.Model(backbone.inputs, end, name="shorter")
    with pytest.raises(ValueError, match=r"stage3_block2_conv1/0 \(1, 1, 256, 128\) is unexpected"):
        weights.load_backbone(shorter, tmp_path / "w.weights.h5")


def test_a_write_that_fails_leaves_the_old_file(backbone, tmp_path, monkeypatch):
    out = tmp_path / "w.weights.h5"
    out.write_text("old")

    def fail(path):
        Path(path).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(backbone, "save_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        weights.save_backbone(backbone, out)
    assert list(tmp_path.iterdir()) == [out] and out.read_text() == "old"


def test_the_command_writes_a_backbone_and_says_what_it_left_out(backbone, tmp_path, capsys):
    tensors = state_dict("resnext_small")
    file = saved(tmp_path / "w.safetensors", tensors)
    out = tmp_path / "new" / "small.weights.h5"
    argv = [str(file), "--backbone", "resnext_small", "--out", str(out)]
    assert main(["import-weights", *argv]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"read {len(tensors)} tensors from {file}",
        "left out the classifier: fc.bias, fc.weight",
        f"wrote {out}",
    ]
    assert list(out.parent.iterdir()) == [out]
    weights.load_backbone(backbone, out)
    got = backbone.get_layer("stage3_block2_conv2").kernel.numpy()
    np.testing.assert_array_equal(got.transpose(3, 2, 0, 1), tensors["layer3.1.conv2.weight"])


def test_the_command_names_its_file_after_the_backbone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "w.safetensors", state_dict("resnext_small", classes=None))
    assert main(["import-weights", "w.safetensors", "--backbone", "resnext_small"]) == 0
    assert (tmp_path / "resnext_small.weights.h5").is_file()
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.safetensors", "absent.safetensors: there is no such file."),
        ("w.pth", "not a PyTorch file of tensors alone, or a damaged one"),
        ("tiny.safetensors", "these are not the weights of resnext_tiny; nothing was loaded."),
    ],
)
def test_the_command_fails_with_exit_code_1_and_writes_nothing(name, message, tmp_path, capsys):
    (tmp_path / "w.pth").write_bytes(b"PK")
    saved(tmp_path / "tiny.safetensors", state_dict("resnext_small"))
    out = tmp_path / "out.weights.h5"
    argv = [str(tmp_path / name), "--backbone", "resnext_tiny", "--out", str(out)]
    assert main(["import-weights", *argv]) == 1
    assert not out.exists()
    err = capsys.readouterr().err
    assert err.startswith("dfdetect import-weights: ") and message in err


@pytest.mark.parametrize(
    "argv", [[], ["w.safetensors", "--backbone", "vgg"], ["w.safetensors", "--out", "w.h5"]]
)
def test_wrong_usage_of_the_command_has_exit_code_2(argv):
    with pytest.raises(SystemExit) as caught:
        main(["import-weights", *argv])
    assert caught.value.code == 2


def test_the_commands_help_loads_no_tensorflow():
    code = (
        "import sys\nfrom dfdetect.__main__ import main\ntry: main(['import-weights', '--help'])\n"
    )
    code += "except SystemExit: print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


# Arguments: preset, folder with images.npz (name -> (B, H, W, 3)). Writes original.safetensors and
# outputs.npz (name -> (B, 1000)).
TORCHVISION = """
import sys
import numpy as np, safetensors.torch, torch, torchvision
preset, folder = sys.argv[1:]
torch.manual_seed(0)
network = getattr(torchvision.models, preset)(weights=None)
norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
for norm in norms:  # new ones do nothing, and would hide mistakes
    norm.momentum = 1.0
    torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
with torch.no_grad():
    network(torch.randn(8, 3, 96, 96))  # statistics that let the image through to the outputs
    for norm in norms:
        norm.running_mean += norm.running_var.sqrt() * torch.empty_like(norm.bias).uniform_(-1, 1)
        norm.running_var *= torch.empty_like(norm.bias).uniform_(0.5, 2)
network.eval()
safetensors.torch.save_file(network.state_dict(), f"{folder}/original.safetensors")
with torch.no_grad():
    outputs = {
        name: network(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
        for name, x in np.load(f"{folder}/images.npz").items()
    }
np.savez(f"{folder}/outputs.npz", **outputs)
"""


def run_torch(code: str, *argv: object) -> None:
    """In a process of its own: triton, which comes with PyTorch, aborts next to TensorFlow."""
    if find_spec("torch") is None or find_spec("torchvision") is None:
        pytest.skip("torch and torchvision are not installed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.torch
@pytest.mark.parametrize(
    ("preset", "sides"), [("resnext50_32x4d", (224, 97)), ("resnext101_32x8d", (96, 65))]
)
def test_the_network_gives_torchvisions_1000_outputs(preset, sides, tmp_path):
    np.savez(tmp_path / "images.npz", **{str(side): images(side) for side in sides})
    run_torch(TORCHVISION, preset, tmp_path)
    outputs = np.load(tmp_path / "outputs.npz")
    for side in sides:
        network = build_resnext(preset, (side, side, 3), 1000)
        weights.load_backbone(network, tmp_path / "original.safetensors")
        expected, got = outputs[str(side)], network.predict_on_batch(images(side))
        off, apart = np.abs(got - expected).max(), np.abs(expected[0] - expected[1]).max()
        print(f"{preset} at {side} px: off by {off:.1e}; two images are {apart:.2f} apart")
        assert apart > 0.1  # outputs that hardly depend on the image would agree anyway
        assert off <= 1e-3


@pytest.mark.torch
@pytest.mark.parametrize("as_zip", [True, False])
def test_what_pytorch_saves_is_read_without_it(as_zip, tmp_path):
    path = tmp_path / "w.pth"
    code = "import sys, torch; torch.save({'a': torch.arange(6.).view(2, 3).T, 'b': "
    code += "torch.nn.Parameter(torch.ones(2).bfloat16())}, sys.argv[1], "
    run_torch(code + f"_use_new_zipfile_serialization={as_zip})", path)
    tensors = weights.read_tensors(path)
    np.testing.assert_array_equal(tensors["a"], np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(tensors["b"], np.ones(2, ml_dtypes.bfloat16))

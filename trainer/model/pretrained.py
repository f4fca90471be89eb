"""Pretrained weights: networks in PyTorch's naming, and our own files, into Keras backbones.

PyTorch is not needed. The names are those of torchvision's resnet.py and timm's resnet.py, which
agree for ResNeXt, and those of efficientnet-lite-pytorch for EfficientNet-Lite.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import ml_dtypes  # noqa: F401  teaches NumPy bfloat16, which safetensors asks it for
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipelines.atomic import replacing
from trainer.model.torch_file import read_torch
from trainer.model.weight_formats import PICKLE_SUFFIXES, WEIGHTS_SUFFIX

if TYPE_CHECKING:  # not loaded: `dfdetect import-weights` reads the file before it waits for it
    import keras

FLOATS = ("bfloat16", "float16", "float32", "float64")

BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Axes of a PyTorch tensor in our order, by rank: vectors; (out, in) -> (in, out); OIHW -> HWIO,
# which also holds for grouped kernels: both sides count input channels within a group.
AXES = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
DEPTHWISE_AXES = (2, 3, 0, 1)  # (channels, 1, H, W) -> (H, W, channels, 1)

# Our layer -> PyTorch's module, of the layers that a network has once.
_MODULES = {
    "stem": "conv1",
    "stem_bn": "bn1",
    "classes": "fc",
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
    "logits": "_fc",
}
_SHORTCUT = {"shortcut": "downsample.0", "shortcut_bn": "downsample.1"}
_LITE_PARTS = {
    "expand": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project": "_project_conv",
    "project_norm": "_bn2",
}
_CLASSIFIERS = ("fc.", "_fc.")


class Slot(NamedTuple):
    """A variable of ours, and the axes of the foreign tensor in the variable's order."""

    variable: keras.Variable
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the foreign tensor."""
        return tuple(int(self.variable.shape[i]) for i in np.argsort(self.axes))


def torch_module(layer: str) -> str | None:
    """PyTorch's name of the module that is our layer: "stage1_block1_conv2" -> "layer1.0.conv2",
    "block3_expand" -> "_blocks.3._expand_conv".

    None where neither a ResNeXt nor an EfficientNet-Lite has such a layer.
    """
    if layer in _MODULES:
        return _MODULES[layer]
    if match := re.fullmatch(r"block(\d+)_(\w+)", layer):
        number, part = match.groups()
        return f"_blocks.{number}.{_LITE_PARTS[part]}" if part in _LITE_PARTS else None
    match = re.fullmatch(r"stage(\d+)_block(\d+)_(conv[123]|bn[123]|shortcut|shortcut_bn)", layer)
    if not match:
        return None
    stage, block, part = match.groups()
    return f"layer{stage}.{int(block) - 1}.{_SHORTCUT.get(part, part)}"


def torch_name_map(model: keras.Model) -> dict[str, Slot]:
    """PyTorch's tensor name -> our variable, for every variable of a model by `build_resnext` or
    `build_lite`.

    Raises ValueError for a layer with weights that neither has.
    """
    slots = {}
    for layer in model.layers:
        for variable in layer.weights:
            module = torch_module(layer.name)
            if module is None:
                raise ValueError(f"{model.name}: layer {layer.name} has no counterpart in PyTorch.")
            name = {"kernel": "weight", **BATCH_NORM}.get(variable.name, variable.name)
            axes = AXES[len(variable.shape)]
            if layer.name.endswith("_depthwise"):
                axes = DEPTHWISE_AXES
            slots[f"{module}.{name}"] = Slot(variable, axes)
    return slots


def keras_name_map(model: keras.Model) -> dict[str, Slot]:
    """The name by `read_weights_h5` -> our variable, for every variable of the model, those of the
    networks within it too."""
    slots: dict[str, Slot] = {}
    for layer in model.layers:
        if hasattr(layer, "layers"):
            slots |= keras_name_map(layer)
        else:
            slots |= {
                f"{layer.name}/{index}": Slot(variable, tuple(range(len(variable.shape))))
                for index, variable in enumerate(layer.weights)
            }
    return slots


def load_state_dict(
    model: keras.Model, tensors: Mapping[str, np.ndarray], source: str
) -> list[str]:
    """Puts PyTorch's tensors into the model, in place; returns the names left out.

    Left out is the classifier where the model has none. A "module." in front of every name
    (DataParallel) and counters of batches make no difference. Raises ValueError, naming `source`
    and each tensor that is missing, unexpected, of another shape, not of floats or not finite;
    the model is then as it was.
    """
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    tensors = {n: t for n, t in tensors.items() if not n.endswith(".num_batches_tracked")}
    return _fill(model.name, torch_name_map(model), tensors, _CLASSIFIERS, source)


def _fill(
    model: str,
    slots: dict[str, Slot],
    tensors: Mapping[str, np.ndarray],
    head: str | tuple[str, ...],
    source: str,
) -> list[str]:
    """Assigns all tensors or none; returns the head's names if there is no slot for a head.

    head: how the names of the classifier's tensors begin."""
    left_out = []
    if not any(name.startswith(head) for name in slots):
        left_out = sorted(name for name in tensors if name.startswith(head))
    wanted = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    if problems := list(_problems(slots, wanted)):
        raise ValueError(
            f"{source}: these are not the weights of {model}; nothing was loaded.\n  "
            + "\n  ".join(problems)
            + "\nGive the backbone that the file was made for, or another file."
        )
    for name, slot in slots.items():
        slot.variable.assign(_float32(wanted[name]).transpose(slot.axes))
    return left_out


def _problems(slots: dict[str, Slot], tensors: Mapping[str, np.ndarray]) -> Iterator[str]:
    for name, slot in slots.items():
        if name not in tensors:
            yield f"{name} is missing; expected {slot.shape}"
    for name, tensor in tensors.items():
        if name not in slots:
            yield f"{name} {tensor.shape} is unexpected"
        elif tensor.shape != slots[name].shape:
            yield f"{name} is {tensor.shape}; expected {slots[name].shape}"
        elif tensor.dtype.name not in FLOATS:
            yield f"{name} is {tensor.dtype.name}; expected one of {', '.join(FLOATS)}"
        elif bad := np.count_nonzero(~np.isfinite(_float32(tensor))):
            yield f"{name} has {bad} values that are not finite in float32"


def _float32(tensor: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # becomes infinite, and that is looked for
        return tensor.astype(np.float32)


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file, or of a state dict that PyTorch saved.

    Raises FileNotFoundError, or ValueError for a file of another kind and for a damaged one.
    """
    path = _existing(path)
    if path.suffix in PICKLE_SUFFIXES:
        return read_torch(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: not a safetensors file, or a damaged one: {error}. Fetch it again."
        ) from error
    except (AttributeError, TypeError) as error:  # safetensors' answer to float8 and the like
        raise ValueError(
            f"{path}: a tensor's numbers are of a kind that NumPy lacks: {error}. "
            f"Save the weights as one of {', '.join(FLOATS)}."
        ) from error


def read_weights_h5(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a file by Keras' `save_weights`, as "stem_bn/0", "stem_bn/1" and so on.

    Raises FileNotFoundError, or ValueError for a damaged file.
    """
    tensors = {}

    def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            group, _, index = name.rpartition("/")
            # Keras numbers groups by class; the layer's own name is an attribute.
            tensors[f"{item.parent.attrs.get('name', group)}/{index}"] = item[()]

    path = _existing(path)
    try:
        with h5py.File(path) as file:
            file.visititems(keep)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{path}: not an HDF5 file, or a damaged one: {error}. Make it again with "
            "`dfdetect import-weights`."
        ) from error
    return tensors


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    return path


def load_backbone(backbone: keras.Model, path: str | os.PathLike) -> list[str]:
    """Loads a .safetensors or PyTorch file in PyTorch's naming, or a .weights.h5 file of ours, in
    place.

    Returns the names of tensors left out, which are those of a classifier that the backbone does
    not have. Raises FileNotFoundError or ValueError as the readers and `load_state_dict` do.
    """
    # Not Keras' load_weights: it goes by position, so that it takes some weights of another
    # network without a word, and it has assigned a part when it fails.
    if Path(path).name.endswith(WEIGHTS_SUFFIX):
        slots = keras_name_map(backbone)
        return _fill(backbone.name, slots, read_weights_h5(path), "classes/", str(path))
    if Path(path).suffix not in (".safetensors", *PICKLE_SUFFIXES):
        raise ValueError(f"{path}: expected a .safetensors, .pth or {WEIGHTS_SUFFIX} file.")
    return load_state_dict(backbone, read_tensors(path), str(path))


def take_backbone(backbone: keras.Model, path: str | os.PathLike, layer: str) -> None:
    """Takes the weights of a trained detector's backbone, a .keras file's layer `layer`, in place.

    Raises FileNotFoundError, or ValueError where that is another network, or no detector.
    """
    import keras  # it takes seconds

    path = _existing(path)
    try:
        trained = keras.models.load_model(path, compile=False).get_layer(layer)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a detector of a training ({error}).") from error
    tensors = {name: np.asarray(slot.variable) for name, slot in keras_name_map(trained).items()}
    _fill(backbone.name, keras_name_map(backbone), tensors, (), str(path))


def save_backbone(backbone: keras.Model, path: str | os.PathLike) -> None:
    """Writes a .weights.h5 file for `load_backbone`, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        backbone.save_weights(temporary)

"""Import of pretrained weights from PyTorch's naming into a Keras weights file."""

from __future__ import annotations

import os

from trainer.model.efficientnet_lite_specs import LITE_SPECS
from trainer.model.pretrained import load_state_dict, read_tensors, save_backbone


def import_weights(
    file: str | os.PathLike, name: str, out: str | os.PathLike
) -> tuple[int, list[str]]:
    """Writes a ResNeXt's or EfficientNet-Lite's weights as a .weights.h5 file of ours.

    file: as for `read_tensors`, in PyTorch's naming. name: the backbone whose weights they are.
    Returns how many tensors were read and the names of those left out. Raises FileNotFoundError or
    ValueError as `load_backbone` does.
    """
    tensors = read_tensors(file)
    # Only now, since it takes seconds: a mistake in the file shows at once.
    from trainer.model.efficientnet_lite import build_lite
    from trainer.model.resnext import build_resnext

    build = build_lite if name in LITE_SPECS else build_resnext
    backbone = build(name, (64, 64, 3))  # any side will do: weights do not depend on it
    left_out = load_state_dict(backbone, tensors, str(file))
    save_backbone(backbone, out)
    return len(tensors), left_out

"""Import of pretrained ResNeXt weights from PyTorch's naming into a Keras weights file."""

from __future__ import annotations

import os

from trainer.model.pretrained import load_state_dict, read_safetensors, save_backbone


def import_weights(
    file: str | os.PathLike, name: str, out: str | os.PathLike
) -> tuple[int, list[str]]:
    """Writes a ResNeXt's weights in PyTorch's naming as a .weights.h5 file of ours.

    file: .safetensors. name: the backbone whose weights they are. Returns how many tensors were
    read and the names of those left out. Raises FileNotFoundError or ValueError as
    `load_backbone` does.
    """
    tensors = read_safetensors(file)
    # Only now, since it takes seconds: a mistake in the file shows at once.
    from trainer.model.resnext import build_resnext

    # Any side will do: weights do not depend on it.
    backbone = build_resnext(name, (64, 64, 3))
    left_out = load_state_dict(backbone, tensors, str(file))
    save_backbone(backbone, out)
    return len(tensors), left_out

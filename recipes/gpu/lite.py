"""EfficientNet-Lite0 and an autoencoder of faces, in PyTorch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

# Of each stage: kernel, strides of its first block, expansion, filters, blocks; Tan and Le 2019
# (arXiv:1905.11946) as tensorflow/tpu's lite variant of 2020 has them.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
WHERE_BLOCK, WHERE_FILTERS = 10, 112  # the last block with a stride of 16 in all
HEAD = ("fc.", "where.")  # what is no part of the backbone
DROP_PATH, DROPOUT = 0.1, 0.2
FACE_PX = 128  # of the autoencoder


class SameConv(nn.Conv2d):
    """Padded as TensorFlow's "same" is: what is odd goes to the right and the bottom."""

    def __init__(self, entering: int, leaving: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(entering, leaving, kernel, stride, 0, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (
            max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]
        )
        x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return super().forward(x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Mobile inverted bottleneck, named as efficientnet-lite-pytorch names its parts."""

    def __init__(self, kernel: int, stride: int, expansion: int, entering: int, leaving: int):
        super().__init__()
        inner = entering * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and entering == leaving
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(entering, inner, 1), _norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, inner)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, leaving, 1), _norm(leaving)

    def forward(self, x: torch.Tensor, drop: float) -> torch.Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        if not self.adds:
            return y
        if self.training and drop:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= drop
            y = y * kept.to(y.dtype) / (1 - drop)
        return x + y


class Lite0(nn.Module):
    """Pictures (B, 3, H, W), 0 to 1 -> logit of fake (B,), and of each part (B, H/16, W/16)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), _norm(32)
        blocks, filters = [], 32
        for kernel, stride, expansion, leaving, number in STAGES:
            for block in range(number):
                step = 1 if block else stride
                blocks.append(Block(kernel, step, expansion, filters, leaving))
                filters = leaving
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(filters, 1280, 1), _norm(1280)
        self.fc = nn.Linear(1280, 1)
        self.where = nn.Conv2d(WHERE_FILTERS, 1, 1)
        for layer in (self.fc, self.where):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, where = self.features((x * 255 - 127) / 128)
        return self.fc(F.dropout(features, DROPOUT, self.training))[:, 0], where

    def features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled pictures -> pooled features (B, 1280), logit of each part (B, H/16, W/16)."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for number, block in enumerate(self._blocks):
            x = block(x, DROP_PATH * number / len(self._blocks))
            if number == WHERE_BLOCK:
                where = self.where(x)[:, 0]
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3)), where

    def load_backbone(self, tensors: dict[str, torch.Tensor]) -> None:
        """Raises ValueError where a tensor of the backbone is not among them."""
        missing, _ = self.load_state_dict(tensors, strict=False)
        lacking = [name for name in missing if not name.startswith(HEAD)]
        if lacking:
            raise ValueError(f"weights of {lacking[0]} and {len(lacking) - 1} more are missing.")


class Autoencoder(nn.Module):
    """Faces (B, 3, FACE_PX, FACE_PX), 0 to 1. The fewer numbers its code has, the less of a face
    comes back."""

    def __init__(self, code: int, width: int = 48):
        super().__init__()
        widths = [width, width * 2, width * 4, width * 6, width * 6]
        layers: list[nn.Module] = []
        filters = 3
        for leaving in widths:
            layers += [nn.Conv2d(filters, leaving, 4, 2, 1), nn.LeakyReLU(0.1)]
            filters = leaving
        self.encode = nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters * 16, code))
        layers = [nn.Linear(code, filters * 16), nn.Unflatten(1, (filters, 4, 4))]
        for leaving in [*widths[-2::-1], width]:
            layers += [nn.Conv2d(filters, leaving * 4, 3, 1, 1), nn.PixelShuffle(2)]
            layers += [nn.LeakyReLU(0.1), nn.Conv2d(leaving, leaving, 3, 1, 1), nn.LeakyReLU(0.1)]
            filters = leaving
        self.decode = nn.Sequential(*layers, nn.Conv2d(filters, 3, 3, 1, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))

"""The detector in PyTorch that ours is measured against: ResNeXt-50 or EfficientNet-Lite0, LSTM."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes" / "gpu"))

from lite import Lite0  # noqa: E402

RESNEXT, LITE = "resnext50_32x4d", "efficientnet_lite0"
# ImageNet's, of pixel values 0 to 255.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class LiteFeatures(Lite0):
    """Scaled pictures (B, C, H, W) -> features (B, 1280)."""

    def forward(self, x):
        return self.features(x)[0]


class Detector(nn.Module):
    """Scaled frames (B, T, C, H, W) -> logit (B,), frame logits (B, T)."""

    def __init__(self, units: int, backbone: str):
        super().__init__()
        if backbone == LITE:
            self.backbone, width = LiteFeatures(), 1280
        else:
            self.backbone = torchvision.models.resnext50_32x4d(weights=None)
            width, self.backbone.fc = self.backbone.fc.in_features, nn.Identity()
        self.lstm = nn.LSTM(width, units, batch_first=True)
        self.frame, self.clip = nn.Linear(units, 1), nn.Linear(units, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        features = self.backbone(x.flatten(0, 1)).view(*x.shape[:2], -1)
        sequence, _ = self.lstm(self.dropout(features))
        return self.clip(self.dropout(sequence.mean(1)))[:, 0], self.frame(sequence)[..., 0]


def torch_detector(units: int, backbone: str = RESNEXT) -> Detector:
    """Its activations lie in memory as ours do, channels last."""
    return Detector(units, backbone).to(memory_format=torch.channels_last)


def torch_inference(units: int) -> Callable[[np.ndarray], np.ndarray]:
    """Clips uint8 (B, T, H, W, 3) -> logit (B,), in eval and inference mode, by all cores."""
    net = torch_detector(units).eval()
    mean, std = torch.tensor(MEAN), torch.tensor(STD)

    @torch.inference_mode()
    def run(clips: np.ndarray) -> np.ndarray:
        pixels = (torch.from_numpy(clips).float() - mean) / std
        return net(pixels.permute(0, 1, 4, 2, 3))[0].numpy()  # is channels_last in memory

    return run

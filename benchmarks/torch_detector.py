"""The detector in PyTorch, ResNeXt-50 and LSTM, that ours is measured against."""

from __future__ import annotations

import torch
import torchvision
from torch import nn


class Detector(nn.Module):
    """Scaled frames (B, T, C, H, W) -> logit (B,), frame logits (B, T)."""

    def __init__(self, units: int):
        super().__init__()
        self.backbone = torchvision.models.resnext50_32x4d(weights=None)
        width, self.backbone.fc = self.backbone.fc.in_features, nn.Identity()
        self.lstm = nn.LSTM(width, units, batch_first=True)
        self.frame, self.clip = nn.Linear(units, 1), nn.Linear(units, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        features = self.backbone(x.flatten(0, 1)).view(*x.shape[:2], -1)
        sequence, _ = self.lstm(self.dropout(features))
        return self.clip(self.dropout(sequence.mean(1)))[:, 0], self.frame(sequence)[..., 0]


def torch_detector(units: int) -> Detector:
    """Its activations lie in memory as ours do, channels last."""
    return Detector(units).to(memory_format=torch.channels_last)

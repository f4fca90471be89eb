"""What cameras, editors and encoders do to pictures (B, 3, H, W), 0 to 1: on the accelerator, with
a draw of its own for each picture."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-T T.81 (JPEG), table K.1.
LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87
80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98
112 100 103 99"""
# ITU-T T.871 (JFIF), 0 to 255.
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def uniform(like: Tensor, low: float, high: float) -> Tensor:
    """(B, 1, 1, 1)."""
    return torch.rand(len(like), 1, 1, 1, device=like.device) * (high - low) + low


def chance(probability: float) -> bool:
    return np.random.rand() < probability


@functools.cache
def _squared_distances(n: int, device: torch.device) -> Tensor:
    i = torch.arange(n, device=device).float()
    return (i[:, None] - i[None]) ** 2


def blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """By Gaussians of sigma (B, 1, 1, 1) px, as products of matrices: no kernel per size."""
    distances = _squared_distances(x.shape[-1], x.device)
    kernel = torch.exp(-distances / (2 * sigma.view(-1, 1, 1, 1).clamp_min(0.05) ** 2))
    kernel = kernel / kernel.sum(3, keepdim=True)
    return kernel @ x @ kernel.transpose(2, 3)


def sharpened(x: Tensor, amount: Tensor, sigma: Tensor) -> Tensor:
    return (x + amount * (x - blurred(x, sigma))).clamp(0, 1)


def smoothed(x: Tensor, radius: int, edge: float) -> Tensor:
    """Flattened but for edges: guided filter (He et al. 2010), guided by the picture itself."""

    def box(t: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(t, (radius,) * 4, mode="reflect"), 2 * radius + 1, 1)

    mean = box(x)
    variance = (box(x * x) - mean * mean).clamp_min(0)
    share = variance / (variance + edge)
    return box(share) * x + box(mean * (1 - share))


def rescaled(x: Tensor, low: float, high: float) -> Tensor:
    """Made smaller by one share of its size, and as large as it was again."""
    side = max(8, round(x.shape[-1] * math.exp(np.random.uniform(math.log(low), math.log(high)))))
    how = np.random.choice(["area", "bilinear", "bicubic", "nearest"], p=[0.35, 0.35, 0.2, 0.1])
    smooth = {"antialias": True} if how in ("bilinear", "bicubic") else {}
    small = F.interpolate(x, (side, side), mode=how, **smooth)
    up = str(np.random.choice(["bilinear", "bicubic"]))
    return F.interpolate(small, x.shape[-2:], mode=up).clamp(0, 1)


def restyled(x: Tensor) -> Tensor:
    """Other gamma, tint, brightness, contrast and saturation."""
    x = x.clamp(1e-4, 1) ** torch.exp(uniform(x, -0.25, 0.25))
    x = x * (1 + 0.03 * torch.randn(len(x), 3, 1, 1, device=x.device))
    x = x + 0.03 * torch.randn(len(x), 1, 1, 1, device=x.device)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * (1 + uniform(x, -0.15, 0.15)) + mean
    grey = x.mean(1, keepdim=True)
    return (grey + (x - grey) * (1 + uniform(x, -0.25, 0.25))).clamp(0, 1)


@functools.cache
def _cosines(n: int, device: torch.device) -> Tensor:
    """(n², n²): the discrete cosine transform of a block."""
    i = torch.arange(n, device=device).float()
    one = torch.cos((2 * i[None] + 1) * i[:, None] * math.pi / (2 * n)) * math.sqrt(2 / n)
    one[0] /= math.sqrt(2)
    return torch.kron(one, one)


def _quantised(plane: Tensor, steps: Tensor, n: int, round_up: float) -> Tensor:
    """A plane (B, 1, H, W) whose blocks of n px are coded in steps (B, 1, n²)."""
    b, _, h, w = plane.shape
    basis = _cosines(n, plane.device)
    blocks = plane.view(b, h // n, n, w // n, n).permute(0, 1, 3, 2, 4).reshape(b, -1, n * n)
    coded = blocks @ basis.T
    steps = steps.clamp_min(0.5)
    coded = torch.sign(coded) * torch.floor(coded.abs() / steps + round_up) * steps
    blocks = (coded @ basis).view(b, h // n, w // n, n, n)
    return blocks.permute(0, 1, 3, 2, 4).reshape(b, 1, h, w)


def _deblocked(plane: Tensor, n: int, limit: Tensor) -> Tensor:
    """Small steps from block to block halved, from both sides, as H.264's loop filter does."""
    for dim in (2, 3):
        step = plane - plane.roll(1, dim)
        border = torch.arange(plane.shape[dim], device=plane.device) % n == 0
        border[0] = False
        border = border.view([-1 if d == dim else 1 for d in range(4)])
        part = step * ((step.abs() < limit) & border) / 4
        plane = plane - part + part.roll(-1, dim)
    return plane


def encoded(x: Tensor, jpeg: bool) -> Tensor:
    """Coded with losses, at 4:2:0: as JPEG of quality 35 to 95; or in flat steps with a dead zone,
    deblocked, at a quantiser of 18 to 36, which is H.264 without its prediction."""
    b, _, h, w = x.shape
    top, left = np.random.randint(0, 8, 2)
    high, wide = (math.ceil((n + o) / 16) * 16 for n, o in ((h, top), (w, left)))
    x = F.pad(x * 255, (left, wide - w - left, top, high - h - top), mode="replicate")
    to_ycc = torch.tensor(YCC, device=x.device)
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, x)
    luma, chroma = ycc[:, :1] - 128, F.avg_pool2d(ycc[:, 1:], 2)
    if jpeg:
        quality = uniform(x, 35, 95).view(b, 1, 1)
        scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
        table = torch.tensor([float(step) for step in LUMA.split()], device=x.device)
        luma = _quantised(luma, scale * table, 8, 0.5)
        coded = [_quantised(chroma[:, i : i + 1], 1.3 * scale * table, 8, 0.5) for i in (0, 1)]
    else:
        step = 0.625 * 2 ** (uniform(x, 18, 36) / 6)  # H.264's step of a quantiser
        n = int(np.random.choice([4, 8]))
        flat = step.view(b, 1, 1).expand(b, 1, n * n)
        luma = _deblocked(_quantised(luma, flat, n, 0.25), n, 1.2 * step)
        flat = flat[..., :16].clamp_max(26)
        coded = [_quantised(chroma[:, i : i + 1], flat, 4, 0.25) for i in (0, 1)]
    how = str(np.random.choice(["nearest", "bilinear"]))
    chroma = F.interpolate(torch.cat(coded, 1), scale_factor=2, mode=how)
    ycc = torch.cat([luma + 128, chroma], 1)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), ycc) / 255
    return rgb[..., top : top + h, left : left + w].clamp(0, 1)


def similarity(like: Tensor, turn: float, zoom: float, shift: float) -> Tensor:
    """Of each picture one: (B, 2, 3), drawn up to these, as `warped` takes it."""
    angle, log_zoom = uniform(like, -turn, turn).flatten(), uniform(like, -zoom, zoom).flatten()
    x, y = uniform(like, -shift, shift).flatten(), uniform(like, -shift, shift).flatten()
    cos, sin = torch.cos(angle) * torch.exp(log_zoom), torch.sin(angle) * torch.exp(log_zoom)
    return torch.stack([torch.stack([cos, -sin, x], 1), torch.stack([sin, cos, y], 1)], 1)


def tremor(like: Tensor, amount: float) -> Tensor:
    """A smooth random displacement (B, 2, H, W), as `warped` takes it."""
    knots = amount * torch.randn(len(like), 2, 5, 5, device=like.device)
    return F.interpolate(knots, like.shape[-2:], mode="bicubic", align_corners=True)


def warped(
    x: Tensor, transform: Tensor, displacement: Tensor | None = None, side: int | None = None
) -> Tensor:
    """Bilinear, borders mirrored; the unit is half the picture."""
    side = side or x.shape[-1]
    grid = F.affine_grid(transform, [len(x), x.shape[1], side, side], align_corners=False)
    if displacement is not None:
        grid = grid + displacement.permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)

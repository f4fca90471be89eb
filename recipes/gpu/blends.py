"""Pairs of a real face and a fake made of it, on the accelerator: `Blender`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from lite import FACE_PX, Autoencoder
from pictures import (
    blurred,
    chance,
    encoded,
    rescaled,
    restyled,
    sharpened,
    similarity,
    smoothed,
    tremor,
    uniform,
    warped,
)
from torch import Tensor

CROP_PX, MARGIN = 320, 0.9  # of the pictures, as canvases.py has them
LOOK_PX, LOOK_MARGIN = 256, 0.5  # of what the network sees
REGION_LOW, REGION_HIGH = -0.3, 1.3  # the template's coordinates at a region's borders
FACES = 3  # so many regions, the first ones, hold the whole face
FACE_SHARE = 1.3  # of the face's square: what autoencoders see
METHODS = ("self", "swap", "generated", "resynthesis")
SIDES = (112, 128, 144, 160, 176, 192, 208, 240, 272, 320)  # of the picture as it is filmed
PARTS = 4  # of a batch: each is filmed and encoded in its own way


@dataclasses.dataclass(frozen=True)
class Settings:
    """shares: of the methods. ghost: how far what is pasted may be out of place, 0 to 1; sharp: how
    often it is sharpened, 0 to 1; whole: share of masks that hold the whole face."""

    shares: tuple[float, ...] = (0.25, 0.15, 0.35, 0.25)
    ghost: float = 0.5
    sharp: float = 0.5
    whole: float = 0.9


class Blender:
    """canvases: (N, 3, CROP_PX, CROP_PX) uint8. regions: maps of the distance to their borders.
    autoencoders: of faces, each as it is when it is asked."""

    def __init__(
        self,
        canvases: Tensor,
        regions: Tensor,
        region_weights: Tensor,
        autoencoders: list[Autoencoder],
        settings: Settings,
    ):
        self._canvases, self._weights, self._settings = canvases, region_weights, settings
        self._autoencoders = autoencoders
        low, high = (
            ((edge - 0.5) / (1 + MARGIN) + 0.5) * CROP_PX for edge in (REGION_LOW, REGION_HIGH)
        )
        scale, shift = CROP_PX / (high - low), (CROP_PX - low - high) / (high - low)
        transform = torch.tensor([[scale, 0, shift], [0, scale, shift]], device=canvases.device)
        size = [len(regions), 1, CROP_PX, CROP_PX]
        grid = F.affine_grid(transform.expand(len(regions), 2, 3), size, align_corners=False)
        self._regions = F.grid_sample(
            regions[:, None], grid, "bilinear", "border", align_corners=False
        )
        side = CROP_PX / (1 + MARGIN) * FACE_SHARE
        self._face = slice(round((CROP_PX - side) / 2), round((CROP_PX + side) / 2))

    def reals(self, n: int) -> Tensor:
        """(n, 3, CROP_PX, CROP_PX), 0 to 1, half of them mirrored."""
        device = self._canvases.device
        x = self._canvases[torch.randint(len(self._canvases), (n,), device=device)].float() / 255
        return torch.where(torch.rand(n, 1, 1, 1, device=device) < 0.5, x.flip(3), x)

    def faces(self, x: Tensor) -> Tensor:
        """(B, 3, FACE_PX, FACE_PX) of pictures of CROP_PX."""
        face = x[..., self._face, self._face]
        return F.interpolate(face, (FACE_PX, FACE_PX), mode="bilinear", antialias=True)

    def pairs(self, n: int) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
        """n reals and n fakes (n, 3, LOOK_PX, LOOK_PX), how far each pixel was replaced
        (n, 1, LOOK_PX, LOOK_PX), and the number of the method (n,)."""
        parts = [self._part(n // PARTS) for _ in range(PARTS)]
        reals, fakes, masks, methods = zip(*parts, strict=True)
        return torch.cat(reals), torch.cat(fakes), torch.cat(masks), np.concatenate(methods)

    def _part(self, n: int) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
        reals = self.reals(n)
        if chance(0.5):
            reals = encoded(reals, chance(0.5))
        if chance(0.25):
            reals = rescaled(reals, 0.4, 0.9)
        if chance(0.2):
            reals = smoothed(reals, *_strength(1, 3, 1e-4, 2e-3))
        counts = np.floor(np.array(self._settings.shares) * n + 1e-6).astype(int)
        counts[np.argmax(self._settings.shares)] += n - counts.sum()
        made = [
            self._blended(METHODS[method], target)
            for method, target in enumerate(torch.split(reals, counts.tolist()))
            if len(target)
        ]
        reals, fakes, masks = (torch.cat(each) for each in zip(*made, strict=True))
        return *self._filmed(reals, fakes, masks), np.repeat(np.arange(len(METHODS)), counts)

    def _blended(self, method: str, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mask = self._mask(target, self._settings.whole if method != "self" else 0.5)
        source = getattr(self, f"_{method}")(target)
        if method != "self":
            source = _recoloured(source, target, mask)
        elif chance(0.25):  # the paper's code restyles one of the two, and the real with the target
            target = restyled(target)
        opaque = torch.rand(len(mask), 1, 1, 1, device=mask.device) < 0.55
        mask = mask * torch.where(opaque, torch.ones_like(mask), uniform(mask, 0.4, 1))
        return target, mask * source + (1 - mask) * target, mask

    def _mask(self, like: Tensor, whole_share: float) -> Tensor:
        """A region, deformed, grown or eroded, with an edge of some width; whole faces also far
        beyond the face, as swaps have them."""
        whole = torch.rand(len(like), 1, 1, 1, device=like.device) < whole_share
        weights = self._weights.repeat(len(like), 1)
        weights[whole.flatten(), FACES:] = 0
        distance = self._regions[torch.multinomial(weights, 1)[:, 0]]
        distance = warped(distance, similarity(like, 0.05, 0.08, 0.03), tremor(like, 0.02))
        reach = distance.amax((1, 2, 3), keepdim=True)
        grown = torch.where(whole, uniform(like, -0.15, 0.2), uniform(like, -0.2, 0.1))
        ramp = ((distance / reach + grown) / uniform(like, 0.08, 0.65)).clamp(0, 1)
        return ramp * ramp * (3 - 2 * ramp)

    def _self(self, target: Tensor) -> Tensor:
        """Self-blended images (Shiohara and Yamasaki 2022)."""
        ghost = self._settings.ghost
        source = restyled(target) if chance(0.8) else target
        if chance(0.55):
            source = rescaled(source, 0.25, 0.8)
        elif chance(0.45 * self._settings.sharp):
            source = sharpened(source, uniform(source, 0.2, 1.2), uniform(source, 0.6, 2))
        moved = similarity(source, 0.03 * ghost, 0.05 * ghost, 0.02 * ghost)
        return warped(source, moved, tremor(source, 0.008 * ghost))

    def _swap(self, target: Tensor) -> Tensor:
        """The face of somebody else."""
        source = self.reals(len(target))
        if chance(0.7):
            source = rescaled(source, 0.3, 1)
        return warped(source, similarity(source, 0.04, 0.06, 0.02), tremor(source, 0.006))

    def _generated(self, target: Tensor) -> Tensor:
        """The face itself, as generators leave it: flattened, of low resolution, sharpened."""
        ghost = self._settings.ghost
        moved = similarity(target, 0.02 * ghost, 0.04 * ghost, 0.015 * ghost)
        source = warped(target, moved, tremor(target, 0.012 * ghost))
        if chance(0.7):
            source = smoothed(source, *_strength(1, 4, 2e-4, 6e-3))
        source = rescaled(source, 0.25, 0.9)
        if chance(0.5 * self._settings.sharp):
            source = sharpened(source, uniform(source, 0.2, 1.5), uniform(source, 0.6, 2))
        return source

    def _resynthesis(self, target: Tensor) -> Tensor:
        """The face out of an autoencoder, on its way to somebody else's, with some detail of its
        own, as better generators have it."""
        network = self._autoencoders[np.random.randint(len(self._autoencoders))]
        own = self.faces(target)
        code = network.encode(own)
        if chance(0.6):
            other = network.encode(self.faces(self.reals(len(target))))
            code = code + 0.6 * torch.rand(len(code), 1, device=code.device) * (other - code)
        face = network.decode(code)
        if chance(0.8):
            detail = own - blurred(own, uniform(own, 0.8, 4))
            face = face + uniform(own, 0.2, 1) * detail
        if chance(0.3):
            face = rescaled(face, 0.5, 1)
        if chance(0.5 * self._settings.sharp):
            face = sharpened(face, uniform(face, 0.2, 1.5), uniform(face, 0.6, 2))
        source, side = target.clone(), self._face.stop - self._face.start
        pasted = F.interpolate(face, (side, side), mode="bicubic").clamp(0, 1)
        source[..., self._face, self._face] = pasted
        if chance(0.5 * self._settings.ghost):
            moved = similarity(source, 0.02, 0.03, 0.01)
            source = warped(source, moved, tremor(source, 0.006))
        return source

    def _filmed(self, reals: Tensor, fakes: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both through the same camera, encoder and crop, with the same draws."""
        n = len(reals)
        if chance(0.25):  # a background out of focus
            near = (self._regions[:1] > -uniform(reals, 0.25, 0.45)).float()
            near, sigma = blurred(near, uniform(reals, 4, 4)), uniform(reals, 0.8, 3)
            reals, fakes = (near * x + (1 - near) * blurred(x, sigma) for x in (reals, fakes))
        side = int(np.random.choice(SIDES))
        both = torch.cat([reals, fakes])
        if side < CROP_PX:
            both = F.interpolate(both, (side, side), mode="bilinear", antialias=True)
        if chance(0.25):
            both = _alike(both, lambda x: blurred(x, uniform(x, 0.3, 1.2)))
        elif chance(0.2):
            both = _alike(both, lambda x: sharpened(x, uniform(x, 0.1, 0.8), uniform(x, 0.6, 1.5)))
        if chance(0.5):
            deviation = torch.exp(uniform(reals, -6, -3.2)).repeat(2, 1, 1, 1)
            noise = torch.randn(2 * n, 1 if chance(0.5) else 3, side, side, device=both.device)
            both = (both + deviation * noise).clamp(0, 1)
        if chance(0.7):
            both = _alike(both, restyled)
        for _ in range(np.random.choice(3, p=[0.1, 0.55, 0.35])):
            both = _alike(both, functools.partial(encoded, jpeg=chance(0.35)))
        look = similarity(reals, 0.05, 0.1, 0.04)
        look[:, :, :2] *= (1 + LOOK_MARGIN) / (1 + MARGIN)
        both = warped(both, look.repeat(2, 1, 1), side=LOOK_PX)
        return both[:n], both[n:], warped(masks, look, side=LOOK_PX)


def _strength(least: int, most: int, low: float, high: float) -> tuple[int, float]:
    """Radius and edge for `smoothed`."""
    edge = np.exp(np.random.uniform(np.log(low), np.log(high)))
    return int(np.random.randint(least, most + 1)), float(edge)


def _recoloured(source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """With the target's mean and spread of colour in the mask, mostly (Reinhard et al. 2001)."""
    weight = mask / mask.sum((2, 3), keepdim=True).clamp_min(1)

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x * weight).sum((2, 3), keepdim=True)
        return mean, (((x - mean) ** 2 * weight).sum((2, 3), keepdim=True) + 1e-4).sqrt()

    (mean, spread), (target_mean, target_spread) = moments(source), moments(target)
    moved = (source - mean) * (target_spread / spread).clamp(0.7, 1.3) + target_mean
    done = uniform(source, 0.6, 1) * (uniform(source, 0, 1) < 0.9)
    return (source + done * (moved - source)).clamp(0, 1)


def _alike(both: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` of each half, with the same draws."""
    cuda = both.device.type == "cuda"
    get, put = (
        (torch.cuda.get_rng_state, torch.cuda.set_rng_state)
        if cuda
        else (torch.get_rng_state, torch.set_rng_state)
    )
    drawn, numpy_drawn = get(), np.random.get_state()
    first, second = both.chunk(2)
    first = change(first)
    put(drawn)
    np.random.set_state(numpy_drawn)
    return torch.cat([first, change(second)])

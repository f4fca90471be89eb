"""EfficientNet-Lite0 on blends that are made while it trains, on one accelerator, in PyTorch.

python recipes/gpu/train.py FILE.npz OUT [--seconds 440] [--shares 0.25 0.15 0.35 0.25]

FILE: of canvases.py. OUT: backbone.safetensors, the average of the weights, for
`dfdetect import-weights`, and log.jsonl: AUC on people of `val`, by method. Processes of their own
make the pairs, and train the autoencoders whose faces they paste. --shares: of the methods self,
swap, generated and resynthesis; one with 0 is left out of training, and measured all the same.
"""

from __future__ import annotations

import argparse
import collections
import json
import queue as queues
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from blends import LOOK_PX, METHODS, Blender, Settings
from lite import HEAD, Autoencoder, Lite0
from pictures import similarity, tremor, warped
from safetensors.torch import save_file
from torch import Tensor

CODES = (96, 384)  # numbers in the autoencoders' codes
VAL_BATCHES = 8
SMOOTHING = 0.02  # of labels
WARM_SHARE, LOGS = 0.04, 6

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=440)
    parser.add_argument("--batch", type=int, default=160, help="pairs of a step")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--makers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    defaults = Settings()
    parser.add_argument("--shares", type=float, nargs=len(METHODS), default=defaults.shares)
    for name in ("ghost", "sharp", "whole"):
        parser.add_argument(f"--{name}", type=float, default=getattr(defaults, name))
    return parser.parse_args()


def settings(args: argparse.Namespace, shares: Any) -> Settings:
    return Settings(tuple(np.array(shares) / sum(shares)), args.ghost, args.sharp, args.whole)


def canvases(arrays: Any, val: bool) -> Tensor:
    """(N, 3, H, W) uint8; in training those of videos twice, since stills are far more."""
    offsets, chosen = arrays["offsets"], arrays["is_val"] == val
    numbers = list(np.flatnonzero(chosen))
    if not val:
        numbers += list(np.flatnonzero(chosen & arrays["is_video"]))
    data = arrays["pictures"]
    pictures = [
        cv2.imdecode(data[offsets[i] : offsets[i + 1]], cv2.IMREAD_COLOR_RGB) for i in numbers
    ]
    if not pictures:
        raise SystemExit(f"no face is there {'to measure on' if val else 'to train on'}.")
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().to(device)


def half() -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class Maker:
    """Makes pairs in a process of its own, and hands them on as they lie on the accelerator."""

    def __init__(self, args: argparse.Namespace, number: int):
        torch.set_num_threads(1)
        torch.manual_seed(args.seed * 100 + number)
        np.random.seed(args.seed * 100 + number)
        arrays = np.load(args.file)
        self._autoencoders = [Autoencoder(code).to(device) for code in CODES]
        weights = [w for network in self._autoencoders for w in network.parameters()]
        self._optimizer = torch.optim.Adam(weights, 4e-4)
        regions = [torch.from_numpy(arrays[n]).to(device) for n in ("regions", "region_weights")]
        for name, val in (("train", False), ("val", True)):
            shares = [1.0] * len(METHODS) if val else args.shares
            made = (canvases(arrays, val), *regions, self._autoencoders, settings(args, shares))
            setattr(self, name, Blender(*made))

    def learn(self, n: int) -> None:
        """A step of the autoencoders: L1 of the picture and of its differences."""
        x = self.train.reals(n)
        x = self.train.faces(warped(x, similarity(x, 0.03, 0.05, 0.02), tremor(x, 0.004)))
        loss = 0
        for network in self._autoencoders:
            with half():
                y = network(x)
            for order, dim in ((0, 2), (1, 2), (1, 3)):
                gap = (torch.diff(y.float(), order, dim) - torch.diff(x, order, dim)).abs().mean()
                loss = loss + (1 + order) * gap
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    @torch.no_grad()
    def batch(self, blender: Blender, n: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Pictures (2n, 3, H, W) uint8, reals first; parts replaced (n, H/16, W/16); methods."""
        reals, fakes, masks, methods = blender.pairs(n)
        pictures = (torch.cat([reals, fakes]) * 255).round().byte()
        parts = F.adaptive_avg_pool2d(masks, LOOK_PX // 16)[:, 0]
        return pictures.contiguous(memory_format=torch.channels_last), parts, methods


def make(args: argparse.Namespace, number: int, pairs: Any, val: Any, done: Any) -> None:
    """The process of a maker; the first also makes the pairs to measure on, once its autoencoders
    have learnt something."""
    begin = time.monotonic()
    maker, n = Maker(args, number), min(args.batch, 64)
    while time.monotonic() - begin < WARM_SHARE * args.seconds:
        maker.learn(n)
    # What another process reads must not be freed here.
    measured = [maker.batch(maker.val, n) for _ in range(VAL_BATCHES)] if number == 0 else []
    for batch in measured:
        val.put(batch)
    recent: collections.deque[Any] = collections.deque(maxlen=24)
    while not done.is_set():
        maker.learn(n // 2)
        recent.append(maker.batch(maker.train, args.batch))
        if device.type == "cuda":
            torch.cuda.synchronize()
        while not done.is_set():
            try:
                pairs.put(recent[-1], timeout=0.5)
                break
            except queues.Full:
                continue


def auc(reals: Tensor, fakes: Tensor) -> float:
    gap = fakes[:, None] - reals[None]
    return float((gap > 0).float().mean() + 0.5 * (gap == 0).float().mean())


class Training:
    """The network, and the average of its weights over some thousand steps."""

    def __init__(self, args: argparse.Namespace):
        self._args, self.step, self.val = args, 0, []
        self.network = Lite0().to(device, memory_format=torch.channels_last)
        arrays = np.load(args.file)
        names = [name for name in arrays.files if name.startswith("imagenet/")]
        tensors = {n.partition("/")[2]: torch.from_numpy(arrays[n]) for n in names}
        own = self.network.state_dict()
        self.network.load_backbone({name: t for name, t in tensors.items() if name in own})
        self.average = {name: t.clone() for name, t in self.network.state_dict().items()}
        weights = list(self.network.parameters())
        groups = [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": 0.02},
            {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, args.rate)

    def learn(self, pictures: Tensor, parts: Tensor, done: float) -> float:
        """A step, when the share `done` of the time is over; its loss."""
        n = len(parts)
        rate = self._args.rate * min(1, self.step / 300) * (1 + np.cos(np.pi * done)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with half():
            logits, where = (x.float() for x in self.network(pictures.float() / 255))
        labels = torch.arange(2 * n, device=device) >= n
        targets = labels * (1 - 2 * SMOOTHING) + SMOOTHING
        replaced = torch.cat([torch.zeros_like(parts), parts])
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        loss = loss + 0.5 * F.binary_cross_entropy_with_logits(where, replaced)
        loss = loss + 0.5 * F.softplus(logits[:n] - logits[n:]).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimizer.step()
        self.step += 1
        self._follow(min(0.999, self.step / (self.step + 20)))
        return float(loss.detach()) if self.step % 100 == 0 else 0.0

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """AUC on people that it has not seen, by method, and how many pairs are in order."""
        averaged = Lite0().to(device, memory_format=torch.channels_last).eval()
        averaged.load_state_dict(self.average)
        with half():
            logits = [averaged(x.float() / 255)[0].float().cpu() for x, _, _ in self.val]
        reals, fakes = (torch.cat(x) for x in zip(*(x.chunk(2) for x in logits), strict=True))
        methods = torch.from_numpy(np.concatenate([m for *_, m in self.val]))
        found = {name: auc(reals, fakes[methods == i]) for i, name in enumerate(METHODS)}
        order = float((fakes > reals).float().mean())
        return {**found, "all": auc(reals, fakes), "order": order}

    def save(self, path: Path) -> None:
        kept = {n: t for n, t in self.average.items() if not n.startswith(HEAD)}
        save_file({n: t.contiguous().cpu() for n, t in kept.items()}, path)


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")
    pairs, val, done = context.Queue(2 * args.makers), context.Queue(), context.Event()
    makers = [
        context.Process(target=make, args=(args, number, pairs, val, done), daemon=True)
        for number in range(args.makers)
    ]
    for process in makers:
        process.start()
    training = Training(args)
    # What is measured on is kept as a copy: it must outlive the process that made it.
    training.val = [(x.clone(), parts, m) for x, parts, m in _taken(val, makers)]
    logged, loss = 0, 0.0
    with open(args.out / "log.jsonl", "w") as log:
        while (over := (time.monotonic() - start) / args.seconds) < 1 or not training.step:
            pictures, parts, _ = _next(pairs, makers)
            loss = training.learn(pictures, parts.clone(), min(over, 1)) or loss
            if over * LOGS >= logged + 1:
                logged += 1
                _write(log, training, args, loss, start)
        _write(log, training, args, loss, start)
    done.set()
    training.save(args.out / "backbone.safetensors")


def _next(queue: Any, makers: list[Any]) -> Any:
    """What comes next. Raises SystemExit where a maker has come to an end."""
    while True:
        try:
            return queue.get(timeout=1)
        except queues.Empty:
            if not all(maker.is_alive() for maker in makers):
                raise SystemExit("a process that makes pairs came to an end; see above.") from None


def _taken(val: Any, makers: list[Any]) -> list[Any]:
    return [_next(val, makers) for _ in range(VAL_BATCHES)]


def _write(
    log: Any, training: Training, args: argparse.Namespace, loss: float, start: float
) -> None:
    row = {"step": training.step, "pairs": training.step * args.batch, "loss": loss}
    row |= {"seconds": time.monotonic() - start, **training.measure()}
    print(json.dumps(row), file=log, flush=True)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())

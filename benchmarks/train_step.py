"""Time of a training step, frames' network and LSTM: ours against the same in PyTorch.

python benchmarks/train_step.py [--backbone resnext50_32x4d] [--torch-python PYTHON] [--rounds 7]

2 clips of 8 frames at 224 px, float32, two threads, one step of each program in turn; PyTorch with
channels_last and the fused AdamW. PYTHON is an interpreter that has torch and torchvision (`make
test-torch` puts them into this project's environment). Also: bfloat16 where the CPU has it, how
long `fit` takes to the first finished step at 16 frames, and what share of the machine's matrix
multiplication the step reaches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
CLIPS, FRAMES, SIDE, UNITS = 2, 8, 224, 256
# Multiply-adds of a frame at 224 px: Xie et al. 2017, table 1; tensorflow/tpu's EfficientNet-Lite.
# A multiply-add is two operations, and a step is about three forward passes.
MULTIPLY_ADDS = {"resnext50_32x4d": 4.23e9, "efficientnet_lite0": 0.407e9}


def tensorflow_step(precision: str, backbone: str):
    import numpy as np
    import tensorflow as tf

    from trainer.config import TrainConfig
    from trainer.input.sampling import to_fit
    from trainer.model.backbones import BACKBONE
    from trainer.model.detector import build_model
    from trainer.training.losses import compile_model
    from trainer.training.optimizer import make_optimizer

    config = TrainConfig(batch_size=CLIPS, temporal_units=UNITS, backbone=backbone)
    model = build_model(config, SIDE, FRAMES, precision)
    optimizer = make_optimizer(config, model, model.get_layer(BACKBONE), 1000)
    compile_model(model, optimizer, config.frame_loss_weight)
    rng = np.random.default_rng(0)
    batch = {
        "clips": tf.constant(rng.integers(0, 256, (CLIPS, FRAMES, SIDE, SIDE, 3), np.uint8)),
        "mask": tf.ones((CLIPS, FRAMES), tf.bool),
        "label": tf.range(CLIPS, dtype=tf.int64) % 2,
    }
    data = [to_fit(batch)]
    model.make_train_function()
    return lambda: float(model.train_function(data)["loss"])


def torch_step(backbone: str):
    import numpy as np
    import torch
    from torch import nn

    from benchmarks.torch_detector import torch_detector

    torch.set_num_threads(2)

    net = torch_detector(UNITS, backbone).train()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-4, weight_decay=1e-4, fused=True)
    rng = np.random.default_rng(0)
    clips = torch.from_numpy(rng.integers(0, 256, (CLIPS, FRAMES, SIDE, SIDE, 3), np.uint8))
    label = torch.arange(CLIPS, dtype=torch.float32) % 2
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    loss_of = nn.functional.binary_cross_entropy_with_logits

    def step() -> float:
        x = ((clips.float() - mean) / std).permute(0, 1, 4, 2, 3)  # is channels_last in memory
        clip, frames = net(x)
        loss = loss_of(clip, label) + 0.5 * loss_of(frames, label[:, None].expand_as(frames))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def first_step_s(backbone: str, frames: int = 16) -> float:
    """Seconds from `fit` to the end of its first step, of one clip."""
    import keras
    import numpy as np
    import tensorflow as tf

    from trainer.config import TrainConfig
    from trainer.input.sampling import to_fit
    from trainer.model.backbones import BACKBONE
    from trainer.model.detector import build_model
    from trainer.training.losses import compile_model
    from trainer.training.optimizer import make_optimizer

    config = TrainConfig(batch_size=1, temporal_units=UNITS, backbone=backbone)
    model = build_model(config, SIDE, frames)
    compile_model(model, make_optimizer(config, model, model.get_layer(BACKBONE), 10), 0.5)
    batch = {
        "clips": tf.constant(np.zeros((1, frames, SIDE, SIDE, 3), np.uint8)),
        "mask": tf.ones((1, frames), tf.bool),
        "label": tf.zeros((1,), tf.int64),
    }
    ended: list[float] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ended.append(time.perf_counter())

    started = time.perf_counter()
    data = tf.data.Dataset.from_tensors(to_fit(batch))
    model.fit(data, verbose=0, shuffle=False, callbacks=[Watch()])
    return ended[0] - started


def gemm_gflops(side: int = 2048) -> float:
    """The best of several products of float32 matrices, in 10^9 operations a second."""
    import tensorflow as tf

    a = tf.random.normal((side, side))
    product = tf.function(lambda: tf.reduce_max(tf.matmul(a, a)))
    seconds = min(_timed(lambda: product().numpy()) for _ in range(12))
    return 2 * side**3 / seconds / 1e9


def _timed(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def worker(name: str, backbone: str) -> None:
    from benchmarks.turns import answer

    if name == "first":
        answer(lambda: first_step_s(backbone))
    elif name == "gemm":
        answer(gemm_gflops)
    else:
        step = torch_step(backbone) if name == "torch" else tensorflow_step(name, backbone)
        answer(lambda: _timed(step))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=MULTIPLY_ADDS, default="resnext50_32x4d")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.backbone)
        return
    from benchmarks.turns import in_turn, ratio
    from trainer.training.devices import CPU_BFLOAT16, cpu_flags

    def program(name: str, python: str = sys.executable) -> tuple[list[str], dict[str, str]]:
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
        environment["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
        return [python, __file__, "--worker", name, "--backbone", args.backbone], environment

    programs = {"gemm": program("gemm"), "float32": program("float32")}
    programs["torch"] = program("torch", args.torch_python)
    capable = any(flag in cpu_flags() for flag in CPU_BFLOAT16)
    if capable:
        programs["bfloat16"] = program("bfloat16")
    samples = in_turn(programs, args.rounds)
    frames = CLIPS * FRAMES
    for name, values in samples.items():
        if name != "gemm":
            seconds = statistics.median(values)
            print(f"{name:9} {seconds:6.2f} s a step  {frames / seconds:5.2f} frames/s")
    print(
        "PyTorch / ours:",
        ratio(samples["torch"], samples["float32"]),
        "(times: more is better)",
    )
    if capable:
        print("float32 / bfloat16:", ratio(samples["float32"], samples["bfloat16"]))
    else:
        print("float32 / bfloat16: not measured, this CPU computes no bfloat16")
    flops = 2 * MULTIPLY_ADDS[args.backbone]
    reached = [3 * flops * frames / s / 1e9 for s in samples["float32"]]
    print(
        f"{flops / 1e9:.1f} GFLOP a frame forward; matrix product "
        f"{statistics.median(samples['gemm']):.0f} GFLOP/s; the step reaches "
        f"{statistics.median(reached):.0f} GFLOP/s, a share of {ratio(reached, samples['gemm'])}"
    )
    first = in_turn({"first": program("first")}, rounds=1, warmup=0)["first"][0]
    print(f"fit to the first finished step, 16 frames: {first:.1f} s")


if __name__ == "__main__":
    main()

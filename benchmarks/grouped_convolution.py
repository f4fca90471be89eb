"""Time of a grouped 3x3 convolution, forward and backward: Keras' against `trainer.model.layers`.

python benchmarks/grouped_convolution.py [--rounds 2]

16 x 56 x 56 x 128 in 32 groups, as in the first stage of ResNeXt-50 with 16 frames, in float32.
Keras' layer takes some 20 seconds a round on a CPU.
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
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()

    import keras
    import tensorflow as tf

    from benchmarks.turns import ratio
    from trainer.model.layers import GroupedConv2D

    x = tf.random.normal((16, 56, 56, 128))
    layers = {
        "Keras": keras.layers.Conv2D(128, 3, padding="same", groups=32, use_bias=False),
        "native": GroupedConv2D(128, 3, 32),
        "merged": GroupedConv2D(128, 3, 32, implementation="merged"),
    }

    def step_of(layer):
        layer.build(x.shape)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x) ** 2)
            return [tf.reduce_sum(g) for g in tape.gradient(loss, [x, layer.kernel.value])]

        return step

    steps = {name: step_of(layer) for name, layer in layers.items()}
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            [float(value) for value in step()]
            seconds[name].append(time.perf_counter() - started)
    for name, values in seconds.items():
        print(f"{name:7} {1000 * statistics.median(values):9.1f} ms forward and backward")
    for name in ("native", "merged"):
        print(f"Keras / {name}: {ratio(seconds['Keras'], seconds[name])}")


if __name__ == "__main__":
    main()

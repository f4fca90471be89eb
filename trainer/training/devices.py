"""Device strategy and compute precision of a training.

TensorFlow's devices are global. `make_strategy` initializes them: what has to be set before that
(logical devices, memory growth) must be set before a training begins, and a TPU's state is wiped.
The training's other globals: the random seed, set once in `loop.Training`, and Keras' dtype
policy, set and restored in `model.detector.build_model`.
"""

from __future__ import annotations

import platform
from pathlib import Path

import tensorflow as tf

from trainer.errors import TrainError

CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16")  # as Linux names them
GPU_BFLOAT16 = (8, 0)  # NVIDIA's compute capability from which on it is fast: Ampere


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The tf.distribute strategy of a name in TrainConfig.strategy.

    "auto": a TPU if the machine has one, else all GPUs, else the CPU. "gpu" is one GPU, "mirrored"
    all of them, or all logical CPUs where there is no GPU. Raises TrainError.
    """
    if name == "tpu" or (name == "auto" and _has_tpu()):
        return _tpu_strategy()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "gpu" and not gpus:
        raise TrainError("--strategy gpu: TensorFlow sees no GPU here; use --strategy cpu.")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(gpus or cpus)
    use_gpu = name == "gpu" or (name == "auto" and gpus)
    return tf.distribute.OneDeviceStrategy(gpus[0] if use_gpu else "/device:CPU:0")


def _has_tpu() -> bool:
    return bool(tf.config.list_physical_devices("TPU")) or Path("/dev/accel0").exists()


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver("local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise TrainError(
            f"--strategy tpu: no TPU can be reached from here: {error}. Run on a TPU VM with "
            "tensorflow-tpu installed, or use --strategy auto."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.TPUStrategy)


def choose_precision(name: str, strategy: tf.distribute.Strategy) -> str:
    """The type of a name in TrainConfig.precision: for "auto" what the hardware is made for."""
    if name != "auto":
        return name
    return "bfloat16" if _has_bfloat16(strategy) else "float32"


def _has_bfloat16(strategy: tf.distribute.Strategy) -> bool:
    if is_tpu(strategy):
        return True
    if any("GPU" in device for device in strategy.extended.worker_devices):
        return all(
            tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
            >= GPU_BFLOAT16
            for gpu in tf.config.list_physical_devices("GPU")
        )
    return any(flag in cpu_flags() for flag in CPU_BFLOAT16)


def cpu_flags() -> set[str]:
    """The instruction sets of the CPU by Linux' names; none elsewhere than on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if platform.system() != "Linux" or not cpuinfo.is_file():
        return set()
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return set(next(lines, "").partition(":")[2].split())

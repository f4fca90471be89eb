"""The subcommands, a module each: its flags, and one call of the library that does the work.

A module loads what its flags need; the library is imported by `main` once they are parsed, so
that `--help` and wrong usage answer at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

# Subcommand -> what it does; its module has the same name.
COMMANDS = {
    "demo": "the whole way on generated videos, in minutes",
    "sample-data": "write a small generated data set",
    "make-blends": "real videos and pictures -> pairs of real and fake videos",
    "datasets": "what is in a folder of videos, before any work",
    "preprocess": "videos -> face-clip TFRecord shards (Apache Beam)",
    "inspect": "what is in the shards; verify them; draw a contact sheet",
    "import-weights": "torchvision's or timm's ResNeXt weights -> ours",
    "train": "shards -> a trained model; resumes an unfinished run",
    "evaluate": "a trained model on a split -> metrics and report",
    "compare": "two trained models on the same data",
    "calibrate": "fits a model's probabilities and thresholds",
    "export": "a trained model -> SavedModel, OpenVINO, ONNX or LiteRT",
    "serve": "serve models as TensorFlow Serving does",
    "score": "an archive of videos -> verdicts, as a Beam job",
    "web": "upload a video in the browser and get a report",
    "predict": "videos -> FAKE / REAL verdicts",
}

# Subcommand -> the extras of pyproject.toml that it needs; others need none.
EXTRAS = {
    "demo": ("serving", "train"),
    "sample-data": ("train",),
    "make-blends": ("train",),
    "preprocess": ("train",),
    "inspect": ("train",),
    "import-weights": ("train",),
    "train": ("train",),
    "evaluate": ("train",),
    "compare": ("train",),
    "calibrate": ("train",),
    "export": ("train",),
    "serve": ("serving",),
    "score": ("score",),
    "web": ("web",),
}


def local(path: str) -> str:
    """The type of a flag for a place on this machine: an address would become a folder `gs:`."""
    if "://" in path:
        raise argparse.ArgumentTypeError(
            f"{path} is an address; give a folder or file of this machine, copied or mounted."
        )
    return path


def local_path(path: str) -> Path:
    """As `local`."""
    return Path(local(path))


def make_parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """The parser of `dfdetect NAME`."""
    return argparse.ArgumentParser(
        prog=f"dfdetect {name}", description=description, epilog=epilog, allow_abbrev=False
    )

"""The command `dfdetect`: one subcommand per job. Each loads only what it needs."""

from __future__ import annotations

import importlib
import os
import sys

# Subcommand -> (module with main(argv) -> exit code, what it does).
COMMANDS = {
    "demo": ("serving.demo", "the whole way on generated videos, in minutes"),
    "sample-data": ("pipelines.sample.generate", "write a small generated data set"),
    "datasets": ("pipelines.datasets.listing", "what is in a folder of videos, before any work"),
    "preprocess": ("pipelines.preprocess", "videos -> face-clip TFRecord shards (Apache Beam)"),
    "inspect": ("pipelines.inspect", "what is in the shards; verify them; draw a contact sheet"),
    "import-weights": ("trainer.weights", "torchvision's or timm's ResNeXt weights -> ours"),
    "train": ("trainer.train", "shards -> a trained model; goes on with an unfinished run"),
    "evaluate": ("trainer.evaluate", "a trained model on a split -> metrics and report"),
    "compare": ("trainer.compare", "two trained models on the same data"),
    "calibrate": ("trainer.calibrate", "fits a model's probabilities and thresholds"),
    "export": ("trainer.export", "a trained model -> SavedModel for TensorFlow Serving"),
    "serve": ("serving.model_server.command", "serve models as TensorFlow Serving does"),
    "score": ("pipelines.score", "an archive of videos -> verdicts, as a Beam job"),
    "web": ("serving.web.app", "upload a video in the browser and get a report"),
    "predict": ("serving.predict", "videos -> FAKE / REAL verdicts"),
}


def _usage() -> str:
    lines = [f"  {name:14} {what}" for name, (_, what) in COMMANDS.items()]
    return "usage: dfdetect COMMAND [--help] ...\n\n" + "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Runs a subcommand. Exit codes: 0 done, 1 the work failed, 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(f"dfdetect: no command {argv[0]!r}.\n\n{_usage()}", file=sys.stderr)
        return 2
    # TensorFlow's start-up notices bury what the command says; set it to 0 to see them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # By default TensorFlow uses oneDNN on some x86 processors only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        command = importlib.import_module(COMMANDS[argv[0]][0])
    except ModuleNotFoundError as error:
        print(
            f"dfdetect {argv[0]}: the package {error.name!r} is not installed. "
            "Install the extras too: pip install 'dfdetect[serving]'.",
            file=sys.stderr,
        )
        return 1
    return command.main(argv[1:])


if __name__ == "__main__":
    sys.exit(main())

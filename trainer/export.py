"""A trained model -> a SavedModel that stock TensorFlow Serving runs."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipelines.config import PreprocessConfig
from trainer.calibration import Calibration, apply, load_calibration
from trainer.export_check import ExportError, check_ops, check_outputs, example_inputs
from trainer.run import CONFIG_NAME, MODEL_NAME, SEEN_NAME, write_json
from trainer.warmup import WARMUP_NAME, can_write_warmup, write_warmup

PREPROCESS_NAME = "preprocess.json"
VERDICT_NAME = "verdict.json"
CARD_NAME = "model_card.md"
# Of a model that is not calibrated. Between the two thresholds a verdict is INCONCLUSIVE.
VERDICT = {"real_below": 0.4, "fake_above": 0.6, "calibration": None}


def verdict_of(calibration: Calibration | None) -> dict[str, Any]:
    """What verdict.json says: the two thresholds, and how they and the temperature were found."""
    if calibration is None:
        return VERDICT
    thresholds = {name: getattr(calibration, name) for name in ("real_below", "fake_above")}
    return {**thresholds, "calibration": calibration.to_dict()}


def load_run(run: str | os.PathLike) -> tuple[Any, dict[str, Any]]:
    """The run's model and its config.json. Raises FileNotFoundError where it is not finished."""
    run = Path(run)
    for name in (CONFIG_NAME, MODEL_NAME):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run / name} is missing: finish `dfdetect train` first.")
    config = json.loads((run / CONFIG_NAME).read_text())
    return load_model(run / MODEL_NAME), config


def load_model(path: str | os.PathLike) -> Any:
    """A detector from a .keras file."""
    import keras

    import trainer.layers  # noqa: F401  registers the layers

    return keras.models.load_model(path, compile=False)


def set_implementation(model: Any, implementation: str) -> None:
    """How all grouped convolutions of a model compute; see GroupedConv2D."""
    from trainer.layers import GroupedConv2D

    for layer in model._flatten_layers():
        if isinstance(layer, GroupedConv2D):
            layer.implementation = implementation


def _endpoints(model: Any, texts: dict[str, str], temperature: float) -> dict[str, Any]:
    """Signature name -> function with a fixed input signature."""
    import tensorflow as tf

    from pipelines import schema
    from trainer.data import decode_frames

    _, frames, side, _, _ = model.input["clips"].shape

    def detect(clips, mask):
        checked = tf.debugging.assert_equal(
            tf.reduce_all(tf.reduce_any(mask, axis=1)),
            True,
            message="A clip holds no frame at all; leave it out of the request.",
        )
        with tf.control_dependencies([checked]):
            outputs = model({"clips": clips, "mask": mask}, training=False)
        return {
            "probability_fake": tf.sigmoid(outputs["logit"] / temperature),
            "logit": tf.identity(outputs["logit"]),
            "frame_probability": tf.sigmoid(outputs["frame_logit"] / temperature)
            * tf.cast(mask, outputs["frame_logit"].dtype),
        }

    def decode(images):  # (B, T) encoded -> (B, T, H, W, 3), (B, T)
        clips, mask = decode_frames(tf.reshape(images, [-1]), side)
        clips = tf.reshape(clips, [-1, frames, side, side, 3])
        return clips, tf.reshape(mask, [-1, frames])

    def pad(values):  # (B, t, ...) -> (B, T, ...)
        given = tf.shape(values)[1]
        checked = tf.debugging.assert_less_equal(
            given, frames, message=f"A clip has more frames than the {frames} of this model."
        )
        with tf.control_dependencies([checked]):
            rest = [[0, 0]] * (values.shape.rank - 2)
            padded = tf.pad(values, [[0, 0], [0, frames - given], *rest])
        return tf.ensure_shape(padded, [None, frames, *values.shape[2:]])

    def as_given(outputs, values):  # without the frames that `pad` added
        probability = outputs["frame_probability"][:, : tf.shape(values)[1]]
        return {**outputs, "frame_probability": probability}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="frames")])
    def encoded(frames):
        return as_given(detect(*decode(pad(frames))), frames)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, side, side, 3], tf.uint8, name="clips"),
            tf.TensorSpec([None, None], tf.bool, name="mask"),
        ]
    )
    def tensors(clips, mask):
        return as_given(detect(pad(clips), pad(mask)), mask)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(examples):
        name = "frame/image"
        _, sequence, _ = tf.io.parse_sequence_example(
            examples, sequence_features={name: schema.feature_spec()[1][name]}
        )
        return detect(*decode(pad(sequence[name][:, :frames])))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="query")])
    def config(query):
        return {name: tf.fill(tf.shape(query), text) for name, text in texts.items()}

    return {"serving_default": encoded, "tensors": tensors, "examples": examples, "config": config}


def _probabilities(model: Any, inputs: dict[str, Any], temperature: float) -> dict[str, Any]:
    """What an export must say of the inputs, by the name of the output."""
    outputs = {name: value.numpy() for name, value in model(inputs, training=False).items()}
    frames = apply(outputs["frame_logit"], temperature) * inputs["mask"]
    return {
        "probability_fake": apply(outputs["logit"], temperature),
        "frame_probability": frames,
    }


def export(
    run: str | os.PathLike,
    out: str | os.PathLike,
    name: str = "dfdetect",
    metrics: str | os.PathLike | None = None,
    verbose: bool = False,
) -> Path:
    """Writes `out`/`name`/<next number>/ and returns it.

    Signatures, each with outputs probability_fake (B,), logit (B,) and frame_probability (B, T):
    "serving_default" takes encoded crops, strings (B, T), "" for no frame; "tensors" takes
    `clips` uint8 (B, T, H, W, 3) and `mask` bool (B, T); "examples" takes serialized records. T
    is any number of frames up to those that the model was trained with.
    "config" returns how to make crops and verdicts, so that a client needs only a URL.

    Probabilities are those of the run's calibration where it has one; the logit is the model's.
    Beside the model go its card, with the figures of `metrics`, a metrics.json of `dfdetect
    evaluate`, how it was trained and on whom, the latter as hashes, and requests to warm a server
    up, where the extra "serving" is installed.
    Raises FileNotFoundError, ValueError or ExportError where the run cannot be exported.
    """
    import keras

    model, config = load_run(run)
    preprocess = PreprocessConfig.from_dict(config["preprocess"])
    if preprocess.fingerprint != config["fingerprint"]:
        raise ExportError(
            f"{run}: the model was trained on crops of fingerprint {config['fingerprint']}; this "
            f"version makes {preprocess.fingerprint}. Preprocess and train again."
        )
    calibration = load_calibration(run)
    temperature = calibration.temperature if calibration else 1.0
    shape = model.input["clips"].shape[1:3]  # frames, side
    inputs = example_inputs(*shape)
    expected = _probabilities(model, inputs, temperature)
    # Native grouped kernels fail on servers without oneDNN; merged groups run on every one.
    set_implementation(model, "merged")
    facts = {"config": preprocess.to_dict(), "fingerprint": preprocess.fingerprint}
    verdict = verdict_of(calibration)
    texts = {"preprocess_json": json.dumps(facts), "verdict_json": json.dumps(verdict)}
    base = Path(out) / name
    base.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
    try:
        archive = keras.export.ExportArchive()
        archive.track(model)
        for signature, function in _endpoints(model, texts, temperature).items():
            archive.add_endpoint(signature, function)
        archive.write_out(str(temporary), verbose=verbose)
        check_ops(temporary)
        check_outputs(temporary, inputs, expected)
        extra = temporary / "assets.extra"
        extra.mkdir()
        (extra / PREPROCESS_NAME).write_text(json.dumps(facts, indent=2) + "\n")
        (extra / VERDICT_NAME).write_text(json.dumps(verdict, indent=2) + "\n")
        if can_write_warmup():
            write_warmup(extra / WARMUP_NAME, name, *shape)
        _write_record(extra, Path(run), config, _read_metrics(metrics), name)
        temporary.chmod(0o755)
        taken = [int(path.name) for path in base.iterdir() if path.name.isdecimal()]
        version = base / str(max(taken, default=0) + 1)
        temporary.rename(version)  # a server only sees finished versions
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return version


def _read_metrics(path: str | os.PathLike | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: is no metrics.json of `dfdetect evaluate`: {error}") from error


def _write_record(
    extra: Path, run: Path, config: dict[str, Any], metrics: dict[str, Any] | None, name: str
) -> None:
    """The model card, and what `dfdetect evaluate` needs to know of a model's training."""
    from trainer.model_card import model_card

    (extra / CARD_NAME).write_text(model_card(metrics, name))
    known = {key: value for key, value in config.items() if key != "data"}  # a path of no use here
    write_json(extra / CONFIG_NAME, known)
    if (run / SEEN_NAME).is_file():
        shutil.copy(run / SEEN_NAME, extra / SEEN_NAME)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect export",
        description="Writes a trained model as a SavedModel for TensorFlow Serving.",
        allow_abbrev=False,
    )
    parser.add_argument("--run", required=True, help="run folder from `dfdetect train`")
    parser.add_argument("--out", required=True, help="base folder of the served models")
    parser.add_argument(
        "--name", default="dfdetect", help="the model's name (default: %(default)s)"
    )
    parser.add_argument(
        "--metrics", help="metrics.json of `dfdetect evaluate`, for the model's card"
    )
    args = parser.parse_args(argv)
    if not args.name or "/" in args.name or args.name.startswith("."):
        parser.error(f"--name is {args.name!r}; use a plain folder name.")
    try:
        version = export(args.run, args.out, args.name, args.metrics)
    except (FileNotFoundError, ValueError, ExportError) as error:
        print(f"dfdetect export: {error}", file=sys.stderr)
        return 1
    print(f"wrote {version}")
    if not can_write_warmup():
        print(
            "note: without requests to warm a server up, whose first answers will take longer; "
            "for these `pip install 'dfdetect[serving]'` and export again."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command `dfdetect export`."""

from __future__ import annotations

from dfdetect.commands import local, make_parser
from pipelines.model_contract import ENGINE_PRECISIONS

# What each format can be computed in.
FORMATS = {
    "saved-model": ("float32", "bfloat16"),
    "litert": ("float32",),
    **ENGINE_PRECISIONS,
}
PRECISIONS = ("float32", "bfloat16", "int8")


def main(argv: list[str]) -> int:
    parser = make_parser(
        "export",
        "Writes a trained model as a SavedModel for TensorFlow Serving, or for another engine.",
    )
    parser.add_argument("--run", type=local, required=True, help="run folder from `dfdetect train`")
    parser.add_argument("--out", type=local, required=True, help="base folder of the served models")
    parser.add_argument(
        "--name", default="dfdetect", help="the model's name (default: %(default)s)"
    )
    parser.add_argument(
        "--metrics",
        help="metrics.json of `dfdetect evaluate`, for the model's card and what it says of itself",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="saved-model",
        help="a SavedModel; a LiteRT file for use at the edge; or a model for OpenVINO or ONNX "
        "Runtime, which `predict`, `score`, `web` and `evaluate` run too (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="type to compute frames in; bfloat16 is faster where the CPU that runs it has "
        "instructions for it and slower elsewhere; int8, for OpenVINO and ONNX, quantises the "
        "model by --data, and is refused where that changes its scores too much "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        type=local,
        help="with --precision int8: folder of shards from `dfdetect preprocess`, with whose "
        "validation clips the model is quantised and measured",
    )
    args = parser.parse_args(argv)
    if not args.name or "/" in args.name or args.name.startswith("."):
        parser.error(f"--name is {args.name!r}; use a plain folder name.")
    if args.precision not in FORMATS[args.format]:
        parser.error(
            f"--format {args.format} computes in {' or '.join(FORMATS[args.format])}, not in "
            f"{args.precision}: leave --precision out, or give another."
        )
    if (args.precision == "int8") != (args.data is not None):
        parser.error(
            "--precision int8 needs --data DIR, and nothing else does: shards of `dfdetect "
            "preprocess` with validation clips."
        )
    if args.format == "litert":
        from trainer.exporting.litert import export_litert

        print(export_litert(args.run, args.out, args.name, args.metrics))
        return 0
    if args.format != "saved-model":
        from trainer.exporting.inference_engines import export_for_engine

        print(
            export_for_engine(
                *(args.run, args.out, args.format, args.name, args.metrics),
                precision=args.precision,
                data=args.data,
            )
        )
        return 0

    from pipelines.model_contract import EXTRA_FOLDER, WARMUP_NAME
    from trainer.exporting.export import export

    version = export(args.run, args.out, args.name, args.metrics, args.precision)
    print(f"wrote {version}")
    if not (version / EXTRA_FOLDER / WARMUP_NAME).is_file():
        print(
            "note: without requests to warm a server up, whose first answers will take longer; "
            "for these `pip install 'dfdetect[serving]'` and export again."
        )
    return 0

"""The command `dfdetect import-weights`."""

from __future__ import annotations

from dfdetect.commands import local, make_parser
from trainer.model.efficientnet_lite_specs import LITE_SPECS
from trainer.model.resnext_specs import SPECS
from trainer.model.weight_formats import WEIGHTS_SUFFIX


def main(argv: list[str]) -> int:
    parser = make_parser(
        "import-weights",
        "Pretrained weights of a ResNeXt or EfficientNet-Lite, as PyTorch names them -> a Keras "
        "weights file.",
    )
    parser.add_argument(
        "file",
        help="a .safetensors or .pth file in the naming of torchvision, timm or "
        "efficientnet-lite-pytorch",
    )
    parser.add_argument(
        "--backbone",
        default="resnext50_32x4d",
        choices=(*SPECS, *LITE_SPECS),
        help="the network whose weights they are (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=local,
        help=f"the {WEIGHTS_SUFFIX} file to write (default: BACKBONE{WEIGHTS_SUFFIX})",
    )
    args = parser.parse_args(argv)
    out = args.out or f"{args.backbone}{WEIGHTS_SUFFIX}"
    if not out.endswith(WEIGHTS_SUFFIX):
        parser.error(f"--out is {out!r}; its name must end with {WEIGHTS_SUFFIX}.")

    from trainer.model.import_weights import import_weights

    read, left_out = import_weights(args.file, args.backbone, out)
    print(f"read {read} tensors from {args.file}")
    if left_out:
        print(f"left out the classifier: {', '.join(left_out)}")
    print(f"wrote {out}")
    return 0

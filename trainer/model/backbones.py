"""Registry of backbones, the networks over single frames, by name.

A backbone is one decorated function; a family of networks may share one:

    @backbone("toy")
    def toy(name, pixels, pretrained):
        return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(pixels))

It takes its registered name, pixel values 0 to 255 as a symbolic float tensor (B, H, W, 3), and
--pretrained, "" for none; it returns pooled features (B, D). It raises ValueError or
FileNotFoundError where the pretrained weights do not fit.

The names are the choices of --backbone, and `dfdetect train --help` must not wait for Keras. So
each function imports what it builds with when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from trainer.model.efficientnet_lite_specs import LITE_SPECS
from trainer.model.resnext_specs import SPECS
from trainer.model.weight_formats import DETECTOR_SUFFIX

if TYPE_CHECKING:
    import keras

Build = Callable[[str, "keras.KerasTensor", str], "keras.KerasTensor"]
B = TypeVar("B", bound=Build)

BACKBONE = "backbone"  # the layer's name in the detector, whichever network it is
BACKBONES: dict[str, Build] = {}
EFFICIENTNETS = {  # our name -> that in keras.applications
    f"efficientnet_{size.lower()}": f"EfficientNet{size}"
    for size in ("B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "V2S")
}


def backbone(*names: str) -> Callable[[B], B]:
    """Registers the decorated function under these names. Raises ValueError for a taken one."""

    def register(build: B) -> B:
        for name in names:
            if name in BACKBONES:
                raise ValueError(f"There is a backbone {name!r} already; choose another name.")
            BACKBONES[name] = build
        return build

    return register


def build_backbone(name: str, side_px: int, pretrained: str = "") -> keras.Model:
    """Pixel values 0 to 255, float (B, H, W, 3) -> pooled features (B, D).

    pretrained: nothing; "imagenet", which Keras downloads (EfficientNets only), or "imagenet-lite"
    (EfficientNet-Lites only); a file for `pretrained.load_backbone`; for an EfficientNet also a
    "notop.h5" file as Keras publishes it; the model.keras of a training with the same backbone.
    Raises ValueError or FileNotFoundError where it does not fit.
    """
    import keras  # when called: see above

    pixels = keras.Input((side_px, side_px, 3), name="pixels")
    trained = pretrained.endswith(DETECTOR_SUFFIX)
    features = BACKBONES[name](name, pixels, "" if trained else pretrained)
    model = keras.Model(pixels, features, name=BACKBONE)
    if trained:
        from trainer.model.pretrained import take_backbone

        take_backbone(model, pretrained, BACKBONE)
    return model


@backbone(*SPECS)
def resnext(name: str, pixels: keras.KerasTensor, pretrained: str) -> keras.KerasTensor:
    from trainer.model.resnext import resnext_features

    return resnext_features(name, pixels, pretrained)


@backbone(*EFFICIENTNETS)
def efficientnet(name: str, pixels: keras.KerasTensor, pretrained: str) -> keras.KerasTensor:
    from trainer.model.efficientnet import efficientnet_features

    return efficientnet_features(name, EFFICIENTNETS[name], pixels, pretrained)


@backbone(*LITE_SPECS)
def efficientnet_lite(name: str, pixels: keras.KerasTensor, pretrained: str) -> keras.KerasTensor:
    from trainer.model.efficientnet_lite import lite_features

    return lite_features(name, pixels, pretrained)

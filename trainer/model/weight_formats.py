"""Conventions of pretrained weights: file suffixes, and the pixel statistics they expect.

Free of Keras, since commands name the suffix in their help.
"""

from __future__ import annotations

WEIGHTS_SUFFIX = ".weights.h5"  # as Keras saves weights
DETECTOR_SUFFIX = ".keras"  # of a whole detector, as a training leaves it
PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar")  # as PyTorch does
IMAGENET = "imagenet"  # given in place of a file, which Keras then downloads
# Of pixel values 0 to 255, per channel: what torchvision's and Keras' weights were trained with.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)

"""Crops as JPEG and as PNG: bytes, time to encode, time to decode as the trainer does, exactness.

python benchmarks/crop_format.py VIDEO ...
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf

from pipelines.config import PreprocessConfig
from pipelines.faces.extract import FaceExtractor

SUBSAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def milliseconds(work: Callable[[], object], times: int) -> float:
    work()
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / times * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+")
    args = parser.parse_args()
    extractor = FaceExtractor(PreprocessConfig(image_format="png"))
    encoded = [
        image for path in args.videos for clip in extractor.extract(path) for image in clip.images
    ]
    crops = [cv2.imdecode(np.frombuffer(e, np.uint8), cv2.IMREAD_COLOR) for e in encoded if e]
    formats = {"PNG": (".png", [])}
    for quality in (100, 95, 90):
        for name, factor in SUBSAMPLING.items():
            flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
            formats[f"JPEG {quality} {name}"] = (".jpg", flags)
    print(f"{len(crops)} crops of {crops[0].shape[1]} px")
    print(f"{'format':15}{'kB':>7}{'encode ms':>11}{'decode ms':>11}{'PSNR dB':>9}")
    for name, (suffix, flags) in formats.items():
        files = [cv2.imencode(suffix, crop, flags)[1].tobytes() for crop in crops]
        encode = milliseconds(
            lambda: [cv2.imencode(suffix, crop, flags) for crop in crops],  # noqa: B023
            len(crops),
        )
        if suffix == ".png":
            read = tf.io.decode_png
        else:

            def read(data: bytes) -> tf.Tensor:
                return tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE")

        decode = milliseconds(lambda: [read(data) for data in files], len(crops))  # noqa: B023
        error = np.mean(
            [
                np.square(read(data).numpy()[..., ::-1].astype(float) - crop).mean()
                for data, crop in zip(files, crops, strict=True)
            ]
        )
        exact = f"{10 * np.log10(255**2 / error):9.1f}" if error else f"{'exact':>9}"
        kilobytes = np.mean([len(data) for data in files]) / 1e3
        print(f"{name:15}{kilobytes:7.1f}{encode:11.2f}{decode:11.2f}{exact}")


if __name__ == "__main__":
    main()

"""Still pictures: JPEG, PNG, WebP and BMP as videos of one frame, upright, in sRGB."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, ImageCms

from pipelines.clip import VideoError
from pipelines.video.picture import refused_size
from pipelines.video.source import VideoFile

# As Pillow calls them. MPO is a JPEG that holds further ones, as phones' photos do.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM")
# Exif 3.0 (CIPA DC-008-2023), table 6: what brings each orientation upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def may_be_still(path: str) -> bool:
    """Whether the file begins as one of FORMATS does, and is not named as Motion JPEG."""
    if path.lower().endswith((".mjpeg", ".mjpg")):
        return False
    try:
        with VideoFile(path) as file:
            head = file.read(12)
    except VideoError:
        return False
    return head.startswith(SIGNATURES) and (head[:4] != b"RIFF" or head[8:] == b"WEBP")


def probe_still(path: str) -> tuple[str, int, int]:
    """(format, width, height) px as coded, of the file's header. Raises VideoError."""
    with _opened(path) as image:
        return str(image.format), image.width, image.height


def read_still(path: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB, as a viewer shows it, its transparency left out. Raises VideoError."""
    with _opened(path) as image:
        orientation = None
        with contextlib.suppress(Exception):  # a damaged one turns nothing
            orientation = image.getexif().get(ExifTags.Base.Orientation)
        shown = _rgb(image)
        if orientation in UPRIGHT:
            shown = shown.transpose(UPRIGHT[orientation])
        return np.array(shown)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """The picture, whose pixels are not decoded yet, of a size that is read."""
    try:
        formats = [name for name in FORMATS if name != "MPO"]
        with VideoFile(path) as file, Image.open(file, formats=formats) as image:  # type: ignore
            if refused := refused_size(image.width, image.height):
                raise VideoError("unreadable", "decode", f"{path}: the picture is {refused}.")
            if image.format != "MPO" and getattr(image, "is_animated", False):
                what = f"an animated {image.format}, which is not read. Make a video of it"
                raise VideoError("unsupported", "decode", f"{path}: {what}.")
            yield image
    except VideoError:
        raise
    except Exception as error:  # of a damaged file Pillow raises whatever its parser met
        what = "not a picture that can be read, or cut off"
        raise VideoError("unreadable", "decode", f"{path}: {what} ({error}).") from error


def _rgb(image: Image.Image) -> Image.Image:
    """In sRGB, by the profile that is embedded, and of 8 bits."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in ("L", "RGB", "CMYK"):
        image.info.pop("transparency", None)  # which a palette need not lose with a warning
        image = image.convert("RGB")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # damaged, or of another mode
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
            image = converted or image
    return image.convert("RGB")

"""Base portraits: photos aligned so that every face lies in one place of a square canvas."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pipelines.faces.align import TEMPLATE, similarity

SIDE = 256  # of the canvas and of the videos, px
EYES_PX = 52  # between the eyes on the canvas
_FACE_SIDE = EYES_PX / (TEMPLATE[1, 0] - TEMPLATE[0, 0])
_CORNER = np.array([SIDE / 2, 114]) - _FACE_SIDE * TEMPLATE[:2].mean(0)

FIVE = TEMPLATE * _FACE_SIDE + _CORNER  # (5, 2) eyes, nose, mouth corners on the canvas
CENTRE = FIVE.mean(0) + [0, 2]
_ANGLES = np.linspace(0, 2 * np.pi, 18, endpoint=False)
# (18, 2): around the face, from the brows to below the mouth; no detector needed.
OUTLINE = CENTRE + np.stack([54 * np.cos(_ANGLES), 64 * np.sin(_ANGLES)], 1)
POINTS = np.concatenate([FIVE, OUTLINE])  # what is followed through every warp

SUFFIXES = (".jpg", ".jpeg", ".png")


def builtin() -> dict[str, np.ndarray]:
    """Two public-domain photos (US Navy; NASA) that matplotlib and scikit-image ship."""
    # Here, for this module is loaded by each worker process, and they take half a second.
    import skimage.data
    from matplotlib import cbook

    hopper = Path(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return {
        "grace_hopper (US Navy, public domain)": read_photo(hopper),
        "astronaut (NASA, public domain)": skimage.data.astronaut(),
    }


def read_photo(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises ValueError where it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path}: not an image that can be read. Remove it.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def from_folder(folder: Path) -> dict[str, np.ndarray]:
    """All photos of a folder, RGB by name. Raises ValueError where there is none."""
    photos = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            photos[str(path)] = read_photo(path)
    if not photos:
        raise ValueError(f"{folder}: no photos there; {', '.join(SUFFIXES)} files are expected.")
    return photos


def align(photos: dict[str, np.ndarray], detector) -> list[np.ndarray]:
    """The photos on the canvas (SIDE, SIDE, 3) uint8, landmarks at FIVE.

    Raises ValueError, naming the photo, where no face is found.
    """
    aligned = []
    for name, photo in photos.items():
        faces = detector.detect(photo[None])[0]
        if not faces:
            raise ValueError(f"{name}: no face found in this photo. Remove it or crop it closer.")
        face = max(faces, key=lambda f: np.prod(f.box[2:] - f.box[:2]))
        matrix = similarity(face.landmarks, 1, 0.0) * _FACE_SIDE
        matrix[:, 2] += _CORNER
        scale = np.hypot(matrix[0, 0], matrix[1, 0])
        if scale < 1:  # against aliasing
            photo = cv2.GaussianBlur(photo, (0, 0), 0.4 / scale)
        aligned.append(
            cv2.warpAffine(
                photo, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
            )
        )
    return aligned

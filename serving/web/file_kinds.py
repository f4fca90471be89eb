"""Kinds of files by how they begin, to tell who sent what is no video what it is."""

from __future__ import annotations

# How files of the formats begin that are read; what begins otherwise is called unsupported.
SIGNATURES = (
    (0, (b"\x1aE\xdf\xa3", b"FLV", b"\x30\x26\xb2\x75", b"OggS", b"GIF8", b"\x89PNG")),
    (0, (b"\x06\x0e\x2b\x34", b"nut/", b"DKIF", b"\xff\xd8\xff", b"YUV4", b".RMF")),
    (0, (b"\x00\x00\x01", b"\x00\x00\x00\x01", b"\x47", b"\x1f\x07\x00", b"\x12\x00")),
    (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"\x47")),
    (8, (b"AVI ",)),
)


def looks_like_video(head: bytes) -> bool:
    """Whether a file that begins so is of a format that is read."""
    return any(head.startswith(marks, offset) for offset, marks in SIGNATURES)


# Of pictures: (offset, how it goes on there) -> what people call them.
PICTURES = {
    (0, b"\xff\xd8\xff"): "JPEG",
    (0, b"\x89PNG"): "PNG",
    (0, b"GIF8"): "GIF",
    (8, b"WEBP"): "WebP",
    (0, b"II*\0"): "TIFF",
    (0, b"MM\0*"): "TIFF",
    (0, b"8BPS"): "Photoshop",
    (0, b"<svg"): "SVG",
    (0, b"\xff\x0a"): "JPEG XL",
    (4, b"JXL "): "JPEG XL",
    (4, b"jP  "): "JPEG 2000",
    (4, b"ftyphei"): "HEIC",
    (4, b"ftyphev"): "HEIC",
    (4, b"ftypmif1"): "HEIF",
    (4, b"ftypmsf1"): "HEIF",
    (4, b"ftypavi"): "AVIF",
}


def picture_kind(head: bytes) -> str:
    """Which kind of picture begins so; "" for none. Some of these may hold an animation."""
    if head.startswith(b"BM") and head[6:10] == bytes(4):  # which are reserved
        return "BMP"
    for (offset, mark), kind in PICTURES.items():
        if head.startswith(mark, offset):
            return kind
    return ""

"""TFRecord framing: a record's length and data, each followed by a masked CRC-32C.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct

import google_crc32c


def frame(record: bytes) -> bytes:
    """A record as it stands in a TFRecord file: length, data, and a checksum of each."""
    length = struct.pack("<Q", len(record))
    return length + masked_crc(length) + record + masked_crc(record)


def masked_crc(data: bytes) -> bytes:
    """The checksum of the data as it stands in a TFRecord file, four bytes."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

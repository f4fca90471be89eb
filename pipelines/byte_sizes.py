"""Sizes in bytes as people say them."""

from __future__ import annotations


def byte_size(count: int | float) -> str:
    """200 -> "200 bytes", 10_000 -> "10 kB", 1_500_000 -> "1.5 MB", 2_000_000_000 -> "2 GB"."""
    if count < 1000:
        return f"{count:g} bytes"
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{round(count / unit, 1):g} {name}"

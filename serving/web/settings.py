"""Settings of the web application; the flags of `dfdetect web` are derived from them."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pipelines.coverage import ScanSettings
from pipelines.flags import check_fields, option

# Half an hour of 1080p at 25 frames a second, or three minutes of 4K at 60, all decoded. GIF, the
# cheapest to make large, takes 33 s of one core for it.
DECODE_GIGAPIXELS = 100.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """scan: how closely videos are looked at. Raises ValueError for a value that cannot work."""

    model: str = option("", "folder of an exported model, to load in this process")
    model_server: tuple[str, ...] = option(
        (), "address of a model server to ask instead of --model; give several to share the work"
    )
    model_name: str = option("dfdetect", "the model's name on the model server")
    host: str = option("127.0.0.1", "address to listen at")
    port: int = option(8080, "port to listen at; 0: a free one")
    max_bytes: int = option(200_000_000, "largest file")
    max_seconds: float = option(600.0, "longest video, s")
    max_pixels: int = option(3840 * 2160, "largest frame, px in all")
    max_frames: int = option(100_000, "most frames in a video")
    queue: int = option(8, "videos that may wait for their turn")
    workers: int = option(1, "videos analysed at a time, each by a process of its own")
    spares: int = option(1, "warm processes that wait to replace one that had to be ended")
    threads: int = option(0, "threads of a process; 0: one per core")
    ttl: float = option(3600.0, "seconds that a result is kept")
    results: int = option(200, "results kept at a time; the oldest goes first")
    upload_timeout: float = option(900.0, "seconds that an upload may take")
    job_timeout: float = option(300.0, "seconds that the analysis of a video may take")
    worker_memory: int = option(
        2_000_000_000, "bytes that decoding and finding faces may take for a video"
    )
    model_timeout: float = option(60.0, "seconds that the model server may take for an answer")
    token_file: str = option("", "file with a token; who sends no such token is refused")
    folder: str = option("", "where uploads lie until they are analysed (default: a temporary one)")
    scan: ScanSettings = ScanSettings(max_gigapixels=DECODE_GIGAPIXELS)

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "port": (0, 65535),
        "max_bytes": (1, 1e12),
        "max_seconds": (0.1, 1e6),
        "max_pixels": (1, 8192 * 4608),
        "max_frames": (1, 2_000_000),
        "queue": (0, 10_000),
        "workers": (1, 64),
        "spares": (0, 64),
        "threads": (0, 1024),
        "ttl": (1, 1e9),
        "results": (1, 1_000_000),
        "upload_timeout": (1, 1e6),
        "job_timeout": (1, 1e6),
        "worker_memory": (1_000_000, 1e13),
        "model_timeout": (0.1, 1e6),
    }

    def __post_init__(self) -> None:
        check_fields(self)
        if bool(self.model) == bool(self.model_server):
            raise ValueError("Give either --model DIR or --model-server URL.")

    @property
    def places(self) -> int:
        """Videos that may be on their way at a time: coming in, waiting and being analysed."""
        return self.queue + self.workers

    def upload_folder(self) -> Path:
        return Path(self.folder or Path(tempfile.gettempdir()) / f"dfdetect-web-{os.getuid()}")

    def token(self) -> str | None:
        """Raises OSError where the file cannot be read, ValueError where it holds too little."""
        if not self.token_file:
            return None
        token = Path(self.token_file).read_text().strip()
        if len(token) < 16:
            raise ValueError(
                f"{self.token_file}: the token has {len(token)} characters, at least 16 are "
                "needed. Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        return token

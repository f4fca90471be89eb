"""Settings of the web application; the flags of `dfdetect web` are derived from them."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pipelines.coverage import ScanSettings
from pipelines.flags import check_fields, option
from serving.analysis.settings import ModelSettings
from serving.provenance.settings import ProvenanceSettings
from serving.web.authority import authority
from serving.web.token_strength import check_strength

CORES_PER_WORKER = 2  # decoding and finding faces of one video keep about so many busy
MOST_WORKERS = 8  # that are started unasked: each holds 1 GB


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


# Half an hour of 1080p at 25 frames a second, or three minutes of 4K at 60, all decoded. GIF, the
# cheapest to make large, takes 33 s of one core for it.
DECODE_GIGAPIXELS = 100.0


@dataclasses.dataclass(frozen=True)
class Settings(ModelSettings):
    """scan: how closely videos are looked at. provenance: what is told of files. Raises ValueError
    for a value that cannot work."""

    host: str = option("127.0.0.1", "address to listen at")
    port: int = option(8080, "port to listen at; 0: a free one")
    max_bytes: int = option(200_000_000, "largest file")
    max_seconds: float = option(600.0, "longest video, s")
    max_pixels: int = option(3840 * 2160, "largest frame, px in all")
    max_frames: int = option(100_000, "most frames in a video")
    queue: int = option(8, "videos that may wait for their turn")
    workers: int = option(
        0, "videos analysed at a time, each by a process of its own; 0: one per two cores, up to 8"
    )
    spares: int = option(1, "warm processes that wait to replace one that had to be ended")
    threads: int = option(0, "threads of a process; 0: its share of the cores")
    ttl: float = option(3600.0, "seconds that a result is kept")
    results: int = option(
        200, "results kept at a time; who sent most of them loses their oldest first"
    )
    results_bytes: int = option(500_000_000, "bytes of results kept at a time")
    review_dir: str = option(
        "",
        "folder for reviews of verdicts, a CSV manifest to train on, and for videos that reviewers "
        "leave (default: no reviews are taken)",
    )
    review_bytes: int = option(20_000_000_000, "bytes that such videos may take in all")
    results_dir: str = option(
        "", "folder in which results outlive the server (default: in memory only)"
    )
    drain_timeout: float = option(
        25.0, "seconds that a video at work may still take once the server was told to end"
    )
    upload_timeout: float = option(900.0, "seconds that an upload may take")
    upload_rate: float = option(10_000.0, "bytes per second that an upload must bring")
    upload_grace: float = option(
        10.0, "seconds in all that an upload may be behind its rate; being ahead makes up for it"
    )
    uploads: int = option(
        0,
        "uploads that may come in at a time, half of them from one client; 0: twice as many as "
        "videos may wait and be analysed, at least 64",
    )
    job_timeout: float = option(300.0, "seconds that the analysis of a video may take")
    worker_memory: int = option(
        2_000_000_000, "bytes that decoding and finding faces may take for a video"
    )
    model_timeout: float = option(60.0, "seconds that the model server may take for an answer")
    token_file: str = option("", "file with a token; who sends no such token is refused")
    keys_file: str = option(
        "", "file of API keys (dfdetect web keys --help); who sends none of them is refused"
    )
    audit_log: str = option("", "file to which a line is appended for each video's end")
    folder: str = option("", "where uploads lie until they are analysed (default: a temporary one)")
    connections: int = option(
        1000, "connections at a time; at most half of the process's limit of open files"
    )
    client_connections: int = option(
        256, "connections at a time of one client: an IPv4 address, or an IPv6 /64 prefix"
    )
    header_timeout: float = option(10.0, "seconds that the header of a request may take")
    trusted_proxy: tuple[str, ...] = option(
        (), "address or network of a proxy whose X-Forwarded-For names the client; give several"
    )
    allowed_host: tuple[str, ...] = option(
        (),
        "name, or name:port, by which browsers reach this server, beside localhost, addresses and "
        "--host; give several",
    )
    scan: ScanSettings = ScanSettings(max_gigapixels=DECODE_GIGAPIXELS)
    provenance: ProvenanceSettings = ProvenanceSettings()

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "port": (0, 65535),
        "max_bytes": (1, 1e12),
        "max_seconds": (0.1, 1e6),
        "max_pixels": (1, 8192 * 4608),
        "max_frames": (1, 2_000_000),
        "queue": (0, 10_000),
        "workers": (0, 64),
        "spares": (0, 64),
        "threads": (0, 1024),
        "ttl": (1, 1e9),
        "results": (1, 1_000_000),
        "review_bytes": (0, 1e13),
        "results_bytes": (1_000_000, 1e13),
        "drain_timeout": (0, 1e5),
        "upload_timeout": (1, 1e6),
        "upload_rate": (1, 1e9),
        "upload_grace": (0.1, 1e6),
        "uploads": (0, 10_000),
        "connections": (2, 1_000_000),
        "client_connections": (2, 1_000_000),
        "header_timeout": (0.1, 1e6),
        "job_timeout": (1, 1e6),
        "worker_memory": (1_000_000, 1e13),
        "model_timeout": (0.1, 1e6),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self)
        if self.token_file and self.keys_file:
            raise ValueError("Give either --token-file or --keys-file, with a key for each user.")
        self.proxies()
        for given in self.allowed_host:
            if authority(given) is None:
                raise ValueError(f"--allowed-host is {given!r}; give a name, or name:port.")

    @property
    def places(self) -> int:
        """Videos that may be there at a time, waiting and being analysed."""
        return self.queue + self.processes

    @property
    def processes(self) -> int:
        """Videos that are analysed at a time."""
        return self.workers or min(MOST_WORKERS, max(1, cores() // CORES_PER_WORKER))

    @property
    def threads_each(self) -> int:
        """Threads of one process."""
        return self.threads or max(1, cores() // self.processes)

    @property
    def most_uploads(self) -> int:
        """Uploads that may be under way at a time: twice the places, at least 64, unless given."""
        return self.uploads or max(64, 2 * self.places)

    @property
    def uploads_of_client(self) -> int:
        """Those of one client: half."""
        return max(1, self.most_uploads // 2)

    def proxies(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Networks of the trusted proxies. Raises ValueError."""
        try:
            return [ipaddress.ip_network(given) for given in self.trusted_proxy]
        except ValueError as error:
            raise ValueError(
                f"--trusted-proxy: {error}. Give an address or a network, such as 10.0.0.0/8."
            ) from error

    def upload_folder(self) -> Path:
        return Path(self.folder or Path(tempfile.gettempdir()) / f"dfdetect-web-{os.getuid()}")

    def token(self) -> str | None:
        """Raises OSError where the file cannot be read, ValueError for a token that is too weak."""
        if not self.token_file:
            return None
        token = Path(self.token_file).read_text().strip()
        try:
            check_strength(token)
        except ValueError as error:
            raise ValueError(f"{self.token_file}: {error}") from error
        return token

"""Prometheus metrics of the web application."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)


class Metrics:
    """Of one application; several may live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dfdetect_web_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.jobs = Counter(
            "dfdetect_web_jobs",
            "Jobs that have ended, by state.",
            ("state",),
            registry=self.registry,
        )
        self.problems = Counter(
            "dfdetect_web_problems", "Problems, by type.", ("type",), registry=self.registry
        )
        self.workers = Counter(
            "dfdetect_web_worker_starts", "Decoding processes started.", registry=self.registry
        )
        self.seconds = Histogram(
            "dfdetect_web_job_seconds",
            "Seconds from the start of a job to its end.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.uploads = Gauge("dfdetect_web_uploads", "Uploads under way.", registry=self.registry)
        self.closed = Counter(
            "dfdetect_web_connections_closed",
            "Connections closed to keep a bound: on their number, on the time of a request's "
            "header, on the time in which a client takes an answer.",
            ("reason",),
            registry=self.registry,
        )
        self.waiting = Gauge("dfdetect_web_waiting", "Jobs in the queue.", registry=self.registry)
        self.running = Gauge("dfdetect_web_running", "Jobs at work.", registry=self.registry)

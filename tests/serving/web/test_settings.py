"""Settings of the web application: what follows from the machine."""

import pytest

from serving.web import settings as module
from serving.web.settings import Settings


@pytest.mark.parametrize(
    ("cores", "given", "processes", "threads"),
    [
        (1, {}, 1, 1),
        (2, {}, 1, 2),
        (4, {}, 2, 2),
        (7, {}, 3, 2),
        (64, {}, 8, 8),
        (4, {"workers": 3}, 3, 1),
        (2, {"workers": 4}, 4, 1),
        (4, {"threads": 3}, 2, 3),
    ],
)
def test_workers_share_the_cores(monkeypatch, cores, given, processes, threads):
    monkeypatch.setattr(module, "cores", lambda: cores)
    settings = Settings(model=("x",), **given)
    assert (settings.processes, settings.threads_each) == (processes, threads)
    assert settings.places == settings.queue + processes

"""The site of docs/: built strictly, with reference pages made of the code."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dfdetect.commands import COMMANDS
from tests.fixtures import ROOT

pytestmark = [pytest.mark.pages, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Its folder. Strict: a link or an anchor that is not there, or a page in no menu, fails it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_command_is_there_with_its_help(site):
    said = text(site / "reference" / "commands.html")
    assert [name for name in COMMANDS if f"usage: dfdetect {name}" not in said] == []
    assert "pip install 'dfdetect[train]'" in said and "--max-clips" in said


def test_the_web_api_and_the_metrics_are_there(site):
    said = text(site / "reference" / "api.html")
    assert "POST /api/v1/jobs" in said and "DELETE /api/v1/jobs/" in said
    assert '"openapi"' in (site / "reference" / "openapi.json").read_text()
    assert "EvaluationResult" in text(site / "reference" / "metrics.html")
    assert (site / "metrics.schema.json").is_file()


def test_the_pages_that_lie_elsewhere_are_there(site):
    names = {page.stem for page in (site / "project").glob("*.html")}
    assert names == {"quickstart", "contributing", "security", "changes", "examples", "recipes"}
    assert "make demo" in text(site / "project" / "quickstart.html")


def test_no_page_loads_anything_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe|link)\b[^>]*?(?:src|href)="(https?://[^"]+)"', page.read_text()
        )
        assert loaded == [], page

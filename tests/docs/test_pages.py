"""What the pages point at is there, and what machines read of them is valid."""

import re
import subprocess
import sys

import pytest

from tests.fixtures import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("recipes/*.md"),
        *ROOT.glob(".github/*.md"),
    ]
)
FOLDERS = "dfdetect|pipelines|trainer|serving|beam_options|tests|docs|benchmarks|examples|recipes"
# A path from the root; not the rest of a longer one or of an address.
PATH = re.compile(rf"(?<![\w/.:$-])((?:{FOLDERS}|\.github|\.ci)/[\w./*-]*)")
# An exported model is called dfdetect too, and so is the image's repository.
OF_A_MODEL = re.compile(r"dfdetect/(\d+|labels|versions|(?:litert|openvino|onnx)-\d+|worker)?(/|$)")
DOTTED = re.compile(rf"`((?:{FOLDERS})(?:\.\w+)+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
WORDS = "models? of time|(?:gone|goes) on (?:with|from)|told by|key frames?"


def page_id(page) -> str:
    return str(page.relative_to(ROOT))


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_path_that_a_page_names_is_there(page):
    paths = {path.rstrip("./") for path in PATH.findall(page.read_text())}
    missing = [p for p in paths if not OF_A_MODEL.match(p) and not list(ROOT.glob(p))]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_module_that_a_page_names_is_there(page):
    """A dotted name is a module, or something within one."""
    for name in DOTTED.findall(page.read_text()):
        path = ROOT.joinpath(*name.split("."))
        assert any(
            place.is_dir() or place.with_suffix(".py").is_file() for place in (path, path.parent)
        ), name


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_between_pages_leads_somewhere(page):
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        name, _, place = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():  # docs/decisions.md may be linked to as `decisions`
            target = target.with_suffix(".md")
        assert target.exists(), link
        assert not place or place in anchors(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_page_uses_the_words_of_the_field(page):
    assert re.findall(rf"\b(?:{WORDS})\b", page.read_text(), re.I) == []


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [name for name in sorted(pages) if f"({name})" not in index] == []


def test_every_term_of_the_glossary_says_what_it_means_and_where_it_lives():
    rows = re.findall(
        r"^\| (?!word|---)(.+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.M
    )
    assert len(rows) > 50
    for row in rows:
        term, meaning, module = row.split(" | ")
        assert term and meaning and PATH.search(module), row


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-workflows", ".github/workflows/ci.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/idea.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_a_file_that_a_service_reads_follows_its_schema(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, str(ROOT / file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

"""Pages of the site that lie elsewhere in the project, and the links between all of them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# A file of the project -> its page. Relative to the project's root and to docs/.
OUTSIDE = {
    "README.md": "project/quickstart.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changes.md",
    "examples/README.md": "project/examples.md",
    "recipes/README.md": "project/recipes.md",
}
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs' event: adds the pages to those that lie in docs/."""
    root = Path(config.config_file_path).parent
    for source, page in OUTSIDE.items():
        text = (root / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """MkDocs' event: turns links between files of the project into links between pages."""
    name = page.file.src_uri
    sources = {to: source for source, to in OUTSIDE.items()}
    return with_links(markdown, sources.get(name, f"docs/{name}"), name)


def with_links(markdown: str, source: str, page: str) -> str:
    """Links as the page needs them that are relative to the source, a file of the project."""

    def rewritten(match: re.Match[str]) -> str:
        link = match[1]
        if "://" in link:
            return link
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        target = OUTSIDE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(page) or ".")

    return LINK.sub(rewritten, markdown)

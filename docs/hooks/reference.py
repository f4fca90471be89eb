"""Reference pages made of the code when the site is built: commands, web API, metrics.json."""

from __future__ import annotations

import contextlib
import io
import json
import os
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from dfdetect.__main__ import main
from dfdetect.commands import COMMANDS, EXTRAS
from dfdetect.extras import how_to_install
from pipelines.dataclass_json import json_schema
from serving.web.app import create_app
from serving.web.settings import Settings
from trainer.evaluation.result import EvaluationResult

METHODS = ("get", "post", "put", "patch", "delete")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs' event: adds the pages to those that lie in docs/."""
    openapi = create_app(Settings(model_server=("http://127.0.0.1:8501",))).openapi()
    pages = {
        "reference/commands.md": commands_page(),
        "reference/api.md": api_page(openapi),
        "reference/openapi.json": json.dumps(openapi, indent=1),
        "reference/metrics.md": metrics_page(json_schema(EvaluationResult)),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def help_text(name: str) -> str:
    """What `dfdetect NAME --help` prints on a terminal of 100 columns."""
    out, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main([name, "--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return out.getvalue()


def commands_page() -> str:
    parts = ["# Commands\n\nExit codes: 0 done, 1 the work failed, 2 wrong usage, 130 Ctrl-C.\n"]
    for name, summary in COMMANDS.items():
        needs = f" `{how_to_install(EXTRAS[name])}`." if name in EXTRAS else ""
        parts.append(f"## {name}\n\n{summary}.{needs}\n\n```text\n{help_text(name)}```\n")
    return "\n".join(parts)


def api_page(openapi: dict[str, Any]) -> str:
    """The routes of an OpenAPI description, a section for each, and its schemas."""
    parts = [
        f"# Web API\n\n{openapi['info']['description']} The whole description: "
        "[openapi.json](openapi.json), which a server has at `/api/v1/openapi.json`.\n"
    ]
    for path, operations in openapi["paths"].items():
        for method in METHODS:
            if method in operations:
                parts.append(_operation(f"{method.upper()} {path}", operations[method]))
    parts.append("## Schemas\n")
    for name, schema in openapi["components"]["schemas"].items():
        parts.append(_table_of_fields(name, schema))
    return "\n".join(parts)


def _operation(title: str, operation: dict[str, Any]) -> str:
    words = operation.get("description") or operation.get("summary", "")
    lines = [f"## `{title}`", "", words, ""]
    for parameter in operation.get("parameters", []):
        what = parameter.get("description") or _type(parameter.get("schema", {}))
        lines.append(f"- `{parameter['name']}` ({parameter['in']}): {what}")
    lines += ["", "| answer | |", "| --- | --- |"]
    for status, answer in operation["responses"].items():
        lines.append(f"| {status} | {_cell(answer.get('description', ''))} |")
    return "\n".join([*lines, ""])


def metrics_page(schema: dict[str, Any]) -> str:
    """The classes of a JSON Schema, a table of fields for each."""
    parts = [
        "# metrics.json\n\nWhat `dfdetect evaluate` writes, an `EvaluationResult`. "
        "Its JSON Schema: [metrics.schema.json](../metrics.schema.json); what the figures mean: "
        "[evaluation](../evaluation.md).\n"
    ]
    first = schema["$ref"].rpartition("/")[2]
    for name in sorted(schema["$defs"], key=lambda name: (name != first, name)):
        parts.append(_table_of_fields(name, schema["$defs"][name]))
    return "\n".join(parts)


def _table_of_fields(name: str, schema: dict[str, Any]) -> str:
    lines = [f"### {name}", "", schema.get("description", ""), ""]
    required = schema.get("required", [])
    if schema.get("properties"):
        lines += ["| field | type | always there | |", "| --- | --- | --- | --- |"]
    for field, value in schema.get("properties", {}).items():
        always = "yes" if field in required else ""
        words = _cell(value.get("description", ""))
        lines.append(f"| `{field}` | {_type(value)} | {always} | {words} |")
    return "\n".join([*lines, ""])


def _type(schema: dict[str, Any] | bool) -> str:
    """A JSON Schema's type in a few words, with links to those that have a name."""
    if isinstance(schema, bool):
        return "any"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(map(_type, schema[several]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

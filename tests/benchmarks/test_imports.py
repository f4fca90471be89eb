"""What a benchmark imports from the project is there: no test runs most of them."""

import ast
from pathlib import Path

import pytest

from tests.fixtures import ROOT

PACKAGES = ("beam_options", "benchmarks", "dfdetect", "pipelines", "serving", "trainer")
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def names_in(module: Path) -> set[str]:
    """What a module defines or imports at its top level; of a package, its modules too."""
    source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    names = {path.stem for path in module.glob("*")}
    for node in ast.parse(source.read_text()).body if source.is_file() else []:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(benchmark):
    imports = [n for n in ast.walk(ast.parse(benchmark.read_text())) if type(n) is ast.ImportFrom]
    for node in imports:
        if (node.module or "").partition(".")[0] in PACKAGES:
            there = names_in(ROOT.joinpath(*node.module.split(".")))
            missing = {alias.name for alias in node.names} - there
            assert not missing, f"line {node.lineno}: {node.module} has no {missing}"

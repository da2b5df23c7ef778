"""The example notebooks, cell by cell: each runs in an empty folder, and what it shows can be shown."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def cells(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return notebook["cells"]


def run(source, names):
    """Run a cell; what its last line is, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "a cell", "exec"), names)  # noqa: S102 - our own notebook
    return eval(compile(ast.Expression(last.value), "a cell", "eval"), names) if last is not None else None  # noqa: S307


def shown(value):
    """What a notebook puts below a cell: a picture or a table where the value has one, else its text."""
    for form in ("_repr_png_", "_repr_html_"):
        if hasattr(value, form):
            return getattr(value, form)()
    return repr(value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, here):
    names = {}
    pictures = 0
    for cell in cells(path):
        if cell["cell_type"] == "code":
            output = shown(run("".join(cell["source"]), names))
            pictures += isinstance(output, bytes)
            assert len(output) < 2000 or isinstance(output, bytes) or output.startswith("<")
    assert pictures == 2
    assert (here / "notebook.onnx").is_file()
    assert names["outcome"].history[-1].evaluations[0].top1 > 0.5  # four classes: chance is 0.25


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_its_output(path):
    assert [cell["id"] for cell in cells(path) if cell.get("outputs") or cell.get("execution_count")] == []


def test_there_is_a_notebook():
    assert [path.stem for path in NOTEBOOKS] == ["first_network"]

"""Examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import n2nsurgery

PACKAGE = Path(n2nsurgery.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def failures(module):
    runner = doctest.DocTestRunner(verbose=False)
    said = []
    for example in doctest.DocTestFinder().find(module):
        runner.run(example, out=said.append)
    return runner.summarize(verbose=False).failed, "".join(said)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_docstring_are_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures(importlib.import_module(name)) == (0, "")


def test_the_verbs_of_the_package_have_examples():
    assert {"apply", "inspect", "load", "report"} <= {name.rpartition(".")[2] for name in WITH_EXAMPLES}


def test_a_planted_falsehood_is_found():
    module = type(doctest)("planted")
    module.__doc__ = ">>> 1 + 1\n3\n"
    assert failures(module)[0] == 1

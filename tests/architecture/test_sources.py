"""Rules that hold for every source file, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import n2nsurgery

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in ("n2nsurgery", "cli")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
TREES = {name: ast.parse(text) for name, text in SOURCES.items()}
MOST_LINES = 300
MOST_FILES = 12
MOST_LINES_OF_A_FUNCTION = 40

# What turns data into code, or draws from a generator that is nobody's argument.
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.popen",
    "os.system",
    "subprocess.getoutput",
    "torch.load",
    "torch.save",
    "torch.export.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.manual_seed",
    "torch.seed",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
    "yaml.unsafe_load_all",
    "pandas.read_pickle",
    "np.load",
    "numpy.load",
    "np.random.seed",
    "random.seed",
    "print",
}
FORBIDDEN_ARGUMENTS = {"shell=True", "trust_remote_code=True", "allow_pickle=True", "weights_only=False"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
NO_HOMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def restored(module: ast.Module) -> set[ast.AST]:
    """Everything inside `with torch.random.fork_rng(...)`, after which the global generator is as it was."""
    blocks = [node for node in ast.walk(module) if isinstance(node, ast.With)]
    forked = [block for block in blocks if any("fork_rng(" in ast.unparse(item) for item in block.items)]
    return {node for block in forked for node in ast.walk(block)}


SAFE_LOADS = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}


def loads_numbers_only(call: ast.Call) -> bool:
    """A call with the argument that makes it refuse whatever is no array or tensor."""
    return SAFE_LOADS.get(ast.unparse(call.func)) in map(ast.unparse, call.keywords)


def dangers(module: ast.Module) -> Iterator[str]:
    safe = restored(module)
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or node in safe or loads_numbers_only(node):
            continue
        if ast.unparse(node.func) in FORBIDDEN_CALLS:
            yield f"line {node.lineno}: {ast.unparse(node.func)}()"
        for argument in node.keywords:
            if ast.unparse(argument) in FORBIDDEN_ARGUMENTS:
                yield f"line {node.lineno}: {ast.unparse(argument)}"
    for node in ast.walk(module):
        imported = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in imported:
            if name.partition(".")[0] in FORBIDDEN_MODULES:
                yield f"line {node.lineno}: import {name}"


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def statements(function: ast.FunctionDef) -> int:
    """Lines of a function's body: neither its signature nor its docstring, which explain and do nothing."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_source_can_run_what_it_reads():
    assert {name: found for name, tree in TREES.items() if (found := list(dangers(tree)))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "eval('1')",
        "torch.manual_seed(0)",
        "import pickle",
        "run('ls', shell=True)",
        "load(path, weights_only=False)",
        "from pickle import load",
        "import torch\ntorch.load('x')",
        "import numpy as np\nnp.load('x')",
        "def f():\n  print(1)",
    ],
)
def test_a_planted_danger_is_found(planted):
    assert len(list(dangers(ast.parse(planted)))) == 1


def reaches_process_groups(module: ast.Module) -> bool:
    """Whether a file names torch.distributed; import-linter sees no deeper into other packages than their name."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("torch.distributed"):
            return True
        if isinstance(node, ast.Import) and any(a.name.startswith("torch.distributed") for a in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if any(name.startswith("torch.distributed") for name in names):
                return True
    return False


def test_only_one_place_knows_of_process_groups():
    found = {name for name, tree in TREES.items() if reaches_process_groups(tree)}
    folder = Path("n2nsurgery", "training", "distributed")
    assert found == {str(folder / name) for name in ("distributed.py", "distributed_launch.py")}


@pytest.mark.parametrize(
    "planted",
    [
        "import torch\ntorch.distributed.barrier()",
        "import torch.distributed as dist",
        "from torch import distributed",
        "from torch.distributed import barrier",
    ],
)
def test_a_planted_process_group_is_found(planted):
    assert reaches_process_groups(ast.parse(planted))


def test_a_file_holds_one_idea_in_a_readable_size():
    sizes = {name: len(text.splitlines()) for name, text in SOURCES.items()}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}
    assert [name for name in SOURCES if Path(name).name in NO_HOMES] == []


def is_registry(folder: Path) -> bool:
    """Whether the files of a folder are members: of one of our registries, or the commands of the program."""
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    return "one file each" in text


def test_a_folder_is_taken_in_at_a_glance():
    folders = {(ROOT / name).parent for name in SOURCES}
    counts = {
        str(folder.relative_to(ROOT)): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
        if not is_registry(folder)
    }
    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


def test_functions_are_short():
    functions = [(name, node) for name, tree in TREES.items() for node in ast.walk(tree) if is_function(node)]
    long = {f"{name}: {f.name}": statements(f) for name, f in functions if statements(f) > MOST_LINES_OF_A_FUNCTION}
    assert long == {}


def test_a_file_says_what_it_is_about():
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_the_public_names_are_few_and_all_there():
    assert 1 <= len(n2nsurgery.__all__) <= 18
    assert [name for name in n2nsurgery.__all__ if not hasattr(n2nsurgery, name)] == []

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(root), str(root / "cli")])
    return subprocess.run(
        [LINTER, "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def loaded_modules(code: str) -> set[str]:
    """The top-level modules that are loaded after `code` ran in a fresh interpreter."""
    listing = "import sys; print('\\n', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    finished = subprocess.run([sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True)
    return set(finished.stderr.split())


def test_dependencies_keep_their_direction():
    finished = lint_imports(ROOT)
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("n2nsurgery/core/files.py", "import n2nsurgery.graph", "Dependencies point one way"),
        ("n2nsurgery/masks/planted.py", "import n2nsurgery.skips", "Dependencies point one way"),
        ("n2nsurgery/planted/__init__.py", "", "Dependencies point one way"),
        ("n2nsurgery/core/files.py", "import rich", "Only the command line draws"),
        ("n2nsurgery/core/files.py", "import n2nsurgery_cli.main", "Only the command line draws"),
        ("n2nsurgery/surgery/planted.py", "import onnx", "Only export knows ONNX"),
        (
            "n2nsurgery/training/planted.py",
            "import n2nsurgery.data.pipeline.batch\nimport n2nsurgery.surgery",
            "Training knows nothing",
        ),
        ("n2nsurgery/training/planted.py", "import pydantic", "Only recipes know YAML"),
        ("n2nsurgery/masks/criteria/planted.py", "import n2nsurgery.masks.criteria.random", "Members of a registry"),
        ("n2nsurgery/data/sets/planted.py", "import n2nsurgery.data.sets.mnist", "Members of a registry"),
        ("n2nsurgery/experiments/targets/fig3.py", "import n2nsurgery.experiments.targets.fig4", "Experiments never"),
        ("n2nsurgery/__main__.py", "import n2nsurgery.experiments.trials.sweep", "Only the command line runs"),
        (
            "n2nsurgery/graph/channels/from_torch/call.py",
            "import n2nsurgery.graph.channels.from_torch.recording",
            "No two siblings",
        ),
    ],
)
def test_a_planted_import_breaks_its_contract(tmp_path, file, line, contract):
    for source in ("n2nsurgery", "cli"):
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    with (tmp_path / file).open("a") as planted:
        planted.write(f"\n{line}\n")
    finished = lint_imports(tmp_path)
    assert finished.returncode == 1
    assert any(contract in text and "BROKEN" in text for text in finished.stdout.splitlines()), finished.stdout


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_modules("import n2nsurgery") & {"torch", "numpy", "onnx", "rich", "typer"} == set()


COMMANDS = ("", "apply", "train", "eval", "recipe check", "export", "inspect", "report", "diff", "models", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command):
    arguments = ["n2nsurgery", *command.split(), "--help"]
    run = f"import contextlib, sys; sys.argv = {arguments}\nfrom n2nsurgery_cli.main import main"
    loaded = loaded_modules(f"{run}\nwith contextlib.suppress(SystemExit): main()")
    assert "typer" in loaded
    assert loaded & {"torch", "numpy", "onnx", "rich", "jinja2", "yaml"} == set()


def test_the_package_runs_as_a_module():
    finished = subprocess.run(
        [sys.executable, "-m", "n2nsurgery", "--help"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert finished.stdout.startswith("Usage: n2nsurgery")
    assert finished.stderr == ""

"""The package in examples/plugin, installed beside ours: from the command line, from recipes and in Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

import n2nsurgery
from n2nsurgery import plugins, registries
from n2nsurgery.core.registry import Registry

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
APPLY = ("apply", "mlp", "--density", "0.1", "--quiet")
MY_SCORE = """
import n2nsurgery
from n2n_example.scaled_magnitude import ScaledMagnitude

print("imported")
n2nsurgery.register.criterion("my-score")(ScaledMagnitude)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the example as an installer leaves it: its modules, and metadata with its entry points."""
    root = tmp_path_factory.mktemp("site-packages")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "n2n_example", root / "n2n_example")
    folder = root / f"n2n_example-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    )
    (folder / "entry_points.txt").write_text("\n".join(groups))
    return root


@pytest.fixture(autouse=True)
def installed(site, here, monkeypatch):  # noqa: ARG001 - it works in an empty folder
    """The example on the path; whatever was imported and registered is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    _forget()
    yield
    _forget()


def _forget() -> None:
    plugins._IMPORTED.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in {"n2n_example", "my_score"}]:
        del sys.modules[name]
    for registry in vars(registries).values():
        if isinstance(registry, Registry):
            registry._registered.clear()


def python(code: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own, with the example installed where `site` is given."""
    path = os.pathsep.join([*([str(site)] if site else []), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )


def config_of(folder: str) -> dict:
    return json.loads(Path(folder, "plan.json").read_text())["config"]


HELP = """
import sys
from n2nsurgery_cli.main import app
try:
    app(["apply", "--help"])
except SystemExit:
    assert not {"n2n_example", "torch", "numpy"} & set(sys.modules)
"""


def test_help_lists_what_is_installed_and_imports_nothing(site):
    shown = python(HELP, site)
    assert shown.returncode == 0, shown.stderr
    assert "scaled-magnitude" in shown.stdout
    assert "channel-mean" in shown.stdout


LOAD = """
from n2nsurgery import load
from n2nsurgery.core.errors import InvalidFileError
print(load("scored").plan.config.criterion)
try:
    load("skipped")
except InvalidFileError as error:
    print(error)
"""


def test_an_artifact_needs_the_package_for_its_skips_alone(program):
    for arguments in (
        ("--criterion", "scaled-magnitude", "--skip", "none", "--output", "scored"),
        ("--skip", "channel-mean", "--output", "skipped"),
    ):
        applied = program(*APPLY, *arguments)
        assert applied.code == 0, applied.stderr
    assert config_of("scored")["criterion"] == "scaled-magnitude"
    assert n2nsurgery.load("skipped").plan.config.skip == "channel-mean"
    criterion, refusal = python(LOAD).stdout.splitlines()
    assert criterion == "scaled-magnitude"
    assert "skip kind 'channel-mean'" in refusal
    assert "it came from n2n_example.channel_mean:ChannelMean (installed by n2n-example 0.1.0)" in refusal
    assert "--plugin n2n_example.channel_mean" in refusal


def test_a_recipe_trains_on_a_foreign_data_set_with_a_foreign_criterion_and_skip(program):
    shutil.copy(EXAMPLE / "spirals.yaml", ".")
    trained = program("train", "spirals.yaml", "--output", "run", "--quiet")
    assert trained.code == 0, trained.stderr
    resolved = Path("run", "recipe.yaml").read_text()
    assert "name: spirals" in resolved
    assert "criterion: scaled-magnitude" in resolved


def test_a_report_has_the_foreign_metric(program):
    reported = program("report", "mnist-cl", "--json")
    assert reported.code == 0, reported.stderr
    assert "fan-in-spread" in reported.stdout


def test_a_module_named_as_plugin_registers_its_members_and_leaves_stdout_alone(program):
    Path("my_score.py").write_text(MY_SCORE)
    applied = program(*APPLY, "--criterion", "my-score", "--skip", "none", "--plugin", "my_score", "--output", "mine")
    assert (applied.code, applied.stdout) == (0, "mine\n"), applied.stderr
    assert config_of("mine")["criterion"] == "my-score"


def test_plugins_can_come_from_the_environment(program, monkeypatch):
    Path("my_score.py").write_text(MY_SCORE)
    monkeypatch.setenv("N2NSURGERY_PLUGINS", "my_score")
    planned = program("apply", "mlp", "--density", "0.1", "--criterion", "my-score", "--skip", "none", "--dry-run")
    assert planned.code == 0, planned.stderr


def test_a_plugin_that_is_missing_is_wrong_usage(program):
    refused = program(*APPLY, "--plugin", "my_scores")
    assert refused.code == 2
    assert "the plugin 'my_scores' is not found" in refused.stderr


RECIPE = """
version: 2
plugins: [my_score]
model: {name: mlp, options: {widths: [8, 8]}}
data: {name: fake, shape: [8], classes: 3, train: 30, test: 15}
surgery: {density: 0.5, criterion: my-score, skip: none}
train: {epochs: 1, batch_size: 15}
"""


def test_a_recipes_plugins_run_only_where_that_is_allowed(program):
    Path("my_score.py").write_text(MY_SCORE)
    Path("mine.yaml").write_text(RECIPE.lstrip())
    refused = program("train", "mine.yaml", "--output", "run", "--quiet")
    assert refused.code == 3
    assert "mine.yaml:2:10: plugins: importing my_score runs code; allow it with --allow-import" in refused.stderr
    assert "my_score" not in sys.modules
    trained = program("train", "mine.yaml", "--output", "run", "--quiet", "--allow-import")
    assert trained.code == 0, trained.stderr
    assert "plugins:\n- my_score" in Path("run", "recipe.yaml").read_text()


def test_python_takes_an_object_of_the_plugin():
    from n2n_example.scaled_magnitude import ScaledMagnitude

    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    pruned = n2nsurgery.apply(
        net, density=0.5, skip="none", example_inputs=torch.zeros(2, 8), criterion=ScaledMagnitude(power=1.0)
    )
    assert pruned.plan.config.criterion == "scaled-magnitude"
    assert dict(pruned.plan.config.criterion_options) == {"power": 1.0}
    assert pruned.masks.kept == 48

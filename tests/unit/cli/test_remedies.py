"""Remedies of a report are commands, and every one of them runs."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
import torch
from torch import nn

import n2nsurgery
from n2nsurgery.connectivity.report.report import report
from n2nsurgery.masks.criteria.snip import Snip
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of
from n2nsurgery.pipelines.connectivity.making_of import making_of
from n2nsurgery.pipelines.saved.run_folder import RUN

NET = """
from torch import nn

def conv(before, after):
    return nn.Conv2d(before, after, 3, padding=1), nn.ReLU()

def net():
    layers = *conv(3, 8), *conv(8, 16), *conv(16, 16), *conv(16, 16), *conv(16, 16)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
"""
MODEL = ("net.py:net", "--input-size", "3x8x8")
RECIPE = """
version: 2
model: {name: cifar-plain17}
data: {name: fake, train: 64, validation: 32, test: 32}
surgery: {sparsity: 0.99, criterion: snip, batch_size: 8}
train: {epochs: 1, batch_size: 8}
"""


@pytest.fixture
def found(program, tmp_path, monkeypatch):
    """The report on the network that `apply net.py:net OPTIONS` makes."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)

    def of(options):
        finished = program("apply", *MODEL, *shlex.split(options), "-o", "made", "--overwrite", "-q")
        assert finished.code == 0, finished.stderr
        return report(subject_of("made", allow_import=True))

    return of


def commands(reported):
    return {each.topic: each.command for each in reported.findings if each.command}


ADVISED = {
    "--density 0.02 --skip none": {"Heat": "--skip residual", "Thinnest layer": "--density 0.04"},
    "--density 0.2 --skip none --allocation later-denser": {
        "Dead channels": "--allocation erk",
        "Heat": "--skip n2n",
        "Bottleneck of heat": "--junction-density 0=0.0648",
    },
    "--density 0.3 --skip none --allocation later-denser --ignore 12": {"Thinnest layer": "--ignore 12 --ignore 0"},
    "--density 0.04 --criterion snip --ignore 12": {
        "Dead channels": "--keep-alive",
        "Spreading": "--criterion random --ignore 12",
    },
    "--density 0.02 --criterion grasp --criterion-option temperature=2": {
        "Paths": "--keep-alive --criterion-option temperature=2",
        "Spreading": "--criterion random",
    },
    "--density 0.1 --criterion snip --keep-alive": {"Dead channels": "--floor-channel 3"},
    "--compression 60 --criterion magnitude --floor-channel 1 --skip residual": {"Dead channels": "--density 0.0333"},
    "--density 0.08 --criterion snip --skip-ratio 0.6 --skip-length 2 --skip-pattern random --keep-alive": {
        "Dead channels": "--density 0.16 --redistribute --skip-length 2"
    },
    "--junction-density 2=0.01 --junction-density 4=0.005": {
        "Dead channels": "--junction-density 2=0.02 --junction-density 4=0.01"
    },
    "--density 0.015 --junction-density 2=0.01": {"Dead channels": "--density 0.03 --junction-density 2=0.02"},
    "--density 0.13033175355450238 --criterion expander --skip none": {"Heat": "--skip residual"},
    "--macs 0.01 --allocation uniform": {"Paths": "--macs 0.02 --allocation uniform"},
}
"""How a network was pruned, and what commands of its report change, by the finding."""


@pytest.mark.parametrize("options", ADVISED)
def test_every_remedy_runs(options, found, program):
    advised = commands(found(options))
    for topic, change in ADVISED[options].items():
        assert set(shlex.split(change)) <= set(shlex.split(advised[topic])), topic
    for command in advised.values():
        name, *words = shlex.split(command)
        finished = program(*words, "-o", "next", "--overwrite", "-q")
        assert (name, finished.code) == ("n2nsurgery", 0), finished.stderr


def test_following_what_to_do_leaves_fewer_channels_dead(found):
    options, dead = "--density 0.05 --criterion snip --skip none", []
    for _ in range(3):
        reported = found(options)
        dead.append(reported.quantity("dead-channels.dead").value)
        command = next(command for topic, command in commands(reported).items() if topic == "Dead channels")
        options = command.partition(" --input-size 3x8x8 ")[2]
    assert dead[0] > dead[1] > dead[2]


def test_floors_are_not_advised_where_single_layers_say_what_they_keep(found):
    for option in ("--junction-density 2=0.01", "--fan-out 2=2 --skip none"):
        reported = found(f"{option} --density 0.05")
        assert not [each for each in reported.findings if "--floor" in each.remedy or "--keep-alive" in each.remedy]


def test_a_remedy_for_a_run_is_a_command_that_trains_again(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "a run"
    run.mkdir()
    (run / "recipe.yaml").write_text(RECIPE)
    (run / RUN).write_text("{}")
    plan = n2nsurgery.apply("cifar-plain17", sparsity=0.99, criterion="magnitude").plan
    making = making_of(plan, run)
    changes = {"density": 0.02, "sparsity": None, "compression": None, "ignore": ("features.0",), "keep_alive": True}
    command = making.again({**changes, "criterion": "random", "criterion_options": None})
    assert command.startswith(f"n2nsurgery train '{run}/recipe.yaml' --set surgery.density=0.02 ")
    finished = program(*shlex.split(command)[1:], "--dry-run")
    assert finished.code == 0, finished.stderr
    assert "weights   10,251 of 512,560" in finished.stdout


@pytest.mark.parametrize("section", ["plugins: [net]", "data: {name: 'net.py:net'}"])
def test_a_remedy_for_a_run_with_code_of_ones_own_allows_it(tmp_path, monkeypatch, section):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    run = tmp_path / "run"
    run.mkdir()
    kept = [line for line in RECIPE.splitlines() if not line.startswith(section[:4])]
    (run / "recipe.yaml").write_text("\n".join([*kept, section]))
    plan = n2nsurgery.apply("cifar-conv-2cl", density=0.1).plan
    assert making_of(plan, run).words == f"n2nsurgery train {run}/recipe.yaml --allow-import"


def test_a_remedy_for_a_run_without_a_recipe_is_that_of_its_network(tmp_path):
    (tmp_path / RUN).write_text('{"recipe": null}')
    plan = n2nsurgery.apply("cifar-conv-2cl", density=0.1).plan
    assert making_of(plan, tmp_path).words == "n2nsurgery apply cifar-conv-2cl"


def test_a_remedy_for_a_module_of_ones_own_is_a_call():
    network = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(32, 32), nn.ReLU())))
    inputs = torch.zeros(2, 32)
    pruned = n2nsurgery.apply(network, example_inputs=inputs, density=0.02, criterion="magnitude", skip="none")
    command = next(iter(commands(report(subject_of(pruned))).values()))
    assert command == (
        "n2nsurgery.apply(network, example_inputs=inputs, density=0.02, criterion='magnitude', skip='none',"
        " keep_alive=True)"
    )


def test_models_are_named_as_the_command_line_takes_them():
    plan = n2nsurgery.apply("cifar-conv-2cl", density=0.02).plan
    named = {
        ("cifar-conv-2cl", ()): "cifar-conv-2cl",
        ("cifar-conv-2cl", (("num_classes", 7),)): "cifar-conv-2cl --num-classes 7",
        ("cifar-conv-2cl", (("input_size", (3, 16, 16)),)): "cifar-conv-2cl --input-size 3x16x16",
    }
    for (name, options), expected in named.items():
        spec = resolve_model(name, seed=0, **dict(options)).spec
        assert making_of(replace(plan, model=spec.to_text())).words == f"n2nsurgery apply {expected}"

    spec = replace(resolve_model("cifar-conv-2cl", seed=0).spec, weights="sha256:0123")  # of a file, nobody knows which
    assert making_of(replace(plan, model=spec.to_text())).again({"keep_alive": True}) == ""


def test_of_a_criterion_that_no_registry_has_nothing_is_known():
    class Mine(Snip):
        pass

    network = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    pruned = n2nsurgery.apply(network, example_inputs=torch.zeros(2, 32), density=0.1, criterion=Mine())
    assert making_of(pruned.plan) is None
    assert subject_of(pruned).making is None

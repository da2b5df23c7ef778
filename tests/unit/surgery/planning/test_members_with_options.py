"""Allocations, granularities and skip kinds with options: by name everywhere, and as objects in Python."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import pytest
import torch
from torch import nn

from n2nsurgery import apply, load, register, registries
from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.masks.granularities.kernel import KernelGranularity
from n2nsurgery.recipe.resolve import resolve
from n2nsurgery.recipe.schema import json_schema
from n2nsurgery.recipe.yaml_text import parse_yaml
from n2nsurgery.skips.kinds.residual import Residual, ResSkip
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import SurgeryPlan


@dataclass(frozen=True, kw_only=True)
class Power:
    """Shares proportional to a power of the size."""

    exponent: float = 1.0

    def shares(self, shapes, _total, _generator):
        return [round(1000 * prod(shape) ** self.exponent) for shape in shapes]


class Scaled(ResSkip):
    """z + scale a."""

    scale = 1.0

    def forward(self, z, a):
        return z + self.scale * (super().forward(z, a) - z)


@dataclass(frozen=True, kw_only=True)
class Bridge(Residual):
    """A residual skip whose branch is multiplied by `scale`."""

    scale: float = 1.0

    def build(self, spec):
        made = super().build(spec)
        made.__class__ = Scaled
        made.scale = self.scale
        return made


@pytest.fixture
def registered():
    """Both by name; forgotten afterwards."""
    register.allocation("power")(Power)
    register.skip_kind("bridge")(Bridge)
    yield
    for registry in (registries.ALLOCATIONS, registries.SKIP_KINDS):
        registry._registered.clear()


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = [6, 8, 8, 8, 8, 8, 4]
        return nn.Sequential(*(layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())))


def pruned(**options):
    return apply(network(), density=0.5, example_inputs=torch.zeros(2, 6), **{"skip": "none", **options})


def kept(model) -> list[int]:
    return list(model.masks.counts.values())


@pytest.mark.usefixtures("registered")
def test_an_allocation_divides_by_its_options():
    equal = pruned(allocation="power", allocation_options={"exponent": 0.0})
    assert kept(equal) == kept(pruned(allocation="equal"))
    assert kept(pruned(allocation="power")) == kept(pruned(allocation="uniform"))
    assert kept(equal) != kept(pruned(allocation="power"))


def test_an_object_of_no_registry_divides_too_and_the_plan_keeps_its_name_and_options(tmp_path):
    given = pruned(allocation=Power(exponent=0.0), granularity=KernelGranularity())
    assert kept(given) == kept(pruned(allocation="equal"))
    assert given.plan.config.allocation == f"{__name__}:Power"
    assert dict(given.plan.config.allocation_options) == {"exponent": 0.0}
    assert given.plan.config.granularity == "kernel"
    given.save(tmp_path / "artifact")
    assert load(tmp_path / "artifact", network()).masks == given.masks


@pytest.mark.usefixtures("registered")
def test_skips_are_built_with_their_options_and_again_when_they_are_loaded(tmp_path):
    inputs = torch.linspace(-1, 1, 12).reshape(2, 6)
    by_name = pruned(skip="bridge", skip_options={"scale": 0.5})
    assert by_name.plan.skips
    assert {dict(skip.options)["scale"] for skip in by_name.plan.skips} == {0.5}
    as_object = pruned(skip=Bridge(scale=0.5))
    assert torch.equal(by_name.module(inputs), as_object.module(inputs))
    assert not torch.equal(by_name.module(inputs), pruned(skip="bridge").module(inputs))
    by_name.save(tmp_path / "artifact")
    assert torch.equal(load(tmp_path / "artifact", network()).module(inputs), by_name.module(inputs))


def test_a_skip_kind_without_a_name_is_told_how_it_gets_one():
    with pytest.raises(UsageError, match=r"skip is a Bridge, which has no name .* n2nsurgery.register.skip_kind\("):
        pruned(skip=Bridge())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"allocation": Power}, UsageError, r"allocation is the class Power; give an object of it, as Power\(\)"),
        ({"allocation_options": {"a": 1}}, UsageError, "needs the name of what it is for: give allocation, too"),
        ({"skip_options": {"scale": 1}}, UsageError, "needs the name of what it is for: give skip, too"),
        (
            {"allocation": Power(), "allocation_options": {"exponent": 1.0}},
            UsageError,
            "allocation_options is for a allocation by name; the object has its own",
        ),
        (
            {"allocation": "erk", "allocation_options": {"a": 1}},
            UnknownNameError,
            "unknown option of the allocation 'erk' 'a'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        pruned(**options)


RECIPE = """
version: 2
model: {{name: mlp}}
data: fake
surgery: {{density: 0.1, allocation: {allocation}, skip: {skip}}}
train: {{epochs: 1, schedule: {{warm_up_epochs: 0}}}}
"""


@pytest.mark.usefixtures("registered")
def test_a_recipe_gives_options_beside_the_name_and_writes_them_back():
    text = RECIPE.format(allocation="{name: power, exponent: 0.5}", skip="{name: bridge, scale: 2}").lstrip()
    recipe = resolve(parse_yaml(text, "r.yaml"))
    asked = recipe.surgery
    assert isinstance(asked, SurgeryConfig)
    assert (asked.allocation, dict(asked.allocation_options)) == ("power", {"exponent": 0.5})
    assert (asked.skip, dict(asked.skip_options)) == ("bridge", {"scale": 2})
    section = recipe.to_json()["surgery"]
    assert section["allocation"] == {"name": "power", "exponent": 0.5}
    assert resolve(parse_yaml(recipe.to_yaml(), "again.yaml")) == recipe


@pytest.mark.usefixtures("registered")
def test_the_schema_knows_the_options_of_each_member():
    section = json_schema()["properties"]["surgery"]["anyOf"][0]["properties"]
    objects = [each for each in section["skip"]["anyOf"] if "properties" in each]
    bridge = next(each for each in objects if each["properties"]["name"]["const"] == "bridge")
    assert bridge["properties"].keys() == {"name", "scale"}


def test_plans_without_such_options_are_stored_as_they_were():
    plan = pruned(allocation="equal").plan
    document = plan.to_json()
    assert "allocation_options" not in document["config"]
    assert all("options" not in skip for skip in document["skips"])
    assert SurgeryPlan.from_json(document) == plan

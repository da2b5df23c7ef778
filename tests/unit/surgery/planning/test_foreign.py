from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from n2nsurgery import apply, load, register, registries
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.masks.criteria.magnitude import Magnitude
from n2nsurgery.skips.kinds.residual import Residual


@dataclass(frozen=True, kw_only=True)
class Mine(Magnitude):
    """A criterion of a user's own."""


@dataclass(frozen=True, kw_only=True)
class Bridge(Residual):
    """A skip kind of a user's own."""


@pytest.fixture
def forget():
    """Forgets what was registered in this process, when called and when the test ends."""

    def clear():
        for registry in (registries.CRITERIA, registries.SKIP_KINDS):
            registry._registered.clear()

    yield clear
    clear()


@pytest.fixture
def foreign(forget):
    """Both, registered; call it to forget them."""
    register.criterion("mine")(Mine)
    register.skip_kind("bridge")(Bridge)
    return forget


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(6, 6), nn.ReLU())))


def pruned(**options):
    return apply(network(), density=0.5, example_inputs=torch.zeros(2, 6), **options)


@pytest.mark.usefixtures("foreign")
def test_the_record_says_where_foreign_members_came_from():
    versions = dict(pruned(criterion="mine", skip="bridge").record.versions)
    assert versions["criterion mine"] == f"{__name__}:Mine (registered in this process)"
    assert versions["skip kind bridge"] == f"{__name__}:Bridge (registered in this process)"


def test_the_record_names_no_built_in_member():
    assert set(dict(pruned(skip="residual").record.versions)) == {"n2nsurgery", "torch", "numpy", "python"}


def test_a_foreign_criterion_is_not_needed_to_load(foreign, tmp_path):
    before = pruned(criterion="mine", skip="none")
    before.save(tmp_path / "artifact")
    foreign()
    after = load(tmp_path / "artifact", network())
    assert after.masks == before.masks


def test_a_foreign_skip_kind_that_is_gone_is_named_with_its_origin(foreign, tmp_path):
    pruned(skip="bridge").save(tmp_path / "artifact")
    foreign()
    with pytest.raises(
        InvalidFileError,
        match=rf"skips are of the skip kind 'bridge', which is not known here; it came from {__name__}:Bridge .*"
        rf"--plugin {__name__}, in Python `import {__name__}`",
    ):
        load(tmp_path / "artifact", network())


def test_a_foreign_skip_kind_that_is_back_is_built_again(foreign, tmp_path):
    before = pruned(skip="bridge")
    before.save(tmp_path / "artifact")
    foreign()
    register.skip_kind("bridge")(Bridge)
    inputs = torch.linspace(-1, 1, 12).reshape(2, 6)
    assert torch.equal(load(tmp_path / "artifact", network()).module(inputs), before.module(inputs))

"""The examples run as they stand, and their pruned weights are exactly zero."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

import n2nsurgery

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outside(pruned):
    return sum(int(pruned.module.get_parameter(name)[~mask].count_nonzero()) for name, mask in pruned.masks.items())


def test_the_plain_loop_ends_in_an_artifact_that_loads_to_the_bit(tmp_path):
    pruned = example("plain_pytorch").main(tmp_path)
    assert outside(pruned) == 0
    state = pruned.module.state_dict()
    again = n2nsurgery.load(tmp_path / "artifact").module.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.items())


def test_the_loop_of_accelerate_goes_on_from_its_state(tmp_path):
    main = example("accelerate_loop").main
    first, second = main(tmp_path), main(tmp_path)
    assert outside(first) == outside(second) == 0
    moved = [not torch.equal(first.module.get_parameter(n), second.module.get_parameter(n)) for n in first.masks]
    assert all(moved)

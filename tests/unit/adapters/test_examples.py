"""The examples run as they stand, and their pruned weights are exactly zero."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from onnxruntime import InferenceSession

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


def test_fine_tuning_ends_in_a_file_with_a_tenth_of_the_weights_that_still_tells_the_classes_apart(tmp_path):
    module = example("fine_tuning")
    pruned = module.main(tmp_path)
    assert outside(pruned) == 0
    assert pruned.plan.budget.skips > 0
    assert pruned.masks.kept == round(0.1 * pruned.plan.budget.reference)
    inputs, targets = module.points().tensors
    session = InferenceSession(tmp_path / "sparse.onnx", providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    assert (scores.argmax(1) == targets.numpy()).mean() > 0.9  # a half is chance; the classes are halves of a space


def test_the_loop_of_accelerate_goes_on_from_its_state(tmp_path):
    main = example("accelerate_loop").main
    first, second = main(tmp_path), main(tmp_path)
    assert outside(first) == outside(second) == 0
    moved = [not torch.equal(first.module.get_parameter(n), second.module.get_parameter(n)) for n in first.masks]
    assert all(moved)

"""GraSP against its definition: the full Hessian, and the change of the gradient flow when a weight goes."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from n2nsurgery.masks import draw_masks, make_criterion
from n2nsurgery.masks.scoring.loss import cross_entropy

NAMES = {"conv.weight": "conv.weight", "depthwise.weight": "depthwise.weight", "second.weight": "first.weight"}


def mean_loss(context, temperature: float):
    """The mean loss as a function of all prunable weights in one vector, and that vector."""
    module = copy.deepcopy(context.module).train()
    parameters = dict(module.named_parameters())
    vector = torch.cat([parameters[real].detach().flatten() for real in NAMES.values()])

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split([parameters[real].numel() for real in NAMES.values()])
        changed = {real: part.view_as(parameters[real]) for real, part in zip(NAMES.values(), parts, strict=True)}
        values = [
            cross_entropy(functional_call(module, parameters | changed, inputs) / temperature, targets)
            for inputs, targets in context.batches
        ]
        return torch.stack(values).mean()

    return loss, vector


@pytest.fixture
def labelled(context):
    (first, second) = context.batches
    return replace(context, batches=(first, (second[0], torch.tensor([3, 2, 1, 0]))))


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_scores_are_the_weights_times_the_hessian_times_the_gradient(labelled, temperature):
    loss, vector = mean_loss(labelled, temperature)
    gradient = torch.autograd.functional.jacobian(loss, vector)
    expected = vector * (torch.autograd.functional.hessian(loss, vector) @ gradient)
    scores = make_criterion("grasp", temperature=temperature).scores(labelled)
    found = torch.cat([scores[name].flatten() for name in NAMES]).double()
    # Sums of 124 float64 products of both signs, then float32: 1e-6 of the largest is far above their rounding.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def test_a_high_score_marks_a_weight_whose_removal_weakens_the_gradient_flow(labelled):
    loss, vector = mean_loss(labelled, 1.0)
    scores = torch.cat([s.flatten() for s in make_criterion("grasp", temperature=1.0).scores(labelled).values()])

    def flow(point: torch.Tensor) -> torch.Tensor:
        return torch.autograd.functional.jacobian(loss, point).square().sum()

    def shrunk(index: int) -> torch.Tensor:
        step = torch.zeros_like(vector)
        step[index] = 1e-4 * vector[index]  # a small part of the weight goes: the score is the first-order change
        return vector - step

    assert flow(shrunk(int(scores.argmax()))) < flow(vector) < flow(shrunk(int(scores.argmin())))


def test_the_highest_scores_are_kept(labelled):
    scores = make_criterion("grasp").scores(labelled)
    masks = draw_masks("grasp", labelled.weights, 40, context=labelled).masks
    kept = torch.cat([scores[name][masks[name]] for name in NAMES])
    pruned = torch.cat([scores[name][~masks[name]] for name in NAMES])
    assert kept.min() >= pruned.max()

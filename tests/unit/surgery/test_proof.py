from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from n2nsurgery import MaskSet
from n2nsurgery.core.errors import InternalError
from n2nsurgery.surgery.proof import prove_counts


def test_an_operated_network_is_proven(pruned):
    prove_counts(pruned.module, pruned.masks, pruned.plan)


def test_a_kept_weight_may_be_zero(pruned):
    with torch.no_grad():
        pruned.module.conv1.weight.zero_()
    prove_counts(pruned.module, pruned.masks, pruned.plan)


def flipped(masks: MaskSet, name: str, *, to: bool) -> MaskSet:
    """The masks with one bit of `name` changed."""
    mask = masks[name].clone().reshape(-1)
    mask[(mask != to).nonzero()[0]] = to
    return MaskSet({**masks, name: mask.reshape(masks[name].shape)})


@pytest.mark.parametrize("to", [False, True])
@pytest.mark.parametrize("name", ["conv1.weight", "n2n_skips.0.weight"])
def test_one_weight_more_or_less_is_a_bug(pruned, name, to):
    with pytest.raises(InternalError, match="the budget says"):
        prove_counts(pruned.module, flipped(pruned.masks, name, to=to), pruned.plan)


def test_a_weight_moved_from_one_skip_to_another_is_a_bug(pruned):
    masks = flipped(pruned.masks, "n2n_skips.0.weight", to=True)
    masks = flipped(masks, "n2n_skips.1.weight", to=False)
    with pytest.raises(InternalError, match="the budget says"):
        prove_counts(pruned.module, masks, pruned.plan)


def test_a_weight_outside_its_mask_is_a_bug(pruned):
    mask = pruned.masks["conv1.weight"]
    with torch.no_grad():
        pruned.module.conv1.weight[tuple((~mask).nonzero()[0])] = 1e-30
    with pytest.raises(InternalError, match=r"1 weights of 'conv1\.weight' are not zero outside its mask"):
        prove_counts(pruned.module, pruned.masks, pruned.plan)


def test_a_missing_mask_is_a_bug(pruned):
    masks = MaskSet({name: mask for name, mask in pruned.masks.items() if name != "head.weight"})
    with pytest.raises(InternalError, match="masks of 7 parameters where the plan has 8"):
        prove_counts(pruned.module, masks, pruned.plan)


def test_another_budget_is_a_bug(pruned):
    plan = replace(pruned.plan, budget=replace(pruned.plan.budget, total=pruned.plan.budget.total + 1))
    with pytest.raises(InternalError, match="the budget says"):
        prove_counts(pruned.module, pruned.masks, plan)

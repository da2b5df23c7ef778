from dataclasses import replace

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.scoring.context import loss_of_batch, over_batches, stand_ins, undisturbed, weight_values


def test_earlier_rounds_put_pruned_weights_to_zero(context):
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[1, 2] = True
    value = weight_values(replace(context, kept={"second.weight": mask}))["second.weight"]
    assert value.count_nonzero() == 1
    assert value[1, 2] == context.module.second.weight[1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "third.weight"}, r"'third\.weight' should have shape \(4, 4\), found none"),
        ({"shape": (4, 5)}, r"should have shape \(4, 5\), found shape \(4, 4\)"),
    ],
)
def test_a_weight_that_the_module_lacks_is_named(context, change, message):
    wrong = replace(context.weights[2], **change)
    with pytest.raises(UsageError, match=message):
        weight_values(replace(context, weights=(wrong,)))


def test_a_shared_weight_is_replaced_under_all_its_names(context):
    leaf = torch.zeros(4, 4)
    tensors = stand_ins(context.module, {"second.weight": leaf})
    assert tensors["first.weight"] is leaf
    assert tensors["second.weight"] is leaf


def fail_while_scoring(module) -> None:
    with torch.no_grad(), undisturbed(module, training=True, seed=0):
        assert module.norm.training
        assert torch.is_grad_enabled()
        torch.rand(1)
        raise ZeroDivisionError


def test_modes_and_generators_come_back_even_after_an_error(context):
    context.module.norm.eval()
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        fail_while_scoring(context.module)
    assert context.module.training
    assert not context.module.norm.training
    assert torch.equal(torch.get_rng_state(), before)


def test_the_losses_of_the_batches_sum_to_their_mean(context):
    tensors = stand_ins(context.module, {})
    single = loss_of_batch(replace(context, batches=context.batches[:1]), tensors, 0)
    assert len(context.batches) == 2
    assert torch.equal(loss_of_batch(context, tensors, 0), single / 2)


def test_scoring_without_data_is_refused(context):
    with pytest.raises(UsageError, match="pass at least one batch"):
        over_batches(replace(context, batches=()), weight_values(context), list)


def test_a_loss_that_is_not_finite_is_refused(context):
    with pytest.raises(UsageError, match="the loss on the scoring data is inf"):
        loss_of_batch(
            replace(context, loss=lambda logits, _: logits.sum() * torch.inf), stand_ins(context.module, {}), 0
        )

"""SNIP against its definition: an explicit mask variable c, differentiated at c = 1."""

from dataclasses import replace

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks import make_criterion
from n2nsurgery.masks.scoring.loss import cross_entropy


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_scores_are_the_sensitivities_to_an_explicit_mask(context, by_definition, everything, mode):
    scores = make_criterion("snip", mode=mode).scores(context)
    for name, expected in by_definition(everything, mode).items():
        # Computed in float64 both times, then rounded once to float32 (relative error 6e-8).
        torch.testing.assert_close(scores[name].double(), expected, rtol=1e-6, atol=0)


def test_train_and_eval_mode_differ(context):
    train, evaluation = (make_criterion("snip", mode=mode).scores(context) for mode in ("train", "eval"))
    assert not torch.allclose(train["conv.weight"], evaluation["conv.weight"], rtol=1e-2, atol=0)


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_scores_do_not_depend_on_the_scale_of_the_loss(context, scale):
    scaled = replace(context, loss=lambda logits, targets: scale * cross_entropy(logits, targets))
    scores, expected = (make_criterion("snip").scores(c) for c in (scaled, context))
    for name, score in scores.items():
        # Scaling in float64 is off by 1e-16 for each operation; the results are float32.
        torch.testing.assert_close(score, expected[name], rtol=1e-6, atol=0)


def test_scores_sum_to_one(context):
    # 124 float32 numbers, each off by at most 6e-8 of itself.
    assert sum(s.double().sum() for s in make_criterion("snip").scores(context).values()) == pytest.approx(1, rel=1e-6)


def test_a_loss_that_ignores_the_weights_is_refused(context):
    flat = replace(context, loss=lambda logits, _: 0 * logits.sum())
    with pytest.raises(UsageError, match="no weight has any influence on the loss"):
        make_criterion("snip").scores(flat)

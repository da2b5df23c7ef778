from typing import NamedTuple

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import primary_output
from n2nsurgery.masks.scoring.loss import cross_entropy, random_labels, scalar_loss

LOGITS = torch.arange(6.0).reshape(2, 3)


class Outputs(NamedTuple):
    logits: torch.Tensor
    aux: torch.Tensor


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"aux": LOGITS + 1, "out": LOGITS},
        {"logits": LOGITS, "aux": LOGITS + 1},
        (LOGITS, LOGITS + 1),
        [LOGITS],
        Outputs(LOGITS, LOGITS + 1),
        ({"out": (LOGITS,)},),
    ],
    ids=["tensor", "out", "first of a dict", "tuple", "list", "namedtuple", "nested"],
)
def test_the_primary_output_is_found(output):
    assert primary_output(output) is LOGITS


@pytest.mark.parametrize("output", [None, {}, (), "text", [None, LOGITS]])
def test_an_output_without_a_tensor_in_front_is_refused(output):
    with pytest.raises(UsageError, match=f"the model returns {type(output).__name__}, in which no tensor comes first"):
        primary_output(output)


@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 5), (4, 7, 5, 6)])
def test_random_labels_fit_dense_predictions_too(shape):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    first, second = (random_labels(logits, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert (first.shape, first.dtype) == ((shape[0], *shape[2:]), torch.int64)
    assert first.min() >= 0
    assert first.max() < 7
    assert torch.isfinite(cross_entropy(logits, first))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 8, 8)])
def test_a_loss_that_would_be_constant_is_refused(shape):
    with pytest.raises(UsageError, match="at least two classes"):
        random_labels(torch.zeros(shape), torch.Generator())
    with pytest.raises(UsageError, match="give a loss of your own"):
        cross_entropy(torch.zeros(shape), torch.zeros(4, dtype=torch.long))


def test_the_classes_come_last_where_the_labels_fit_that_shape_alone():
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10).reshape(2, 5) % 7
    assert torch.equal(cross_entropy((logits, None), labels), cross_entropy(logits.movedim(-1, 1), labels))
    square = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.cross_entropy(square, labels % 5)
    assert torch.equal(cross_entropy(square, labels % 5), expected)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda output, _: output, r"is torch\.float32 of shape \(2, 3\)"),
        (lambda *_: 1.0, "is float"),
        (lambda output, _: output.argmax(1).float().mean(), "the loss has no gradient"),
        (lambda output, targets: output @ targets, "the loss fails: .*"),
        (lambda output, _: output.sum() / 0, "the loss on the scoring data is inf"),
    ],
    ids=["no scalar", "a number", "no gradient", "an error", "infinite"],
)
def test_what_is_no_loss_is_told_with_what_it_was_given(loss, message):
    output = LOGITS.clone().requires_grad_() + 1
    given = r"\. It was given an output of shape \(2, 3\) and targets int64 of shape \(2,\)"
    with pytest.raises(UsageError, match=message + ("" if "inf" in message else ".*" + given)):
        scalar_loss(loss, output, torch.zeros(2, dtype=torch.long), [output])

import pytest
import torch

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.masks import topk, topk_global


def test_ties_go_to_the_lower_index():
    assert topk(torch.tensor([[1.0, 1.0], [2.0, 1.0]]), 2).tolist() == [[True, False], [True, False]]


def test_equal_scores_everywhere_still_give_the_exact_count():
    assert topk(torch.zeros(1000), 137).nonzero().flatten().tolist() == list(range(137))


def test_ties_between_tensors_go_to_the_first():
    masks = topk_global({"b": torch.tensor([1.0]), "a": torch.tensor([1.0])}, 1)
    assert {name: mask.tolist() for name, mask in masks.items()} == {"b": [True], "a": [False]}


def test_minus_infinity_is_taken_last():
    scores = torch.tensor([-torch.inf, -5.0, -torch.inf])
    assert topk(scores, 1).tolist() == [False, True, False]
    assert topk(scores, 2).tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_every_number_type_is_compared_exactly(dtype):
    assert topk(torch.tensor([3, 1, 2], dtype=dtype), 2).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (torch.float64, [1.0, 1.0 + 1e-15]),
        (torch.bfloat16, [1e38, 2e38]),
        (torch.int64, [2**24, 2**24 + 1]),
    ],
    ids=str,
)
def test_scores_that_differ_are_told_apart_in_every_number_type(dtype, values):
    assert topk(torch.tensor(values, dtype=dtype), 1).tolist() == [False, True]


@pytest.mark.parametrize("k", [0, 1, 4])
@pytest.mark.parametrize("keep", [None, torch.tensor([True, False, False, False])])
def test_nan_is_an_error_whatever_is_kept(k, keep):
    with pytest.raises(UsageError, match="1 scores of 'scores' are NaN"):
        topk(torch.tensor([float("nan"), 1.0, torch.inf, 2.0]), k, keep=keep)


@pytest.mark.parametrize("k", [-1, 4])
def test_a_count_out_of_range_is_refused(k):
    with pytest.raises(UsageError, match=rf"{k} weights cannot be kept of 3: k must lie in \[0, 3\]"):
        topk(torch.ones(3), k)


def test_more_to_keep_than_the_count_is_refused():
    with pytest.raises(BudgetError, match="2 weights are to be kept in any case, and only 1"):
        topk(torch.ones(3), 1, keep=torch.tensor([True, True, False]))

"""Two parameters in the same memory are found; parts of one storage beside each other are not."""

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.tied_storage import require_own_storage


def pair(first: torch.Tensor, second: torch.Tensor) -> nn.ParameterDict:
    return nn.ParameterDict({"first": nn.Parameter(first), "second": nn.Parameter(second)})


def block() -> torch.Tensor:
    return torch.arange(64.0).reshape(8, 8)


def test_a_transposed_view_is_refused_with_both_names():
    whole = block()
    with pytest.raises(UsageError, match="'first' and 'second' are two parameters in the same memory"):
        require_own_storage(pair(whole, whole.t()), {"first"})


def test_one_common_entry_is_enough():
    whole = block()
    with pytest.raises(UsageError, match="same memory"):
        require_own_storage(pair(whole[:4, :4], whole[3:, 3:]), {"second"})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda whole: whole[:4], lambda whole: whole[4:]),
        (lambda whole: whole[:, :4], lambda whole: whole[:, 4:]),
        (lambda whole: whole.to("meta"), lambda whole: whole.to("meta")),
        (lambda whole: whole, lambda whole: whole.clone()),
    ],
    ids=["rows", "columns", "meta", "a copy"],
)
def test_other_entries_of_one_storage_are_none(first, second):
    whole = block()
    require_own_storage(pair(first(whole), second(whole)), {"first", "second"})


def test_one_parameter_under_two_names_and_tables_that_are_tied_to_each_other_are_left_alone():
    whole = block()
    module = pair(whole, whole.t())
    require_own_storage(module, {"other"})
    shared = nn.Parameter(block())
    require_own_storage(nn.ParameterDict({"first": shared, "second": shared}), {"first"})

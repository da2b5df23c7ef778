"""What every criterion promises, for all members of the registry."""

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.masks import CRITERIA, draw_masks
from n2nsurgery.testing.criteria import CRITERION_CHECKS, scored_network

every_criterion = pytest.mark.parametrize("name", CRITERIA.names())
CONTEXT = scored_network()
SIZE = sum(weight.numel for weight in CONTEXT.weights)


def make(name: str):
    """The criterion with its defaults, with few rounds where it has rounds."""
    member = CRITERIA.get(name)
    few = {"rounds": 5} if "rounds" in {field.name for field in dataclasses.fields(member)} else {}
    return member(**few)


@every_criterion
@pytest.mark.parametrize("check", CRITERION_CHECKS, ids=lambda check: check.__name__)
def test_a_criterion_keeps_its_promises(name, check):
    check(make(name))


@every_criterion
def test_the_module_docstring_names_the_member(name):
    module = __import__(CRITERIA.get(name).__module__, fromlist=["MEMBER"])
    assert module.__doc__.startswith(f"Criterion `{name}`")


def legal_count(name: str, count: int) -> int:
    """`count`, or for a strict pattern the nearest legal one as its rejection names it."""
    try:
        draw_masks(make(name), CONTEXT.weights, count, context=CONTEXT)
    except BudgetError as error:
        return int(re.search(r"nearest are ([\d,]+) of", str(error)).group(1).replace(",", ""))
    return count


@every_criterion
@settings(max_examples=25)
@given(count=st.integers(0, SIZE), seed=st.integers(0, 2**31))
def test_counts_are_exact(name, count, seed):
    legal = legal_count(name, count)
    masks = draw_masks(make(name), CONTEXT.weights, legal, context=CONTEXT, seed=seed).masks
    assert masks.kept == legal
    assert {key: tuple(mask.shape) for key, mask in masks.items()} == {w.name: w.shape for w in CONTEXT.weights}

"""What every allocation and every granularity promises, for all members of the registries."""

import pytest

from n2nsurgery.masks import ALLOCATIONS, GRANULARITIES
from n2nsurgery.testing.allocations import ALLOCATION_CHECKS
from n2nsurgery.testing.granularities import GRANULARITY_CHECKS


@pytest.mark.parametrize("name", ALLOCATIONS.names())
@pytest.mark.parametrize("check", ALLOCATION_CHECKS, ids=lambda check: check.__name__)
def test_an_allocation_keeps_its_promises(name, check):
    check(ALLOCATIONS.get(name)())


@pytest.mark.parametrize("name", GRANULARITIES.names())
@pytest.mark.parametrize("check", GRANULARITY_CHECKS, ids=lambda check: check.__name__)
def test_a_granularity_keeps_its_promises(name, check):
    check(GRANULARITIES.get(name)())

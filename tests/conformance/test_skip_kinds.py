"""What every skip kind promises, for all members of the registry."""

import pytest

from n2nsurgery.core.errors import UnknownNameError
from n2nsurgery.skips.kind import KINDS, SkipOptions
from n2nsurgery.testing.skip_kinds import PAIRS, SKIP_KIND_CHECKS

every_kind = pytest.mark.parametrize("name", KINDS.names())


@every_kind
@pytest.mark.parametrize("check", SKIP_KIND_CHECKS, ids=lambda check: check.__name__)
def test_a_skip_kind_keeps_its_promises(name, check):
    check(KINDS.get(name)())


@every_kind
@pytest.mark.parametrize("pair", PAIRS)
def test_a_built_in_kind_accepts_every_pair_of_the_checks(name, pair):
    assert KINDS.get(name)().accepts(PAIRS[pair][0], SkipOptions()) is None


def test_the_names_of_the_papers_are_aliases():
    assert KINDS.canonical("N2NSkip") == "n2n"
    assert KINDS.canonical("ResSkip") == "residual"


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'residual'"):
        KINDS.get("residuals")

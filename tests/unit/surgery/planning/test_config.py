from __future__ import annotations

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.surgery.planning.config import SurgeryConfig


@pytest.mark.parametrize("density", [0, -0.1, 1.5, float("nan")])
def test_a_density_outside_its_range_is_refused_with_the_range(density):
    with pytest.raises(UsageError, match=rf"density is {density}; .* must lie in \(0, 1\]"):
        SurgeryConfig(density=density)


@pytest.mark.parametrize("ratio", [1, 1.0, -0.1, float("nan")])
def test_a_skip_ratio_outside_its_range_is_refused_with_the_range(ratio):
    with pytest.raises(UsageError, match=rf"skip ratio is {ratio}; it must lie in \[0, 1\), or be 'auto'"):
        SurgeryConfig(density=0.5, skip_ratio=ratio)


def test_a_random_pattern_needs_a_number():
    with pytest.raises(UsageError, match="a random pattern needs a number"):
        SurgeryConfig(density=0.5, pattern="random")


@pytest.mark.parametrize("skip", ["residual", "none"])
def test_skips_without_weights_take_no_ratio(skip):
    with pytest.raises(UsageError, match=f"skip ratio 0.5 with skip '{skip}', which has no weights"):
        SurgeryConfig(density=0.5, skip=skip, skip_ratio=0.5)
    assert SurgeryConfig(density=0.5, skip=skip, skip_ratio=0).skip == skip


@pytest.mark.parametrize("density", [1e-9, 1, 1.0])
def test_the_ends_of_the_range_are_allowed(density):
    assert SurgeryConfig(density=density, skip_ratio=0).density == density

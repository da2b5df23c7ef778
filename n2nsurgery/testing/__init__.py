"""Checks for what is written outside of this package: one line of a plugin's test for each of its members.

    from n2nsurgery.testing import check_criterion

    def test_my_score_is_a_criterion():
        check_criterion(MyScore(temperature=2))

Each check takes an instance, or a class whose fields have defaults, and raises AssertionError that says which promise
is broken and what was seen. The built-in members pass the same checks.
"""

from n2nsurgery.testing.allocations import check_allocation
from n2nsurgery.testing.criteria import check_criterion
from n2nsurgery.testing.data_sets import check_data_set
from n2nsurgery.testing.dynamics import check_dynamics
from n2nsurgery.testing.families import check_family
from n2nsurgery.testing.granularities import check_granularity
from n2nsurgery.testing.metrics import check_metric
from n2nsurgery.testing.skip_kinds import check_skip_kind
from n2nsurgery.testing.training import check_loss, check_optimizer, check_schedule, check_training_metric

__all__ = [
    "check_allocation",
    "check_criterion",
    "check_data_set",
    "check_dynamics",
    "check_family",
    "check_granularity",
    "check_loss",
    "check_metric",
    "check_optimizer",
    "check_schedule",
    "check_skip_kind",
    "check_training_metric",
]

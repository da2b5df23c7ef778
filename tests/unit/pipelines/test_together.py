from __future__ import annotations

from dataclasses import dataclass

import pytest

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.pipelines.together import by_first


@dataclass
class World:
    """One of two processes; `elsewhere`: whether the other one failed."""

    rank: int
    elsewhere: bool = False

    def any(self, flag) -> bool:
        return flag or self.elsewhere


def refuse():
    raise UsageError("no")


def test_the_first_process_works_and_the_others_wait():
    assert by_first(World(0), lambda: 3) == 3
    assert by_first(World(1), refuse) is None


def test_a_failure_ends_all_of_them():
    with pytest.raises(UsageError, match="no"):
        by_first(World(0), refuse)
    with pytest.raises(RunError, match="process 0 failed"):
        by_first(World(1, elsewhere=True), refuse)

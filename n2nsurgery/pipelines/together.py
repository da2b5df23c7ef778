"""What one process does for all that train together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from n2nsurgery.core.errors import N2NSurgeryError, RunError
from n2nsurgery.train.world import World

T = TypeVar("T")


def by_first(world: World, work: Callable[[], T]) -> T | None:
    """What `work` returns in process 0, while the others wait and get None.

    Where it fails, its error is raised in process 0 and a RunError in the others: none waits for what will not come.
    """
    result: T | None = None
    failure: N2NSurgeryError | None = None
    if world.rank == 0:
        try:
            result = work()
        except N2NSurgeryError as error:
            failure = error
    if world.any(failure is not None):
        raise failure or RunError("process 0 failed; its message says why")
    return result

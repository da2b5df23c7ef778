"""Several processes ask each other for the wish to stop at the same boundaries, about every two seconds."""

from __future__ import annotations

import pytest

from n2nsurgery.training.distributed import stop_agreement
from n2nsurgery.training.distributed.stop_agreement import StopAgreement


class Two:
    """One of two processes; the other one's clock says `factor` times what ours does."""

    size = 2

    def __init__(self, factor=1.0):
        self.factor, self.asked, self.elsewhere = factor, 0, False

    def all_reduce(self, values):
        return values * (1 + self.factor)

    def all_reduce_any(self, flag):
        self.asked += 1
        return flag or self.elsewhere


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(stop_agreement.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(("step", "most"), [(0.01, 2.0), (0.5, 2.0), (3.0, 3.0)])
def test_nobody_is_left_unasked_for_longer_than_two_seconds_or_one_step(clock, step, most):
    processes = Two()
    agreement = StopAgreement(processes, lambda: None)
    last, gaps, asked = 0.0, [], 0
    for number in range(1, 2000):
        clock.now = number * step
        assert not agreement.at_boundary()
        if processes.asked > asked:
            gaps.append(clock.now - last)
            last, asked = clock.now, processes.asked
    assert max(gaps) <= most + 1e-9
    assert gaps[-1] > most / 2  # and not much more often than needed


def test_the_slower_process_counts_too(clock):
    processes = Two(factor=3.0)  # the mean step is twice ours
    agreement = StopAgreement(processes, lambda: None)
    boundaries = []
    for number in range(1, 200):
        clock.now = number * 0.1
        before = processes.asked
        agreement.at_boundary()
        boundaries += [number] if processes.asked > before else []
    assert boundaries[:5] == [1, 3, 7, 15, 25]  # doubled up to 2 s / 0.2 s


def test_the_wish_of_any_process_is_heard(clock):
    processes = Two()
    wishes = [None]
    agreement = StopAgreement(processes, lambda: wishes[-1])
    assert not agreement.now()
    processes.elsewhere = True
    assert agreement.now()
    processes.elsewhere = False
    wishes.append("SIGTERM")
    clock.now = 1.0
    assert agreement.now()

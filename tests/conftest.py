"""What every test shares: the hypothesis profile, Ctrl-C's signal, and the skip of GPU tests without a GPU."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# No deadline: the first example pays for torch's lazy initialization. In CI the same examples are drawn on every run,
# so that a red run is a red change. `too_slow` measures the machine, not the strategy.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--regen` write golden files anew; their difference is then read like code."""
    parser.addoption("--regen", action="store_true", help="write the golden files anew instead of comparing with them")


def pytest_configure() -> None:
    """Take SIGINT as in a terminal: a shell ignores it in what it runs in the background, and programs respect that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where CUDA is not available."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; torch.cuda.is_available() is False here")

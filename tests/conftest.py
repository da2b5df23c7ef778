"""What all tests share: hypothesis' profile, torch's seed, Ctrl-C's signal; and what a missing tool does to a test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline: the first example pays for torch's lazy initialization. In CI the same examples are drawn on every run,
# so that a red run is a red change. `too_slow` measures the machine, not the strategy.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.register_profile("long", settings.get_profile("local"), max_examples=5000)  # `--hypothesis-profile=long`
settings.load_profile("ci" if os.environ.get("CI") else "local")

INSTALLED_IN_CI = ("the sparse runtime is not built", "install chromium", "could not import 'timm'")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--regen` write golden files anew; their difference is then read like code."""
    parser.addoption("--regen", action="store_true", help="write the golden files anew instead of comparing with them")


def pytest_configure() -> None:
    """Take SIGINT as in a terminal: a shell ignores it in what it runs in the background, and programs respect that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin every test at one seed, whatever ran before; skip one marked `gpu` where CUDA is not available."""
    if "torch" in sys.modules:  # else it is not imported for this
        sys.modules["torch"].manual_seed(0)
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; torch.cuda.is_available() is False here")


@pytest.fixture
def library() -> Path:
    """The file of the sparse runtime's library; a test that asks for it is skipped where it is not built."""
    from n2nsurgery import runtime

    try:
        return runtime.library_path()
    except runtime.LibraryNotBuiltError as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in CI that was skipped for want of a tool that CI installs: a skip would hide that it broke."""
    report = yield
    reason = str(call.excinfo.value) if call.excinfo is not None else ""
    if report.skipped and os.environ.get("CI") and any(tool in reason for tool in INSTALLED_IN_CI):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not be skipped in CI: {reason}"
    return report

"""The script for a GPU, as far as it can be looked at without one."""

from __future__ import annotations

import gpu
import pytest


@pytest.mark.parametrize("setting", [gpu.CARD, gpu.TINY], ids=["card", "tiny"])
def test_the_tests_that_it_runs_are_there(setting):
    assert [path for path in setting.tests if not (gpu.ROOT / path).exists()] == []

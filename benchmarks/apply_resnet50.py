"""Whole `n2nsurgery apply resnet50` against the least that any such program does.

The baseline imports torch and torchvision, builds ResNet50 and writes its state_dict with safetensors. Both run as
whole processes, in turn; printed are the medians and the ratio of each pair.

    uv run python benchmarks/apply_resnet50.py [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASELINE = """
import sys, torchvision
from safetensors.torch import save_file
save_file(torchvision.models.resnet50().state_dict(), sys.argv[1])
"""
TARGET = 1.5


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one run of `command`."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu


def main() -> None:
    """Run the pairs and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):
            base = [sys.executable, "-c", BASELINE, str(Path(folder) / "dense.safetensors")]
            arguments = ["apply", "resnet50", "--density", "0.05", "--skip-ratio", "0.5"]
            ours = [sys.executable, "-m", "n2nsurgery", *arguments, "-o", str(Path(folder) / f"artifact-{run}")]
            pairs.append((seconds(ours), seconds(base)))
    pairs = pairs[1:]  # the first pair warms the disk cache
    for label, index in (("wall", 0), ("CPU", 1)):
        ratios = [ours[index] / base[index] for ours, base in pairs]
        print(
            f"{label}: apply {statistics.median(o[index] for o, _ in pairs):.2f} s,"
            f" baseline {statistics.median(b[index] for _, b in pairs):.2f} s,"
            f" ratio median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}),"
            f" target {TARGET}"
        )


if __name__ == "__main__":
    main()

"""How long the program takes to start, as ratios to `python -c "import torch"`.

Whole processes, in turn; printed are medians of the ratios of each round, with the least and the most. CPU seconds
leave out what other programs on the machine take; wall seconds are what a user waits.

    uv run python benchmarks/startup.py [--runs 5]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from apply_resnet50 import seconds

TORCH = "import torch"


def commands(folder: Path, run: int) -> dict[str, list[str]]:
    """What is timed, by name; `apply` writes below `folder`."""
    program = [sys.executable, "-m", "n2nsurgery"]
    artifact = str(folder / f"artifact-{run}")
    return {
        TORCH: [sys.executable, "-c", TORCH],
        "import n2nsurgery": [sys.executable, "-c", "import n2nsurgery"],
        "--help": [*program, "--help"],
        "apply --help": [*program, "apply", "--help"],
        "apply resnet50": [*program, "apply", "resnet50", "--density", "0.05", "-o", artifact],
    }


def processor() -> str:
    """The processor's name as Linux gives it, else that of its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def row(name: str, rounds: list[Mapping[str, tuple[float, float]]]) -> str:
    """A line of the table: wall seconds, and the ratios of wall and CPU seconds."""
    cells = [f"{statistics.median(each[name][0] for each in rounds):.2f}"]
    for index in (0, 1):
        ratios = [each[name][index] / each[TORCH][index] for each in rounds]
        cells.append(f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")
    return f"| `{name}` | {' | '.join(cells)} |"


def main() -> None:
    """Time the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        rounds: list[Mapping[str, tuple[float, float]]] = [
            {name: seconds(command) for name, command in commands(Path(folder), run).items()} for run in range(runs + 1)
        ]
    rounds = rounds[1:]  # the first round warms the disk cache
    print(f"{processor()}, Python {sys.version.split()[0]}, {runs} rounds")
    print("| command | wall seconds | wall, of importing torch | CPU, of importing torch |")
    print("|---|---|---|---|")
    for name in commands(Path(), 0):
        print(row(name, rounds))


if __name__ == "__main__":
    main()

"""How a network's convolutions would be spread over many threads, on paper: builds schedule.cpp and runs it.

python schedule.py resnet50.txt [--density 0.05] [--rounds 25] [--threads 2 4 8 16] [--isa avx2] [--layers]

Every task of every thread count is timed alone, in CPU time of its thread, the least of the rounds; the times are then
dealt out as the runtime deals out tasks. It needs no machine with as many cores, and leaves out what threads take from
each other.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from n2nsurgery.runtime import build

HERE = Path(__file__).resolve().parent


def program(folder: Path) -> Path:
    """schedule.cpp, compiled with the objects of the library."""
    compiler = build.find_compiler()
    objects = [path for path in build.compile_units(folder, compiler) if path.stem != "ops"]
    target = folder / "schedule"
    source = HERE / "schedule.cpp"
    flags = ["-std=c++17", "-O2", f"-I{build.SOURCES}", "-pthread"]
    subprocess.run([*compiler.command, *flags, str(source), *map(str, objects), "-o", str(target)], check=True)
    return target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("layers_file", type=Path)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--isa", default="")
    parser.add_argument("--layers", action="store_true")
    arguments = parser.parse_args()
    environment = os.environ | {"N2NSURGERY_ISA": arguments.isa} | ({"LAYERS": "1"} if arguments.layers else {})
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program(Path(folder))), str(arguments.layers_file), str(arguments.density)]
        counts = map(str, [1, *arguments.threads])
        subprocess.run([*command, str(arguments.rounds), *counts], check=True, env=environment)


if __name__ == "__main__":
    main()

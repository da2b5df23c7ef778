"""Compiles the sparse runtime: a shared library for ONNX Runtime, from ``native/*.cpp``, without any build system.

Every instruction set is a translation unit of its own, compiled for that set alone; which one runs is decided when the
library is loaded. Nothing is tuned to the building machine, so the library may be copied to others of its architecture.

This file needs only the standard library: the installation runs it before there is a package to import.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "native"
LIBRARY_NAME = "libn2nsurgery.dylib" if platform.system() == "Darwin" else "libn2nsurgery.so"
COMPILERS = ("c++", "g++", "clang++")
COMMON_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra")
AVX512_FLAGS = (
    "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx2", "-mfma", "-mprefer-vector-width=512",
    "-Wno-maybe-uninitialized", "-Wno-uninitialized",  # GCC 12 takes its intrinsics' undefined vectors for ours
)  # fmt: skip
AVX2_FLAGS = ("-mavx2", "-mfma")
LOOPS_TO_VECTORS = ("-O3",)
ROUNDED_PRODUCTS = ("-ffp-contract=off",)  # the same levels with and without fused multiply-adds
UNIT_FLAGS = {
    "kernels_avx512.cpp": AVX512_FLAGS,
    "kernels_avx2.cpp": AVX2_FLAGS,
    "training_avx512.cpp": (*AVX512_FLAGS, *LOOPS_TO_VECTORS),
    "training_avx2.cpp": (*AVX2_FLAGS, *LOOPS_TO_VECTORS),
    "training_neon.cpp": LOOPS_TO_VECTORS,
    "training_portable.cpp": LOOPS_TO_VECTORS,
    "int8_kernels_vnni.cpp": (*AVX512_FLAGS, "-mavx512vnni", *ROUNDED_PRODUCTS),
    "int8_kernels_avx2.cpp": (*AVX2_FLAGS, *ROUNDED_PRODUCTS),
    "int8_kernels_portable.cpp": (*LOOPS_TO_VECTORS, *ROUNDED_PRODUCTS),
}
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
X86_MACHINES = frozenset({"x86_64", "AMD64"})
ARM_MACHINES = frozenset({"aarch64", "arm64"})
FOLDERS = (".", "training", "int8")  # whose units the library has; their file names differ
DISPATCHED = ("kernels", "training", "int8_kernels")  # units of which there is one for each instruction set
FUZZ_DRIVERS = ("fuzz_driver", "training_fuzz_driver", "int8_fuzz_driver")
FINGERPRINT_UNIT = "about.cpp"


class BuildError(RuntimeError):
    """The library could not be built; the message says what is missing or what the compiler said."""


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """A C++17 compiler that was seen to work: its command and its version line."""

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """The compiler that ``$CXX`` names, or else the first working one of c++, g++ and clang++ on the path.

    Raises BuildError, naming what was tried, if there is none.
    """
    named = tuple(os.environ.get("CXX", "").split())
    candidates = [named] if named else [(name,) for name in COMPILERS]
    tried = []
    for command in candidates:
        if shutil.which(command[0]) is None:
            tried.append(f"{command[0]}: not found")
            continue
        compiler = Compiler(command=command, version=_version(command))
        problem = _compile_problem(compiler)
        if problem is None:
            return compiler
        tried.append(f"{' '.join(command)}: {problem}")
    message = "no working C++17 compiler (" + "; ".join(tried) + "). Install g++ or clang++, or set CXX."
    raise BuildError(message)


def build_if_changed(folder: Path) -> Path:
    """The library in ``folder``, compiled only if the one there was made from other sources or flags.

    Raises BuildError if it cannot be built.
    """
    library = folder / LIBRARY_NAME
    return library if is_up_to_date(library) else build(folder)


def is_up_to_date(library: Path) -> bool:
    """Whether this library is there and was made from the sources and flags as they are now."""
    return library.is_file() and source_fingerprint().encode() in library.read_bytes()


def build(folder: Path, *, extra_flags: Sequence[str] = (), compiler: Compiler | None = None) -> Path:
    """Compiles the library into ``folder`` and returns its path; the file appears only when it is whole.

    ``extra_flags`` go to every compile and to the link (sanitizers, say). Raises BuildError if a step fails.
    """
    compiler = compiler or find_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
        objects = compile_units(Path(scratch), compiler, extra_flags)
        finished = Path(scratch) / LIBRARY_NAME
        link = [*compiler.command, "-shared", *extra_flags, *map(str, objects), "-pthread", "-o", str(finished)]
        _run(link, "linking")
        target = folder / LIBRARY_NAME
        finished.replace(target)
    return target


def compile_units(folder: Path, compiler: Compiler, extra_flags: Sequence[str] = ()) -> list[Path]:
    """Compiles every translation unit for this machine into ``folder``; returns the object files, sorted."""

    def compile_one(source: Path) -> Path:
        target = folder / (source.stem + ".o")
        named = [f'-DN2NSURGERY_SOURCES="{source_fingerprint()}"'] if source.name == FINGERPRINT_UNIT else []
        flags = [*COMMON_FLAGS, *UNIT_FLAGS.get(source.name, ()), *named, *extra_flags]
        _run([*compiler.command, *flags, "-c", str(source), "-o", str(target)], source.name)
        return target

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        longest_first = sorted(translation_units(), key=lambda source: source.name not in UNIT_FLAGS)
        return sorted(pool.map(compile_one, longest_first))


def build_fuzz_drivers(folder: Path, *, compiler: Compiler | None = None) -> list[Path]:
    """Compiles FUZZ_DRIVERS with address and undefined sanitizers into ``folder``; returns their paths."""
    compiler = compiler or find_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    flags = ("-O1", "-g", *SANITIZERS)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
        objects = [path for path in compile_units(Path(scratch), compiler, flags) if path.stem != "ops"]
        for name in FUZZ_DRIVERS:
            source = SOURCES / "fuzz" / f"{name}.cpp"
            command = [*compiler.command, "-std=c++17", *flags, f"-I{SOURCES}", str(source), *map(str, objects)]
            _run([*command, "-pthread", "-o", str(folder / name)], source.name)
    return [folder / name for name in FUZZ_DRIVERS]


def translation_units() -> list[Path]:
    """The sources that this machine's architecture compiles, sorted by name."""
    skipped: set[str] = set()
    if platform.machine() not in X86_MACHINES:
        skipped |= {f"{unit}_{instructions}" for unit in DISPATCHED for instructions in ("avx512", "avx2", "vnni")}
    if platform.machine() not in ARM_MACHINES:
        skipped |= {f"{unit}_neon" for unit in DISPATCHED}
    return sorted(path for folder in FOLDERS for path in (SOURCES / folder).glob("*.cpp") if path.stem not in skipped)


def source_fingerprint() -> str:
    """A hash of all sources, the flags and the architecture: a library that holds it is up to date."""
    recipe = (platform.system(), platform.machine(), COMMON_FLAGS, sorted(UNIT_FLAGS.items()))
    digest = hashlib.sha256(repr(recipe).encode())
    sources = [path for folder in FOLDERS for kind in ("*.cpp", "*.h") for path in (SOURCES / folder).glob(kind)]
    for path in sorted(sources):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(command: tuple[str, ...]) -> str:
    outcome = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return outcome.stdout.splitlines()[0] if outcome.stdout else "unknown version"


def _compile_problem(compiler: Compiler) -> str | None:
    """None if the compiler makes a C++17 shared library, else what it said."""
    program = "#include <optional>\n#include <thread>\nint probe() { std::optional<int> x = 1; return *x; }\n"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text(program)
        target = Path(folder) / LIBRARY_NAME
        command = [*compiler.command, "-std=c++17", "-shared", "-fPIC", str(source), "-o", str(target)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return None if outcome.returncode == 0 else _excerpt(outcome.stderr)


def _run(command: list[str], what: str) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if outcome.returncode != 0:
        message = f"{what} failed: {' '.join(command)}\n{_excerpt(outcome.stderr)}"
        raise BuildError(message)


def _excerpt(text: str, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[:lines])


def main() -> int:
    """Command line: builds the library into FOLDER (default: beside this file) and writes its path."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--fuzz", action="store_true", help="build the sanitized fuzz drivers instead")
    parser.add_argument("--flag", action="append", default=[], help="extra compiler flag, repeatable")
    arguments = parser.parse_args()
    try:
        if arguments.fuzz:
            built = build_fuzz_drivers(arguments.folder)
        else:
            built = [build(arguments.folder, extra_flags=arguments.flag)]
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in built)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What this machine offers: versions, devices, ONNX Runtime's providers, the C++ compiler and the sparse runtime."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from n2nsurgery import runtime
from n2nsurgery.core.errors import RunError

_PACKAGES = (
    "n2nsurgery",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "safetensors",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "matplotlib",
    "jinja2",
    "tensorboard",
    "lightning",
    "transformers",
    "accelerate",
)


@dataclass(frozen=True, kw_only=True)
class CompilerInfo:
    """The C++ compiler on the path and the first line it says of itself."""

    path: str
    version: str


@dataclass(frozen=True, kw_only=True)
class SparseRuntime:
    """The library and the instruction set it uses here, or else the problem; `path` is None where it is not built."""

    path: str | None
    instruction_set: str | None
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The machine as values; a package that is not installed has the version None."""

    platform: str
    python: str
    packages: dict[str, str | None]
    devices: tuple[str, ...]
    onnxruntime_providers: tuple[str, ...]
    compiler: CompilerInfo | None
    sparse_runtime: SparseRuntime

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def run() -> Diagnosis:
    """The diagnosis of this machine."""
    return Diagnosis(
        platform=platform.platform(),
        python=platform.python_version(),
        packages={name: _installed(name) for name in _PACKAGES},
        devices=_devices(),
        onnxruntime_providers=_providers(),
        compiler=_compiler(),
        sparse_runtime=_sparse_runtime(),
    )


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> tuple[str, ...]:
    """The CPU and every CUDA device, named as `--device` takes them."""
    cpu = f"cpu (cores: {os.cpu_count()}, threads of torch: {torch.get_num_threads()})"
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return (cpu, *(f"cuda:{i} ({p.name}, {p.total_memory / 1e9:.0f} GB)" for i, p in enumerate(properties)))


def _providers() -> tuple[str, ...]:
    """ONNX Runtime's execution providers; none where no ONNX Runtime is installed."""
    try:
        from n2nsurgery.export.ort.providers import available_providers
    except RunError:
        return ()
    return available_providers()


def _compiler() -> CompilerInfo | None:
    """The compiler that CXX names, or else the first usual one on the path."""
    candidates = filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++"))
    path = next((found for name in candidates if (found := shutil.which(name))), None)
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    return CompilerInfo(path=path, version=next(iter(answer.stdout.splitlines()), "silent about its version"))


def _sparse_runtime() -> SparseRuntime:
    path = None
    try:
        path = str(runtime.library_path())
        return SparseRuntime(path=path, instruction_set=runtime.instruction_set(), problem=None)
    except runtime.LibraryNotBuiltError as error:
        return SparseRuntime(path=path, instruction_set=None, problem=str(error))

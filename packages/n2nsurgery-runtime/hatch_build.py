"""Build hook of the wheel: compiles the library from the repository's sources; without a compiler there is no wheel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags


class RuntimeBuildHook(BuildHookInterface[Any]):
    """Adds the library to the wheel, and tags the wheel for any Python 3 of this platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile the library, unless it is up to date; an error of the compiler ends the build."""
        sources = runtime_sources(Path(self.root))
        library = load_builder(sources / "build.py").build_if_changed(Path(self.root) / "build")
        for file in (library, sources / "registration.py"):
            build_data["force_include"][str(file)] = f"n2nsurgery_runtime/{file.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{own_platform()}"


def runtime_sources(root: Path) -> Path:
    """The sources of the runtime: in a source distribution below its root, else those of the repository."""
    own = root / "n2nsurgery" / "runtime"
    return own if own.is_dir() else root.parents[1] / "n2nsurgery" / "runtime"


def own_platform() -> str:
    """This platform's own tag, `linux_x86_64` or `macosx_14_0_arm64`; auditwheel makes a manylinux tag of the first."""
    tags = list(platform_tags())
    return next((tag for tag in tags if tag.startswith("linux")), tags[0])


def load_builder(path: Path) -> ModuleType:
    """The module that compiles, without its package, whose dependencies are not installed here."""
    spec = importlib.util.spec_from_file_location("n2nsurgery_runtime_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module

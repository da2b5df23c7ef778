"""Build hook of the wheel and of editable installs: compiles the sparse runtime where a C++17 compiler is there.

Without one, or with N2NSURGERY_NO_RUNTIME=1, the package installs all the same and its models run as dense ones.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

SKIP_VARIABLE = "N2NSURGERY_NO_RUNTIME"


class RuntimeBuildHook(BuildHookInterface[Any]):
    """Adds the library to what is packed, and tags the wheel for any Python 3 of this platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile, unless the library is up to date; whatever goes wrong is said and fails no installation."""
        if os.environ.get(SKIP_VARIABLE, "0") not in {"", "0"}:
            self.app.display_info(f"The sparse runtime is not built: {SKIP_VARIABLE} is set.")
            return
        folder = Path(self.root, "n2nsurgery", "runtime")
        builder = load_builder(folder / "build.py")
        try:
            library = builder.build_if_changed(folder)
        except (builder.BuildError, OSError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            self.app.display_warning(f"The sparse runtime is not built, models run as dense ones: {reason}")
            return
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())  # although git ignores it
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{own_platform()}"  # the library has no symbol of its interpreter


def own_platform() -> str:
    """This platform's own tag, `linux_x86_64` or `macosx_14_0_arm64`; auditwheel makes a manylinux tag of the first."""
    tags = list(platform_tags())
    return next((tag for tag in tags if tag.startswith("linux")), tags[0])


def load_builder(path: Path) -> ModuleType:
    """The module that compiles, without its package, whose dependencies may not be installed yet."""
    spec = importlib.util.spec_from_file_location("n2nsurgery_runtime_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module

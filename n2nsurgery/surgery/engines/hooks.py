"""What runs in the hooks of a model that carries skips: scopes, captures and insertions.

A scope is one call of the module that holds both ends of a skip. It is opened before that call and closed after it,
also by an exception; what was captured lives in between and no longer. Calls may nest, and every thread has its own.
All hooks are bound methods of the classes here, so that deepcopy and pickle carry them along with the model.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import RunError
from n2nsurgery.surgery.planning.route import Boundary, Route


@dataclass(kw_only=True, eq=False)
class Frame:
    """One call of a scope's module: how often each hook was reached, and the captured activations by their boundary."""

    reached: dict[str, int] = field(default_factory=dict)
    captured: dict[str, Tensor] = field(default_factory=dict)

    def turn(self, hook: str) -> int:
        """How many calls of this hook came before, within the frame."""
        before = self.reached.get(hook, 0)
        self.reached[hook] = before + 1
        return before


class Scope:
    """The frames of one module that are open, by thread; innermost last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._frames: dict[int, list[Frame]] = {}

    @property
    def frame(self) -> Frame | None:
        """The innermost open frame of this thread; None outside of every call."""
        frames = self._frames.get(_thread())
        return frames[-1] if frames else None

    def open(self, module: nn.Module, _args: Any) -> None:  # noqa: ANN401 - a hook
        """Forward pre-hook of the scope's module; raises RunError for a replica of it."""
        if getattr(module, "_is_replica", False):
            raise RunError(
                "nn.DataParallel runs replicas of the model, and its skips stay with the original: train with"
                " DistributedDataParallel, or give DataParallel one device"
            )
        self._frames.setdefault(_thread(), []).append(Frame())

    def close(self, _module: nn.Module, _args: Any, _output: Any) -> None:  # noqa: ANN401 - a hook
        """Forward hook of the scope's module; runs after an exception, too."""
        thread = _thread()
        frames = self._frames.get(thread)
        if frames:
            frames.pop()
        if not frames:
            self._frames.pop(thread, None)

    def saved(self) -> Callable[[], AbstractContextManager[None]]:
        """A maker of contexts in which the innermost frame is open as it is now, for a part that is run again."""
        frame = self.frame
        if frame is None:
            return nullcontext
        reached, captured = dict(frame.reached), dict(frame.captured)
        return lambda: self._open(Frame(reached=dict(reached), captured=dict(captured)))

    @contextmanager
    def _open(self, frame: Frame) -> Iterator[None]:
        frames = self._frames.setdefault(_thread(), [])
        frames.append(frame)
        try:
            yield
        finally:
            frames.pop()
            if not frames:
                self._frames.pop(_thread(), None)

    def __getstate__(self) -> dict[str, Any]:
        """Without open frames: a copy starts outside of every call."""
        return {"path": self.path, "_frames": {}}


def _thread() -> int:
    return 0 if torch.compiler.is_compiling() else threading.get_ident()


class Capture:
    """Keeps the activation at `boundary`, for the skips that start there."""

    def __init__(self, scope: Scope, boundary: Boundary, *, copies: bool) -> None:
        self.scope = scope
        self.boundary = boundary
        self.name = str(boundary)
        self.copies = copies

    def on_output(self, _module: nn.Module, _args: Any, output: Any) -> None:  # noqa: ANN401 - a hook
        """Forward hook."""
        self._keep(output)

    def on_input(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook with keyword arguments."""
        self._keep(_argument(self.boundary, args, kwargs))

    def _keep(self, value: Tensor) -> None:
        frame = self.scope.frame
        if frame is not None and frame.turn(self.name) == self.boundary.call:
            frame.captured[self.name] = value.clone() if self.copies else value


class Insertion:
    """Puts the result of the skip `name` in place of the pre-activation at the route's target.

    `skips` holds that skip under the last part of its name, and is asked at every call: what stands there then is what
    runs. `unused`: the skip runs, and the pre-activation stays as it is.
    """

    def __init__(self, scope: Scope, skips: nn.Module, name: str, route: Route) -> None:
        self.scope = scope
        self.skips = skips
        self.name = name
        self.key = name.rpartition(".")[2]
        self.route = route
        self.source = str(route.source)
        self.unused = False
        self.told = False

    @property
    def skip(self) -> nn.Module:
        """The skip that runs here."""
        return self.skips.get_submodule(self.key)

    def on_output(self, module: nn.Module, _args: Any, output: Any) -> Any:  # noqa: ANN401 - a hook
        """Forward hook."""
        return self._added(output, module)

    def on_input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Forward pre-hook with keyword arguments."""
        target = self.route.target
        added = self._added(_argument(target, args, kwargs), module)
        if target.position is None:
            return args, {**kwargs, str(target.keyword): added}
        return (*args[: target.position], added, *args[target.position + 1 :]), kwargs

    def _added(self, z: Tensor, module: nn.Module) -> Tensor:
        frame = self.scope.frame
        if frame is not None and frame.turn(self.name) != self.route.target.call:
            return z
        if frame is None or self.source not in frame.captured:
            self._require_left_out(frame, module)
            return z
        added: Tensor = self.skip(z, frame.captured[self.source])
        return z if self.unused else added

    def _require_left_out(self, frame: Frame | None, module: nn.Module) -> None:
        """Return where the model, while it trains, may have left out the source's layer, and warn the first time.

        Models with LayerDrop (Fan et al. 2020) do so at random. Raises RunError elsewhere.
        """
        around = f"'{self.scope.path}'" if self.scope.path else "the model"
        ran = (
            f"skip '{self.name}': its target ({self.route.target}) ran without its source ({self.source}) in the same"
            f" call of {around}"
        )
        if frame is None or not module.training:
            raise RunError(
                f"{ran}: call {around} or a module around it, as a whole; a checkpointed part of a model has to hold"
                " both ends"
            )
        if not self.told:
            self.told = True
            warnings.warn(f"{ran}: a layer that is left out in training has nothing to add", stacklevel=4)


def _argument(boundary: Boundary, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """The argument at `boundary`; RunError where the call has none there."""
    missing = boundary.keyword not in kwargs if boundary.position is None else boundary.position >= len(args)
    if missing:
        raise RunError(f"the {boundary} was given in another form than when the model was traced")
    return kwargs[str(boundary.keyword)] if boundary.position is None else args[boundary.position]

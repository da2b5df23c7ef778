"""Attaches skips to a model: one child module that holds them, and hooks at the boundaries of their routes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.outputs import drop_call_states, keep_call_state
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.engines.hooks import Capture, Insertion, Scope
from n2nsurgery.surgery.engines.skip_modules import add_skip_modules
from n2nsurgery.surgery.planning.route import Boundary, Route

_OURS = (Capture, Insertion, Scope)


def attach_skips(module: nn.Module, skips: Sequence[SkipSpec], routes: Sequence[Route]) -> tuple[Insertion, ...]:
    """Add the skips to `module` in place, with zero weights; its class, forward and state_dict keys stay.

    Returns what runs at the targets, in the order of `skips`. Raises InvalidFileError where the model lacks
    a module that a route names, naming all of them.
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    ends = {end for route in routes for end in (route.scope, route.source.module, route.target.module)}
    if missing := sorted(ends - modules.keys()):
        raise InvalidFileError(f"the plan does not fit this model: it has no module {', '.join(missing)}")
    if len(skips) != len(routes):
        raise InvalidFileError(f"the plan has {len(skips)} skips and routes for {len(routes)}")
    add_skip_modules(module, skips)
    holder = skips[0].name.rpartition(".")[0] if skips else ""
    scopes = {path: Scope(path) for path in dict.fromkeys(route.scope for route in routes)}
    # Insertions come first: where one module is the target of a skip and the source of another, the other starts from
    # what the first has added.
    insertions: list[Insertion] = []
    for skip, route in zip(skips, routes, strict=True):
        insertion = Insertion(scopes[route.scope], module.get_submodule(holder), skip.name, route)
        _hook(modules[route.target.module], route.target, insertion)
        insertions.append(insertion)
    captures = {(route.scope, route.source): route for route in routes}
    for (around, boundary), route in captures.items():
        _hook(modules[boundary.module], boundary, Capture(scopes[around], boundary, copies=route.copies))
    for path, scope in scopes.items():
        modules[path].register_forward_pre_hook(scope.open, prepend=True)
        modules[path].register_forward_hook(scope.close, always_call=True)
        keep_call_state(modules[path], scope)
    return tuple(insertions)


def detach_skips(module: nn.Module) -> None:
    """Take off the hooks of `attach_skips`, in place; the modules of the skips stay."""
    for part in module.modules():
        for hooks, flags in (
            (part._forward_hooks, (part._forward_hooks_with_kwargs, part._forward_hooks_always_called)),  # noqa: SLF001
            (part._forward_pre_hooks, (part._forward_pre_hooks_with_kwargs,)),  # noqa: SLF001
        ):
            for key in [key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", None), _OURS)]:
                del hooks[key]
                for flag in flags:
                    flag.pop(key, None)
    drop_call_states(module, Scope)


def _hook(module: nn.Module, boundary: Boundary, hook: Capture | Insertion) -> None:
    if boundary.side == "output":
        module.register_forward_hook(hook.on_output)
    else:
        module.register_forward_pre_hook(hook.on_input, with_kwargs=True)

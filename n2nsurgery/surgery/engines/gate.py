"""The gate: before anything is pruned, what surgery adds or replaces must not change what the model computes.

Compared are outputs, buffers and the gradient of every parameter, in train and eval mode, at two batch sizes and two
input sizes, with the same random numbers. On the CPU, outputs and buffers are equal to the bit, and gradients up to
rounding: where two of them meet, the memory layout may change, and with it the order of the sums before that place.
Other devices may add in another order in each run.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import RunError, TraceError
from n2nsurgery.surgery.engines.attach import attach_skips
from n2nsurgery.surgery.engines.observation import Case, Observation, cases_of, larger_cases, observe
from n2nsurgery.surgery.planning.plan import SurgeryPlan

_LOG = logging.getLogger(__name__)
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5  # of sums in another order, on a GPU
_ROUNDING = 1e-4  # of a gradient's largest entry: sums of some thousand float32 products, in another order
_NO_MEMORY = "can't allocate memory"  # torch has no class for it on a CPU
_COPIES = 5  # measured with a transformer of 2.4 GB, tracing and pruning included
_NOISE = 1e-7  # of the largest entry of all gradients: what is smaller may be nothing but rounding


def require_harmless(model: nn.Module, plan: SurgeryPlan, inputs: Mapping[str, Any]) -> None:
    """Return where `model`, with the plan's skips at zero weights, shows what it shows without them.

    Looked at are both modes, two batch sizes, and inputs of another size where the model takes them. A copy carries
    the skips; `model` is as before. A case is left out where the model itself fails (a batch of one in train mode,
    say; with a warning where memory is short) or shows something else every time. Raises TraceError, with what
    differs: then a route leads elsewhere than the trace says.
    """
    if not plan.skips:
        return
    module = _twin(model)
    for insertion in attach_skips(module, plan.skips, plan.engine.routes):
        # A skip without weights cannot be zero: it runs, and its result is not used.
        insertion.unused = next(insertion.skip.parameters(), None) is None
    for case in cases_of(inputs)[:2]:  # each mode and each batch size once
        _compared(model, module, case)
    any(_compared_if_it_fits(model, module, case) for case in larger_cases(inputs))


def _twin(model: nn.Module) -> nn.Module:
    """A copy of `model` whose parameters lie in the same memory, with gradients of their own."""
    shared: dict[int, Any] = {
        id(each): nn.Parameter(each.detach(), requires_grad=each.requires_grad)
        for each in model.parameters()
        if type(each) is nn.Parameter
    }
    return copy.deepcopy(model, shared)


def _compared_if_it_fits(model: nn.Module, module: nn.Module, case: Case) -> bool:
    """See `_compared`: without gradients where there is no memory for them, and not at all where that is too much."""
    for each in (case, replace(case, gradients=False)):
        try:
            if _compared(model, module, each):
                return True
        except RunError:
            _LOG.warning("too little memory to compare %s: %s", "gradients" if each.gradients else "outputs", case)
    return False


def _compared(model: nn.Module, module: nn.Module, case: Case) -> bool:
    """Whether `model` runs in this case; if so, `module` shows the same in it. See `require_harmless`.

    The gradients of `model` take as much memory as its weights, and are let go at the end; those of `module` one by
    one.
    """
    without = _seen(model, case)
    if without is not None:
        _require_equal(model, without, module, case)
    return without is not None


def _require_equal(model: nn.Module, without: Observation, module: nn.Module, case: Case) -> None:
    """Return where `module` shows in this case what `model` showed `without` skips; see `require_harmless`."""
    noise = _noise(without)

    def settles(name: str, gradient: Tensor) -> bool:
        expected = without.values.get(name, gradient)
        return _same(expected, gradient) or _rounded(expected, gradient, noise)

    try:
        different = _different(without, observe(module, case, settles), zero_is_none=True)
    except Exception as error:
        if _of_memory(error):
            raise RunError(
                f"too little memory to compare {type(module).__name__} with and without skips ({case}), which takes"
                f" about {_COPIES} times the memory of its parameters. It can be pruned with skip 'none'"
            ) from error
        raise TraceError(
            f"with skips {type(module).__name__} fails where it did not without ({case}): {error}. Its forward takes"
            " another path than the one that was traced: prune it without skips, or without this one"
        ) from error
    again = _seen(model, case) if different else None
    if again is not None and not _different(without, again):
        raise TraceError(
            f"skips without weights change what {type(module).__name__} computes ({case}): {different}. Its forward"
            " takes another path than the one that was traced: prune it without skips"
        )


def require_same(model: nn.Module, replacement: nn.Module, inputs: Mapping[str, Any]) -> None:
    """Return where `replacement` shows what `model` shows; raises TraceError, with what differs, where it does not.

    Cases in which the model itself fails are left out.
    """
    for case in cases_of(inputs):
        expected = _seen(model, case)
        if expected is None:
            continue
        different = _different(expected, observe(replacement, case))
        if different:
            raise TraceError(
                f"the rewritten copy of {type(model).__name__} does not do what the original does ({case}):"
                f" {different}. Its code has an effect that a data-flow graph cannot hold; take the engine 'hooks'"
            )


def _seen(module: nn.Module, case: Case) -> Observation | None:
    try:
        return observe(module, case)
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises
        level = logging.WARNING if _of_memory(error) else logging.DEBUG
        _LOG.log(level, "not compared: %s fails in %s: %s", type(module).__name__, case, error)
        return None


def _of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY in str(error)


def _different(expected: Observation, found: Observation, *, zero_is_none: bool = False) -> str:
    """The first thing that differs, in words; empty where nothing does. What only `found` has is not looked at.

    `zero_is_none`: a gradient of zeros is as good as none. A skip gives one to layers that the model itself detaches.
    """
    noise = _noise(expected)
    for name, value in expected.values.items():
        if name in found.settled:
            continue
        if name not in found.values:
            return f"{name} is missing"
        seen = found.values[name]
        if zero_is_none and value is None and isinstance(seen, Tensor) and not seen.any():
            continue
        if not _same(value, seen) and not (name in expected.gradients and _rounded(value, seen, noise)):
            return f"{name} differs{_distance(value, seen)}"
    return ""


def _noise(seen: Observation) -> float:
    """How large an entry of a gradient may be and still be nothing but rounding."""
    return _NOISE * max(map(_largest, seen.gradients.values()), default=0.0)


def _same(first: object, second: object) -> bool:
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        return type(first) is type(second) and (first is second or _equal(first, second))
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.device.type == "cpu":
        return bool(((first == second) | (first.isnan() & second.isnan())).all())
    return torch.allclose(first, second, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)


def _rounded(expected: object, found: object, noise: float) -> bool:
    """Whether two gradients differ by no more than sums in another order do."""
    if not (isinstance(expected, Tensor) and isinstance(found, Tensor)) or expected.shape != found.shape:
        return False
    return _largest(expected - found) <= max(_ROUNDING * _largest(expected), noise)


def _largest(value: object) -> float:
    return value.detach().abs().max().item() if isinstance(value, Tensor) and value.numel() else 0.0


def _equal(first: object, second: object) -> bool:
    """Plain values are compared; of objects, all that can be said is their type."""
    return first == second if isinstance(first, int | float | str | bytes | tuple) else True


def _distance(first: object, second: object) -> str:
    if isinstance(first, Tensor) and isinstance(second, Tensor) and first.shape == second.shape and first.numel():
        return f" by up to {(first.double() - second.double()).abs().max().item():.3g}"
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        kinds = (f"{str(each.dtype).removeprefix('torch.')} of shape {tuple(each.shape)}" for each in (second, first))
        return ": {} in place of {}".format(*kinds)
    return f": {type(second).__name__} in place of {type(first).__name__}"

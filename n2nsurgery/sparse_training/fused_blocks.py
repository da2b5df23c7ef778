"""Blocks whose BatchNorm, sum and ReLU are one pass, or a sparse layer and its ReLU.

A block's forward is followed once by torch.fx, with its children as single steps. It is fused where it does nothing but
call them, add and apply ReLUs, in both modes alike. Where the children, or hooks on them, have changed since, a call is
the class's own forward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, fx, nn

from n2nsurgery.graph.tracing.traced_module import forward_of
from n2nsurgery.sparse_training.graph_fusion import fits, fuse_graph, is_relu, is_sum, watched

_MODULE = frozenset(nn.Module().__dict__)
_PLAIN = (bool, int, float, str, tuple, type(None))


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The fused forward of a block with these children; hooks on those of `fused` must not be there."""

    run: Callable[[nn.Module, Tensor], Tensor]
    children: tuple[nn.Module | None, ...]
    fused: tuple[nn.Module, ...]


class FusedBlock(nn.Module):
    """Computes what the class behind it does; see `fuse_block`."""

    n2n_kind: ClassVar[type[nn.Module]]
    n2n_plan: _Plan | None

    def forward(self, x: Tensor) -> Tensor:
        """What the block gives."""
        if "n2n_plan" not in self.__dict__:
            self.__dict__["n2n_plan"] = _plan_of(self)
        plan = self.n2n_plan
        if plan is None or plan.children != tuple(self._modules.values()) or any(map(watched, plan.fused)):
            result: Tensor = self.n2n_kind.forward(self, x)
            return result
        return plan.run(self, x)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # noqa: ANN401 - as Python calls it
        """How a copy is made, also in another process: it makes its own plan."""
        reduced = super().__reduce_ex__(protocol)
        assert isinstance(reduced, tuple)  # of an object that no module defines as a name
        return _made_anew, (self.n2n_kind,), {name: value for name, value in reduced[2].items() if name != "n2n_plan"}


def fuse_block(block: nn.Module) -> None:
    """Let `block` compute norms, sums and ReLUs in one pass, where it can."""
    kind = type(block)
    ours = any(map(fits, block.children()))
    if not ours or kind.__module__.startswith("torch.nn.") or kind.__reduce_ex__ is not object.__reduce_ex__:
        return
    plan = _plan_of(block)
    if plan is not None:
        block.__class__ = _fused_class(kind)
        block.__dict__["n2n_plan"] = plan


_classes: dict[type[nn.Module], type[nn.Module]] = {}


def _fused_class(kind: type[nn.Module]) -> type[nn.Module]:
    fresh = type(kind.__name__, (FusedBlock, kind), {"__module__": kind.__module__, "n2n_kind": kind})
    return _classes.setdefault(kind, fresh)


def _made_anew(kind: type[nn.Module]) -> nn.Module:
    made = _fused_class(kind)
    return made.__new__(made)


class _OneStepEach(fx.Tracer):
    """Takes every child as one step."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - torch's signature
        return True


def _plan_of(block: nn.Module) -> _Plan | None:
    """How a block is computed in fewer passes; None where it does anything else, or nothing can be fused."""
    if _has_state(block):
        return None
    graphs = [_followed(block, training=training) for training in (True, False)]
    if graphs[0] is None or graphs[1] is None or str(graphs[0]) != str(graphs[1]):
        return None
    fused = fuse_graph(graphs[0], block)
    children = tuple(block._modules.values())  # noqa: SLF001 - with those that are None
    return _Plan(run=forward_of(graphs[0]), children=children, fused=tuple(fused)) if fused else None


def _has_state(block: nn.Module) -> bool:
    """Whether a forward could change something of the block's own that cannot be put back."""
    own = [value for name, value in block.__dict__.items() if name not in _MODULE and name != "n2n_plan"]
    return bool(block._parameters or block._buffers) or not all(isinstance(value, _PLAIN) for value in own)  # noqa: SLF001


def _followed(block: nn.Module, *, training: bool) -> fx.Graph | None:
    """The graph of a forward of one input without side effects, or None."""
    before = block.__dict__ | {"training": training}
    mode, block.training = block.training, training
    kind = type(block)
    block.__class__ = getattr(kind, "n2n_kind", kind)
    try:
        graph = _OneStepEach().trace(block)
    except Exception:  # noqa: BLE001 - whatever a forward says of values that it cannot look at
        return None
    finally:
        unchanged = block.__dict__.keys() == before.keys() and all(block.__dict__[k] is v for k, v in before.items())
        block.__dict__.clear()
        block.__dict__.update(before | {"training": mode})
        block.__class__ = kind
    if not unchanged or sum(node.op == "placeholder" for node in graph.nodes) != 1:
        return None
    return graph if all(_is_known(node) for node in graph.nodes) else None


def _is_known(node: fx.Node) -> bool:
    """Whether a step depends on nothing but other steps, so that it is the same in every call."""
    if not all(isinstance(value, fx.Node) for value in node.args) or not node.kwargs.keys() <= {"inplace"}:
        return False
    return node.op in {"placeholder", "output", "call_module"} or is_relu(node) or is_sum(node)

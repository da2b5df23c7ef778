"""What a skip kind offers, and the registry that finds the kinds.

A kind is a file in `kinds/` whose `MEMBER` satisfies `SkipKind`. It says where it can be grafted, how many weights it
needs there, and builds the module. The module is called as `skip(z, a)` and returns z plus its branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from n2nsurgery import registries
from n2nsurgery.core.config.members import Scalar, make_member
from n2nsurgery.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from n2nsurgery.graph.layers.layer_graph import LayerPair
    from n2nsurgery.skips.spec import Pooling, SkipSpec


@dataclass(frozen=True, kw_only=True)
class SkipOptions:
    """How skips are to be made: `pooling` where the source is larger, `inner`: the activation on the branch."""

    pooling: Pooling = "average"
    inner: bool = True


class SkipKind(Protocol):
    """One way to lead a source's activation into a target's pre-activation."""

    def accepts(self, pair: LayerPair, options: SkipOptions) -> str | None:
        """The reason why this kind cannot be grafted at `pair`, or None where it can."""
        ...

    def weight_shape(self, pair: LayerPair, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
        """Shape of the kind's weight at `pair` with this `kernel`; None for kinds without weights.

        Raises UsageError where `kernel` does not have one size per spatial dimension of a convolved target.
        """
        ...

    def build(self, spec: SkipSpec) -> nn.Module:
        """The module for `spec` (CPU, float32, weights zero): `forward(z, a)` is z plus the branch.

        Raises InvalidFileError where `spec` contradicts itself.
        """
        ...


KINDS: Registry[type[SkipKind]] = registries.SKIP_KINDS


def kind_of(name: str, options: Mapping[str, Scalar]) -> SkipKind:
    """The skip kind called `name` with its `options`; UnknownNameError, UsageError with the option as the field."""
    made: SkipKind = make_member(KINDS, name, options)
    return made


def build(spec: SkipSpec) -> nn.Module:
    """The module of `spec.kind` for `spec`; see `SkipKind.build`."""
    return kind_of(spec.kind, spec.options).build(spec)

"""Subject: a channel graph under examination, with everything that several metrics need computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.graph.skipless_twin import skipless_twin
from n2nsurgery.connectivity.heat.bottleneck_shares import SETTLED, BottleneckShares, bottleneck_shares
from n2nsurgery.connectivity.heat.components import Edges, GraphComponents, components, with_zero_edges, zero_edges
from n2nsurgery.connectivity.heat.heat import Heat
from n2nsurgery.connectivity.heat.heat_solver import solve_heat
from n2nsurgery.connectivity.heat.laplacian import Laplacian, laplacian
from n2nsurgery.connectivity.heat.low_modes import LowModes, low_modes
from n2nsurgery.connectivity.heat.scree_curves import DEFLATED
from n2nsurgery.connectivity.heat.spectrum import Spectrum, estimated_spectrum, exact_spectrum
from n2nsurgery.connectivity.measures.making import Making
from n2nsurgery.connectivity.measures.self_checks import require_known, require_sane
from n2nsurgery.connectivity.paths.reach import Reach, marked, reach
from n2nsurgery.core.errors import InternalError, UsageError


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a network is called, and where it comes from (`artifact exported/a`, `onnx a.onnx`); empty for unknown."""

    name: str
    origin: str = ""


DENSE_REFERENCE = Origin(name="its own dense form")
TWIN = Origin(name="its twin without skips")


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network's channel graph, what is known of its making, and what has been found out about it.

    `skips`: the kind of each grafted skip, by its block's name. What a skip could hold is not part of the network that
    density is a share of. `dense`: the graph of the same network with every weight and without skips, on the same
    nodes; None where nobody made it. `conventions` and `notes`: sentences on how the graphs were made.
    `making`: how the network was pruned, None where that is not known.
    Everything else is computed when first asked for, and kept.
    """

    graph: ChannelGraph
    skips: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = Origin(name="the network")
    dense: ChannelGraph | None = None
    conventions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    making: Making | None = None

    @cached_property
    def dense_reference(self) -> Subject:
        """The network's own dense form as a Subject; raises UsageError where there is no `dense` graph."""
        if self.dense is None:
            raise UsageError(f"'{self.origin.name}' has no graph of its dense form: give a reference")
        return Subject(graph=self.dense, origin=DENSE_REFERENCE, conventions=self.conventions)

    @cached_property
    def twin(self) -> Subject | None:
        """The same network without skips at equal non-zeros; None without skips or without a `dense` graph."""
        if self.dense is None or not self.skips:
            return None
        graph = skipless_twin(self.graph, self.dense, self.skips)
        return Subject(graph=graph, origin=TWIN, conventions=self.conventions)

    @cached_property
    def operator(self) -> Laplacian:
        """L = D - W."""
        return laplacian(self.graph)

    @cached_property
    def parts(self) -> GraphComponents:
        """The components of the heat graph."""
        return components(self.operator)

    @cached_property
    def zero_edges(self) -> tuple[Edges, ...]:
        """Edges that connect and conduct no heat: all weights kept behind them have the value 0."""
        found = (zero_edges(block) for block in self.graph.blocks)
        return tuple(each for each in found if len(each[0]))

    @cached_property
    def kept_parts(self) -> GraphComponents:
        """The components where edges of value 0 connect as well as those that conduct; negligible edges do not."""
        return with_zero_edges(self.parts, self.zero_edges)

    @cached_property
    def heat(self) -> Heat:
        """The heat flow from the sources, checked: conserved, within [0, 1], starting at A.

        Raises RunError where the conductances are too far apart for double precision.
        """
        initial = marked(self.graph.nodes, self.graph.sources).astype(np.float64)
        heat = solve_heat(self.operator, initial, parts=self.parts)
        try:
            require_sane(heat)
        except InternalError:
            require_known(heat, self.operator)
            raise
        return heat

    @cached_property
    def limits(self) -> BottleneckShares:
        """What limits the heat until it has settled but for 1e-3."""
        return bottleneck_shares(self.graph, self.heat, self.heat.saturation_time(SETTLED))

    @cached_property
    def slow(self) -> LowModes:
        """The slowest modes of the giant component, lambda_2 the first of them."""
        return low_modes(self.operator, self.parts, DEFLATED, within=self.parts.giant)

    @cached_property
    def reach(self) -> Reach:
        """Which nodes lie on paths from the input to the output."""
        return reach(self.graph)

    def spectrum(self, exact_to: int, *, giant: bool = False) -> Spectrum:
        """All eigenvalues, or those of the giant component: exact up to `exact_to` nodes, estimated beyond."""
        within = self.parts.giant if giant else np.ones(self.graph.nodes, dtype=bool)
        if np.count_nonzero(within) <= exact_to:
            return exact_spectrum(self.operator, self.parts, within)
        return estimated_spectrum(self.operator, self.parts, self.slow, within=within)

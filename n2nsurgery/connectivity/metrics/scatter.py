"""Metric `scatter`: how evenly each layer's connections spread over the channels of its input and output.

    S_f = mean over (output, left window) of [some input of the window connects],    S_b likewise backwards

with floor(mean fan-in) left and floor(mean fan-out) right windows (scatter paper, section 3.1, Eq. 1). The equivalent
junction joins input and output wherever there is a path; its mean fans are the number of paths from channel to channel
divided by the number of outputs or inputs, which for equal fans in each layer is their product. Scatter is the
minimum of all. A random layer has about 0.63 of a full one's 1: the ratio to it tells design from chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import SHARE, Column, Measurement, Quantity, finite
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.paths.paths import log10_edge_paths
from n2nsurgery.connectivity.paths.reach import connections
from n2nsurgery.connectivity.paths.scatter_vector import JunctionMask, junction_scatter, mean_fans, random_scatter


@dataclass(frozen=True, kw_only=True)
class ScatterOfLayers:
    """No hyper-parameters: channels have no geometry, so that windows are runs of consecutive channels."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """Scatter of every layer, its ratio to a random layer's, the equivalent junction, and the minimum."""
        graph = subject.graph
        pairs, ratios = {}, {}
        for layer in graph.layers:
            pairs[layer.name] = _scatter(layer.mask, *mean_fans(layer.mask))
            by_chance = min(random_scatter(layer.mask))
            ratios[layer.name] = min(pairs[layer.name]) / by_chance if by_chance else 0.0
        whole = connections(graph)
        paths = min(10 ** min(log10_edge_paths(graph), 300.0), 1e300)
        forwards, backwards = _scatter(whole, paths / whole.shape[0], paths / whole.shape[1])
        every = [value for pair in pairs.values() for value in pair]
        named = {
            "scatter": (
                min([*every, forwards, backwards]),
                "Scatter, the least of all layers and the whole network",
            ),
            "equivalent_f": (forwards, "From windows of the input to the outputs, over all paths"),
            "equivalent_b": (backwards, "From the inputs to windows of the output, over all paths"),
            "smallest_ratio": (min(ratios.values(), default=1.0), "Smallest ratio of a layer to a random one"),
        }
        columns = {
            "f": ({name: pair[0] for name, pair in pairs.items()}, "From windows of the input to each output"),
            "b": ({name: pair[1] for name, pair in pairs.items()}, "From each input to windows of the output"),
            "ratio": (ratios, "The smaller of both, divided by that of a random layer of the same density"),
        }
        return Measurement(
            quantities={n: Quantity(value=finite(value), unit=_unit(n), meaning=m) for n, (value, m) in named.items()},
            columns={n: Column(values=values, unit=_unit(n), meaning=m) for n, (values, m) in columns.items()},
        )


def _unit(name: str) -> str:
    return SHARE if name.endswith("ratio") else ""


def _scatter(junction: JunctionMask, fan_in: float, fan_out: float) -> tuple[float, float]:
    return junction_scatter(junction, fan_in, fan_out, (junction.shape[1],), (junction.shape[0],))


MEMBER = ScatterOfLayers

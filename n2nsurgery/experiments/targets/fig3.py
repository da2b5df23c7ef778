"""Experiment `fig3`: the adjacency matrices of an MLP, dense, pruned to 20 %, and with half of that in skips.

Source: N2NSkip paper, Fig. 3: layers 3072-512-256-128-64, n = 4032 nodes, compression 5x, 10 % skip + 10 % sequential.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.metrics.heat_distance import HeatDistance
from n2nsurgery.experiments.n2nskip.diffusion_networks import SENTENCES, dense_network, pruned_networks
from n2nsurgery.experiments.paper.figures import figure_file
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Table, TableCell, Verdict

_MODEL = "mlp"
_DENSITY = 0.2
_PIXEL = 4  # nodes of one pixel: 4032 nodes are 1008 pixels


@dataclass(frozen=True, kw_only=True)
class Fig3:
    """Drawn from the channel graphs; the counts are those of the drawn edges."""

    trains: ClassVar[bool] = False

    def run(self, config: ExperimentConfig) -> Reproduction:
        """The triptych, the number of edges by the layers that they span, and how far each network's heat is off."""
        rules = GraphOptions()
        config.progress("building the networks", 0.1)
        networks = {"reference": dense_network(_MODEL, rules, seed=config.seed)}
        for title, method in (("RP, 5x", "RP"), ("N2NSkip-RP, 5x", "N2NSkip-RP")):
            networks[title] = pruned_networks(_MODEL, method, _DENSITY, (rules,), seed=config.seed)[0].subject
        config.progress("drawing", 0.7)
        name = "fig3.png"
        with figure_file(config.folder / name, width=12, height=4.4) as figure:
            for axes, (title, subject) in zip(figure.subplots(1, 3), networks.items(), strict=True):
                edges = subject.graph.edges
                axes.imshow(_picture(subject.graph), cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
                axes.set_title(f"{title}: {edges:,} edges")
                groups = subject.graph.groups
                middles = [(group.start + group.stop) / 2 / _PIXEL for group in groups]
                axes.set_xticks(middles, [str(group.stop - group.start) for group in groups], fontsize=6, rotation=90)
                axes.set_yticks(middles, [group.name for group in groups], fontsize=6)
                axes.set_xlabel("neurons of each layer")
        reference = networks["reference"]
        rows = tuple(_row(title, subject, reference) for title, subject in networks.items())
        return Reproduction(
            name="fig3",
            title="Adjacency of an MLP: dense, pruned, pruned with N2NSkip",
            source="N2NSkip paper, Fig. 3",
            conventions=(*SENTENCES, *rules.sentences, f"One pixel stands for {_PIXEL} x {_PIXEL} pairs of nodes."),
            tables=(
                Table(
                    title="Edges by the number of layers that they span, and heat",
                    columns=("network", "1 layer", "3 layers", "in all", "F(t*)", "bound of F"),
                    rows=rows,
                ),
            ),
            verdicts=(
                Verdict(
                    statement="with skips at the same number of non-zeros, heat is nearer to the reference's",
                    outcome="reproduced" if _float(rows[2][4]) < _float(rows[1][4]) else "refuted",
                    evidence=f"F(t*) {rows[1][4]:.4g} without skips, {rows[2][4]:.4g} with",
                ),
            ),
            figures=(name,),
        )


def _float(cell: TableCell) -> float:
    assert isinstance(cell, float)
    return cell


def _picture(graph: ChannelGraph) -> NDArray[np.float32]:
    """The share of connected pairs in every pixel's square, darker the more; both triangles."""
    pixels = -(-graph.nodes // _PIXEL)
    counts = np.zeros((pixels, pixels), dtype=np.float32)
    for block in graph.blocks:
        rows, columns = block.mask.nonzero()
        np.add.at(counts, (block.targets[rows] // _PIXEL, block.sources[columns] // _PIXEL), 1)
    share = (counts + counts.T) / _PIXEL**2
    return np.sqrt(np.minimum(share, 1))  # the eye sees single edges, too


def _row(title: str, subject: Subject, reference: Subject) -> tuple[TableCell, ...]:
    graph = subject.graph
    starts = np.array([group.start for group in graph.groups])
    spans: dict[int, int] = {}
    for block in graph.blocks:
        source, target = (
            int(np.searchsorted(starts, ends.min(), side="right")) for ends in (block.sources, block.targets)
        )
        spans[target - source] = spans.get(target - source, 0) + block.edges
    measured = HeatDistance().measure(subject, reference).quantities
    bound = (2 * len(graph.sources)) ** 0.5
    return (title, spans.get(1, 0), spans.get(3, 0), graph.edges, float(measured["F"].value or 0.0), bound)


MEMBER = Fig3

"""The picture of README: one small network, dense, pruned, and pruned to the same count with skips.

    python docs/surgery_picture.py        # writes docs/surgery.svg

Weights and skips are those that `n2nsurgery.apply` keeps and adds; nothing is drawn by hand. A test compares the file
with what this script draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

import n2nsurgery
from n2nsurgery.connectivity.graph.channel_graph import Block
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of

WIDTH, LAYERS, DENSITY = 8, 6, 0.2
PANEL, GAP, TOP, LEFT = 270, 24, 62, 14
COLUMN, ROW = 40, 19
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #52514c } .title { font-weight: 650; fill: #1b1b19 }
.kept, .skip { fill: none; stroke: #2a78d6; stroke-width: 1.3 } .dense { stroke: #a9a79f; stroke-width: .35 }
.skip { stroke: #e2602a; stroke-width: 1.6 } circle { fill: #1b1b19 }
@media (prefers-color-scheme: dark) {
  text { fill: #b9b7af } .title { fill: #f1efe8 } .dense { stroke: #77756e } circle { fill: #f1efe8 }
}
"""


def subjects() -> Iterator[tuple[str, str, Subject]]:
    """The three networks, each with its title and its counts."""
    layers = [layer for _ in range(LAYERS - 1) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(WIDTH, WIDTH))
    example = torch.zeros(2, WIDTH)
    alone = n2nsurgery.apply(network, example_inputs=example, density=DENSITY, skip="none")
    grafted = n2nsurgery.apply(network, example_inputs=example, density=DENSITY)
    pruned = subject_of(alone)
    in_skips = sum(count for name, count in grafted.masks.counts.items() if name not in alone.masks)
    yield "dense", f"{alone.masks.numel} weights", pruned.dense_reference
    yield "pruned", f"{alone.masks.kept} weights", pruned
    yield "pruned, with skips", f"{grafted.masks.kept} weights, {in_skips} of them in skips", subject_of(grafted)


def drawing() -> str:
    """The picture as an SVG document."""
    panels = [
        f'<g transform="translate({LEFT + index * (PANEL + GAP)} 0)">\n{_panel(*each)}\n</g>'
        for index, each in enumerate(subjects())
    ]
    width, height = 2 * LEFT + 3 * PANEL + 2 * GAP, TOP + WIDTH * ROW + 8
    meaning = "A dense network, the same one pruned, and pruned to the same number of weights with skips"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{meaning}">\n'
        f"<style>{STYLE}</style>\n{chr(10).join(panels)}\n</svg>\n"
    )


def _panel(title: str, counts: str, subject: Subject) -> str:
    graph = subject.graph
    places = {
        node: (column * COLUMN + 6, TOP + (node - group.start) * ROW + 6)
        for column, group in enumerate(graph.groups)
        for node in range(group.start, group.stop)
    }
    edges = [_edge(block, subject, places, each) for block in graph.blocks for each in np.argwhere(block.mask)]
    nodes = [f'<circle cx="{x}" cy="{y}" r="3.5"/>' for x, y in places.values()]
    heading = f'<text class="title" y="16">{title}</text><text y="36">{counts}</text>'
    return "\n".join([heading, *edges, *nodes])


def _edge(block: Block, subject: Subject, places: dict[int, tuple[int, int]], each: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = places[int(block.sources[each[1]])], places[int(block.targets[each[0]])]
    if block.name in subject.skips:
        bend = (to_x - x) // 3
        return f'<path class="skip" d="M{x} {y}C{x + bend} {y - 14} {to_x - bend} {to_y - 14} {to_x} {to_y}"/>'
    kind = "kept" if subject.dense is not None else "dense"
    return f'<path class="{kind}" d="M{x} {y}L{to_x} {to_y}"/>'


if __name__ == "__main__":
    Path(__file__).with_name("surgery.svg").write_text(drawing(), encoding="utf-8")

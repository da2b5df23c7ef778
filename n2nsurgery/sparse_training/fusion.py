"""A ReLU behind a BatchNorm or a sparse layer, and the sum of a residual block behind a BatchNorm, become part of it.

They do where nothing else can see what lies between. That is known of a traced module, from its graphs; of a block that
only calls its own modules, adds and applies ReLUs, from a graph of its forward; and inside of a call of an
nn.Sequential. Elsewhere they stay torch's, which keeps the layout and costs one more pass each. A hook that is added
later to a layer of a traced module sees what is behind the ReLU.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.sparse_training.fused_blocks import fuse_block
from n2nsurgery.sparse_training.graph_fusion import fits, fuse_graph, watched


class FusingSequential(nn.Sequential):
    """An nn.Sequential that computes a BatchNorm or a sparse layer and the ReLU behind it in one pass.

    Who calls one of them alone, or looks at them by hooks, gets what each of them gives.
    """

    def forward(self, input: Any) -> Any:  # noqa: A002, ANN401 - torch's signature
        """What nn.Sequential gives."""
        children = iter((*zip(self, [*self][1:], strict=False), (self[-1], None)) if len(self) else ())
        for child, behind in children:
            if fits(child) and type(behind) is nn.ReLU and not watched(behind):
                input = child(input, relu=True)  # noqa: A001
                next(children)
            else:
                input = child(input)  # noqa: A001
        return input


def fuse(twin: nn.Module) -> None:
    """Fuse in place what can be; the modules of `twin` are its own."""
    if isinstance(twin, TracedModule):
        for graph in twin.n2n_graphs:
            fuse_graph(graph, twin)
        twin.recompile()
    for child in twin.modules():
        if type(child) is nn.Sequential:
            child.__class__ = FusingSequential
        elif not isinstance(child, TracedModule):
            fuse_block(child)

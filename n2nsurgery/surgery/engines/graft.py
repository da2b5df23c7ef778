"""Grafts skip modules into a traced module.

    before:  z = norm(conv(x)) -> users of z
    after:   z = norm(conv(x)),  z' = skip(z, a) -> users of z

Adding directly after z (the layer's own norm included) is Eq. 2's z^{l+k} + g(conv(a^l)). The skip modules live under
one child of the root, so that no name of the original changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.engines.skip_modules import add_skip_modules


def graft(module: TracedModule, skips: Sequence[SkipSpec]) -> None:
    """Insert the skips, with zero weights, in place; every graph of `module` gets them.

    Each skip has the dtype and device of its target's layer. Raises InvalidFileError where an address of the plan does
    not exist in the module, naming all of them.
    """
    if not skips:
        return
    missing = sorted({address for skip in skips for address in _ends(skip)} - _addresses(module))
    if missing:
        raise InvalidFileError(f"the plan does not fit this model: it has no node {', '.join(missing)}")
    add_skip_modules(module, skips)
    for graph in module.n2n_graphs:
        _insert(graph, skips)
    module.recompile()


def ungraft(module: TracedModule, skips: Sequence[SkipSpec]) -> None:
    """Take the calls of the skips out of every graph of `module`, in place; their modules stay."""
    names = {skip.name for skip in skips}
    for graph in module.n2n_graphs:
        for node in [node for node in graph.nodes if node.op == "call_module" and node.target in names]:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        graph.lint()
    module.recompile()


def _ends(skip: SkipSpec) -> tuple[str, str]:
    return skip.pair.source_signal.address, skip.pair.target_signal.address


def _addresses(module: TracedModule) -> set[str]:
    """Addresses that every graph of the module has."""
    by_graph = ({node.meta["address"] for node in graph.nodes if "address" in node.meta} for graph in module.n2n_graphs)
    return set.intersection(*by_graph)


def _insert(graph: fx.Graph, skips: Sequence[SkipSpec]) -> None:
    nodes = {node.meta["address"]: node for node in graph.nodes if "address" in node.meta}
    last: dict[str, fx.Node] = {}
    for skip in skips:
        source, target = _ends(skip)
        tail = last.get(target, nodes[target])
        with graph.inserting_after(tail):
            grafted = graph.call_module(skip.name, (tail, nodes[source]))
        grafted.meta.update(address=f"{skip.name}#0", module="", shapes=tail.meta["shapes"])
        tail.replace_all_uses_with(grafted, delete_user_cb=lambda user, new=grafted: user is not new)
        last[target] = grafted
    graph.lint()

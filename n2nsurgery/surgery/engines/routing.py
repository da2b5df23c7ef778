"""Routing: which module boundaries carry the two ends of a skip.

The traced graph knows every value by its node. A hook sees only what goes into a module or comes out of one. A node
has a boundary where it is a module's output, or a module's argument; for a target, every reader must lie behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import fx, nn

from n2nsurgery.graph.layers.layer_graph import LayerPair
from n2nsurgery.graph.layers.roles import Role, role_of
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.graph.tracing.tracer import ModuleCall
from n2nsurgery.surgery.planning.route import Boundary, Route

_Place = tuple[Boundary, tuple[ModuleCall, ...]]  # a boundary, and the calls of containers around it


class Router:
    """Finds routes in a traced model; every graph of it has to agree."""

    def __init__(self, module: TracedModule) -> None:
        self._graphs = tuple(_GraphRouter(graph, module) for graph in module.n2n_graphs)

    def route(self, pair: LayerPair) -> Route | str:
        """The route of a skip at `pair`, or the reason why hooks cannot carry it."""
        routes = [graph.route(pair) for graph in self._graphs]
        refused = next((route for route in routes if isinstance(route, str)), None)
        if refused is not None:
            return refused
        return routes[0] if len(set(routes)) == 1 else "train and eval mode pass it through different modules"


class _GraphRouter:
    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        self._root = root
        self._nodes = {node.meta["address"]: node for node in graph.nodes if "address" in node.meta}
        self._role = {node: role_of(node, root) for node in graph.nodes}
        self._calls: dict[fx.Node, int] = {}
        called: dict[str, list[fx.Node]] = {}
        for node in graph.nodes:
            if node.op == "call_module":
                calls = called.setdefault(str(node.target), [])
                self._calls[node] = len(calls)
                calls.append(node)
        self._called = called
        insides = {node.meta["inside"] for node in graph.nodes if "inside" in node.meta}
        # Every call of a container by its path, with the calls around it.
        self._entered = {(call[0], inside[:depth]) for inside in insides for depth, call in enumerate(inside)}
        self._numbers = {call for inside in insides for call in inside}
        leaves = [root.get_submodule(path) for path in called]
        # What runs inside a leaf is not traced: how often such a module is called, nobody knows.
        self._hidden = {id(inner) for leaf in leaves for inner in leaf.modules() if inner is not leaf}

    def route(self, pair: LayerPair) -> Route | str:
        source, target = (self._nodes[s.address] for s in (pair.source_signal, pair.target_signal))
        into = next(self._targets(target), None)
        if into is None:
            return f"the target '{pair.target}' is neither output nor only input of a module, so no hook can change it"
        before = next((place for place in self._sources(source, target)), None)
        if before is None:
            return (
                f"the activation of '{pair.source}' is neither the output of a module nor its input, so no hook sees it"
            )
        scope = self._scope(before, into)
        return Route(
            scope=scope[-1][0] if scope else "",
            source=before[0],
            target=into[0],
            copies=bool(source.meta.get("overwritten")),
        )

    def _targets(self, node: fx.Node) -> Iterator[_Place]:
        """Boundaries behind which every reader of `node` lies."""
        readers = [user for user in node.users if self._role[user] is not Role.META]
        if node.op == "call_module":
            yield from self._visible(node, "output")
            return
        if not node.meta.get("overwritten"):
            for call in node.meta.get("returned_by", ()):
                if not any(call in user.meta.get("inside", ()) for user in readers):
                    yield from self._container(call, self._around(node, call), side="output")
        if len(readers) == 1 and readers[0].op == "call_module":
            for key in _arguments(readers[0], node):
                yield from self._visible(readers[0], "input", key)

    def _sources(self, node: fx.Node, target: fx.Node) -> Iterator[_Place]:
        """Boundaries that show the value of `node` before `target` exists."""
        if node.op == "call_module":
            yield from self._visible(node, "output")
        if node.meta.get("overwritten"):
            return  # what a later call shows may be another value
        for call in node.meta.get("returned_by", ()):
            if call not in target.meta["inside"]:
                yield from self._container(call, self._around(node, call), side="output")
        for user in node.users:
            if user.op == "call_module" and user.meta["order"] < target.meta["order"]:
                for key in _arguments(user, node):
                    yield from self._visible(user, "input", key)
        for call, key, order, around in node.meta.get("given_to", ()):
            if order < target.meta["order"]:
                yield from self._container(call, around, side="input", key=key)

    def _visible(
        self, node: fx.Node, side: Literal["input", "output"], key: int | str | None = None
    ) -> Iterator[_Place]:
        path = str(node.target)
        if id(self._root.get_submodule(path)) not in self._hidden:
            yield _boundary(path, self._calls[node], side, key), node.meta["inside"]

    def _container(
        self,
        call: ModuleCall,
        around: tuple[ModuleCall, ...],
        *,
        side: Literal["input", "output"],
        key: int | str | None = None,
    ) -> Iterator[_Place]:
        if id(self._root.get_submodule(call[0])) not in self._hidden:
            yield _boundary(*call, side, key), around

    @staticmethod
    def _around(node: fx.Node, call: ModuleCall) -> tuple[ModuleCall, ...]:
        inside: tuple[ModuleCall, ...] = node.meta["inside"]
        return inside[: inside.index(call)] if call in inside else ()

    def _scope(self, first: _Place, second: _Place) -> tuple[ModuleCall, ...]:
        """The innermost surroundings that both places share, of modules that are called once only."""
        shared: list[ModuleCall] = []
        for ours, theirs in zip(first[1], second[1], strict=False):
            if ours != theirs:
                break
            shared.append(ours)
        while shared and not self._alone(shared[-1], (first, second)):
            shared.pop()
        return tuple(shared)

    def _alone(self, scope: ModuleCall, places: tuple[_Place, _Place]) -> bool:
        """Whether this call is its module's only one, and all calls of both ends' modules lie in it."""
        if scope[1] or (scope[0], 1) in self._numbers:
            return False
        paths = {boundary.module for boundary, _ in places}
        leaves = [node.meta["inside"] for path in paths for node in self._called.get(path, ())]
        containers = [around for path, around in self._entered if path in paths]
        return all(scope in around for around in (*leaves, *containers))


def _boundary(path: str, call: int, side: Literal["input", "output"], key: int | str | None) -> Boundary:
    position, keyword = (key, None) if isinstance(key, int) else (None, key)
    return Boundary(module=path, call=call, side=side, position=position, keyword=keyword)


def _arguments(user: fx.Node, node: fx.Node) -> Iterator[Any]:
    """Position or keyword of every argument of `user` that is `node` itself."""
    yield from (key for key, value in (*enumerate(user.args), *user.kwargs.items()) if value is node)

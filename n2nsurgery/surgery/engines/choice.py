"""Chooses the engine of a plan, for the model as a whole.

With `auto`, hooks where every planned skip has a route. Else the rewritten copy, where a graph can hold the model. Else
hooks again, without the pairs that have no route.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair, Rejection
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.surgery.engines.routing import Router
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.route import EngineChoice, Route

AskedEngine = Literal["auto", "hooks", "rewrite"]


def plan_with_engine(
    asked: AskedEngine,
    module: TracedModule,
    graph: LayerGraph,
    plan: Callable[[LayerGraph], SurgeryPlan],
    require_rewritable: Callable[[], None],
) -> SurgeryPlan:
    """The plan that `plan` makes of `graph` (that of `module`), with its engine and the reason for it.

    `require_rewritable` raises TraceError, with the reason, where a rewritten copy would not compute what the model
    does. It is called where `auto` would make a copy; where one is asked for, whoever asks has compared the outputs.
    """
    if asked == "rewrite":
        return plan(graph)
    router = Router(module)
    if asked == "hooks":
        return _hooked(plan(_reachable(graph, router)), router, "asked for")
    planned = plan(graph)
    missing = _without_route(planned, router)
    if not missing:
        at = "every skip starts and ends at the boundary of a module" if planned.skips else "there are no skips"
        return _hooked(planned, router, at)
    pair, why = missing[0]
    lost = f"{len(missing)} of {len(planned.skips)} skips have no route; {pair.source} -> {pair.target}: {why}"
    try:
        require_rewritable()
    except TraceError as error:
        return _hooked(plan(_reachable(graph, router)), router, f"no copy is possible ({error}), though {lost}")
    return replace(planned, engine=EngineChoice(engine="rewrite", reason=lost))


def _without_route(plan: SurgeryPlan, router: Router) -> list[tuple[LayerPair, str]]:
    routes = ((skip.pair, router.route(skip.pair)) for skip in plan.skips)
    return [(pair, route) for pair, route in routes if isinstance(route, str)]


def _hooked(plan: SurgeryPlan, router: Router, reason: str) -> SurgeryPlan:
    found = [router.route(skip.pair) for skip in plan.skips]
    routes = tuple(route for route in found if isinstance(route, Route))
    assert len(routes) == len(found)  # whoever calls has left out what has no route
    return replace(plan, engine=EngineChoice(engine="hooks", reason=reason, routes=routes))


def _reachable(graph: LayerGraph, router: Router) -> LayerGraph:
    """`graph` without the pairs that hooks cannot carry, which it refuses with the reason."""
    verdicts = [(pair, router.route(pair)) for pair in graph.pairs]
    refused = tuple(
        Rejection(source=pair.source, target=pair.target, reason=route)
        for pair, route in verdicts
        if isinstance(route, str)
    )
    kept = tuple(pair for pair, route in verdicts if isinstance(route, Route))
    return replace(graph, pairs=kept, refusals=graph.refusals + refused)

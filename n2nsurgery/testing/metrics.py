"""What every metric of connectivity promises; see `n2nsurgery.connectivity.measures.measurement` for the protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
import scipy.sparse as sp

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, identity_block
from n2nsurgery.connectivity.measures.measurement import Column, Curve, Measurement, Metric, Quantity
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.graph.channels.flow import NodeGroup
from n2nsurgery.testing.verdict import expect, instance, is_a_frozen_value, keeps_all

_WIDTHS = (3, 8, 12, 8, 4)


def check_metric(metric: Metric | type[Any]) -> None:
    """Return where `metric`, an instance or a class with defaults, keeps the promises of a connectivity metric.

    It measures graphs of four layers with a shortcut: pruned, stored densely and sparsely, nearly and wholly empty,
    with all weights zero, and unpruned. Raises AssertionError that names the first promise that is broken.
    """
    keeps_all(instance(metric), METRIC_CHECKS)


def network(density: float, *, seed: int = 0, sparse: bool = False, silent: bool = False) -> ChannelGraph:
    """Four layers of nine weights for each pair of channels, with a residual sum from the second to the fourth."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum([0, *_WIDTHS])
    nodes = [np.arange(start, stop) for start, stop in pairwise(ends)]
    blocks = []
    for index in range(len(_WIDTHS) - 1):
        shape = (_WIDTHS[index + 1], _WIDTHS[index], 9)
        keep = rng.random(shape) < density
        weights, kept = (np.abs(rng.standard_normal(shape)) * keep).sum(2) * (not silent), keep.sum(2)
        matrices: Any = (sp.csr_array(weights), sp.csr_array(kept)) if sparse and not silent else (weights, kept)
        blocks.append(
            Block(
                name=f"conv{index}",
                sources=nodes[index],
                targets=nodes[index + 1],
                weights=matrices[0],
                kept=matrices[1],
                size=int(np.prod(shape)),
            )
        )
    blocks.insert(3, identity_block("add", nodes[1], nodes[3]))  # the sum is made before the last layer reads it
    groups = tuple(
        NodeGroup(name=group, start=int(each[0]), stop=int(each[-1]) + 1)
        for group, each in zip(["input", "conv0", "conv1", "conv2", "conv3"], nodes, strict=True)
    )
    return ChannelGraph(groups=groups, sources=nodes[0], sinks=nodes[-1], blocks=tuple(blocks))


def reference() -> Subject:
    """The network with every weight."""
    return Subject(graph=network(1.0))


def graphs() -> dict[str, ChannelGraph]:
    """The networks that are measured, by what is special about them."""
    return {
        "pruned": network(0.1, seed=1),
        "pruned, sparse": network(0.1, seed=1, sparse=True),
        "nearly nothing left": network(0.005, seed=2),
        "nothing left": network(0.0),
        "all weights 0": network(0.5, silent=True),
        "the reference": network(1.0),
    }


def says_whether_it_needs_a_reference_and_documents_its_formula(metric: Metric) -> None:
    """`needs_reference` is True or False, and the module says what is computed."""
    needs = getattr(metric, "needs_reference", None)
    expect(isinstance(needs, bool), f"has needs_reference = {needs!r}; it must be True or False")
    module = sys.modules.get(type(metric).__module__)
    documented = bool(type(metric).__doc__) and not str(type(metric).__doc__).startswith(f"{type(metric).__name__}(")
    has_text = documented or bool(getattr(module, "__doc__", None))
    expect(has_text, "has no docstring; state its formula and source in that of the class or its module")


def measures_every_network_as_json(metric: Metric) -> None:
    """Something is measured, and every number of it is finite or None."""
    for name, graph in graphs().items():
        measurement = metric.measure(Subject(graph=graph), reference())
        expect(isinstance(measurement, Measurement), f"gives {type(measurement).__name__} for '{name}', no Measurement")
        try:
            text = json.dumps(measurement.to_json(), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(
                f"gives for '{name}' what JSON cannot hold ({error}); None stands for infinity"
            ) from error
        expect(all(isfinite(number) for number in numbers(json.loads(text))), f"gives no finite number for '{name}'")
        something = measurement.quantities or measurement.columns or measurement.curves
        expect(bool(something), f"measures nothing of '{name}'; give at least one quantity, column or curve")


def gives_every_number_a_unit_and_a_meaning(metric: Metric) -> None:
    """Units are text ("" for pure numbers), meanings sentences; a column names all layers or all groups."""
    measurement = metric.measure(Subject(graph=graphs()["pruned"]), reference())
    numbered: dict[str, Quantity | Column] = {**measurement.quantities, **measurement.columns}
    for name, each in numbered.items():
        expect(isinstance(each.unit, str), f"gives '{name}' the unit {each.unit!r}; a text is needed, '' for none")
    told: dict[str, Quantity | Column | Curve] = {**numbered, **measurement.curves}
    for name, line in told.items():
        expect(bool(line.meaning.strip()), f"gives '{name}' no meaning; say in one sentence what it is")
    graph = reference().graph
    layers, groups = {block.name for block in graph.layers}, {group.name for group in graph.groups}
    for name, column in measurement.columns.items():
        expect(
            set(column.values) in (layers, groups), f"gives '{name}' for {sorted(column.values)}, not for all layers"
        )
    for name, curve in measurement.curves.items():
        even = all(len(line) == len(curve.x) for line in curve.lines.values())
        expect(even, f"gives the curve '{name}' lines of another length than its {len(curve.x)} abscissae")


def measures_sparse_and_dense_storage_alike(metric: Metric) -> None:
    """One network stored in two ways, within 1e-8 relative and 1e-9 absolute: eigenvalues are solved iteratively."""
    both = graphs()
    dense, sparse = (
        list(numbers(metric.measure(Subject(graph=both[name]), reference()).to_json()))
        for name in ("pruned", "pruned, sparse")
    )
    alike = len(dense) == len(sparse) and np.allclose(dense, sparse, rtol=1e-8, atol=1e-9)
    expect(alike, "gives other numbers for a network whose blocks are stored sparsely")


def looks_at_no_reference_where_it_needs_none(metric: Metric) -> None:
    """`measure(subject, None)`."""
    if metric.needs_reference:
        return
    try:
        metric.measure(Subject(graph=graphs()["pruned"]), None)  # type: ignore[arg-type]  # what is checked
    except AttributeError as error:
        raise AssertionError(f"needs no reference, and looks at one: {error}") from error


def measures_the_same_twice(metric: Metric) -> None:
    """Equal measurements of equal networks."""
    first, second = (metric.measure(Subject(graph=graphs()["pruned"]), reference()) for _ in range(2))
    expect(first == second, "gives other numbers the second time")


def numbers(value: Any) -> Iterator[float]:  # noqa: ANN401 - any JSON value
    """Every number in `value`, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


METRIC_CHECKS: tuple[Callable[[Metric], None], ...] = (
    is_a_frozen_value,
    says_whether_it_needs_a_reference_and_documents_its_formula,
    measures_every_network_as_json,
    gives_every_number_a_unit_and_a_meaning,
    measures_sparse_and_dense_storage_alike,
    looks_at_no_reference_where_it_needs_none,
    measures_the_same_twice,
)

"""A program in the terms that matter to channels, whoever wrote it down.

One framework calls x * sigmoid(x) an activation, another writes two steps; the same holds for normalization and for
attention. Three rewritings make both alike:

- A value's root is the value that it is an entry-by-entry function of. Where all operands of a step have one root,
  or are statistics of it (its mean, its maximum), the step keeps every channel.
- A matrix product whose left factor comes from another matrix product is attention.
- Steps that no output depends on are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from n2nsurgery.graph.channels.labels import Shape
from n2nsurgery.graph.channels.steps import AnyStep, Attention, MatMul, Move, Opaque, Pointwise, Program, Reduce


def simplified(program: Program) -> Program:
    """The program after the three rewritings; every MatMul has become an Attention or Opaque."""
    steps = _attended(_rooted(program))
    return replace(program, steps=_live(steps, program.outputs))


def roots(steps: Iterable[AnyStep]) -> dict[int, int]:
    """For each value that a pointwise step of one operand wrote, the value it is a function of."""
    found: dict[int, int] = {}
    for step in steps:
        if isinstance(step, Pointwise) and len(step.reads) == 1:
            found[step.writes[0]] = found.get(step.reads[0], step.reads[0])
    return found


def _rooted(program: Program) -> list[AnyStep]:
    """Pointwise steps whose operands have one root become steps of one operand: the one of the result's shape."""
    root: dict[int, int] = {}
    statistic: set[int] = set()
    shape: dict[int, Shape] = {given.value: given.shape for given in program.inputs}
    result: list[AnyStep] = []
    for step in program.steps:
        shape.update(zip(step.writes, step.shapes, strict=True))
        origins = {root.get(value, value) for value in step.reads}
        kept = step
        if isinstance(step, Pointwise) and len(origins) == 1:
            whole = [value for value in step.reads if value not in statistic]
            fitting = [value for value in whole or step.reads if shape[value] == step.shapes[0]]
            kept = replace(step, reads=tuple((fitting or whole or step.reads)[:1]), how="product")
            root[step.writes[0]] = origins.pop()
            statistic.update(() if whole else step.writes)
        elif isinstance(step, Reduce) and len(origins) == 1:
            root[step.writes[0]] = origins.pop()
            statistic.add(step.writes[0])
        result.append(kept)
    return result


def _attended(steps: list[AnyStep]) -> list[AnyStep]:
    writer = {value: step for step in steps for value in step.writes}
    return [_attention(step, writer) if isinstance(step, MatMul) else step for step in steps]


def _attention(product: MatMul, writer: dict[int, AnyStep]) -> AnyStep:
    scores = writer.get(product.reads[0])
    while isinstance(scores, Pointwise | Move) and len(scores.reads) == 1:
        scores = writer.get(scores.reads[0])
    writes, shapes = product.writes, product.shapes
    if isinstance(scores, MatMul):
        return Attention(operation="attention", reads=(*scores.reads, product.reads[1]), writes=writes, shapes=shapes)
    return Opaque(operation=product.operation, reads=product.reads, writes=writes, shapes=shapes)


def _live(steps: Iterable[AnyStep], outputs: Iterable[int]) -> tuple[AnyStep, ...]:
    needed = set(outputs)
    kept: list[AnyStep] = []
    for step in reversed(list(steps)):
        if needed.intersection(step.writes):
            needed.update(step.reads)
            kept.append(step)
    return tuple(reversed(kept))

"""Which values are fresh: outputs of weighted layers that nothing reads but the one who adds them up.

A value is read where a layer, a sum, a product or the caller takes it. Entry-by-entry functions, moves and poolings
only pass it on: what is read behind them counts for what lies before. Whether x * sigmoid(x) is one step or two, or a
split one step or several, makes no difference then.
"""

from __future__ import annotations

from collections import Counter

from n2nsurgery.graph.channels.simplify import roots
from n2nsurgery.graph.channels.steps import Layer, Move, Pointwise, Program, Reduce


def fresh_values(program: Program) -> frozenset[int]:
    """The fresh values of a simplified program."""
    origin = roots(program.steps)
    reads = _reads(program, origin)
    fresh: set[int] = set()
    for step in program.steps:
        alone = all(reads[origin.get(value, value)] == 1 for value in step.writes)
        if isinstance(step, Layer):
            kept = alone
        elif isinstance(step, Pointwise) and len(step.reads) > 1:
            kept = step.how == "sum" and alone and any(value in fresh for value in step.reads)
        else:
            passes = isinstance(step, Pointwise | Move | Reduce)
            kept = passes and bool(step.reads) and all(value in fresh for value in step.reads)
        if kept:
            fresh.update(step.writes)
    return frozenset(fresh)


def _reads(program: Program, origin: dict[int, int]) -> Counter[int]:
    """How often each root is read, collected from the outputs backwards."""
    reads = Counter({origin.get(value, value): 1 for value in program.outputs})
    for step in reversed(program.steps):
        if isinstance(step, Pointwise) and len(step.reads) == 1:
            continue
        if isinstance(step, Move | Reduce):
            behind = sum(reads[value] for value in step.writes)
            for value in step.reads:
                reads[origin.get(value, value)] += behind
        else:
            reads.update({origin.get(value, value) for value in step.reads})
    return reads

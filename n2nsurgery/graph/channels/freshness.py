"""Which values are fresh: outputs of weighted layers that nothing reads but the one who adds them up.

A value is read where a layer, a sum, a product or the caller takes it. Entry-by-entry functions, moves and poolings
only pass it on: who reads behind them is a reader of what lies before. Whether x * sigmoid(x) is one step or two, or a
roll one move or two slices and a concatenation, makes no difference then.
"""

from __future__ import annotations

from collections import defaultdict

from n2nsurgery.graph.channels.simplify import roots
from n2nsurgery.graph.channels.steps import LayerStep, Move, Pointwise, Program, Reduce


def fresh_values(program: Program) -> frozenset[int]:
    """The fresh values of a simplified program."""
    origin = roots(program.steps)
    readers = _readers(program, origin)
    fresh: set[int] = set()
    for step in program.steps:
        alone = all(readers[origin.get(value, value)].bit_count() == 1 for value in step.writes)
        if isinstance(step, LayerStep):
            kept = alone
        elif isinstance(step, Pointwise) and len(step.reads) > 1:
            kept = step.how == "sum" and alone and any(value in fresh for value in step.reads)
        else:
            passes = isinstance(step, Pointwise | Move | Reduce)
            kept = passes and bool(step.reads) and all(value in fresh for value in step.reads)
        if kept:
            fresh.update(step.writes)
    return frozenset(fresh)


def _readers(program: Program, origin: dict[int, int]) -> dict[int, int]:
    """Who reads each root, as a bit set over steps (the last bit is the caller), collected from the outputs on."""
    readers: dict[int, int] = defaultdict(int)
    for value in program.outputs:
        readers[origin.get(value, value)] |= 1 << len(program.steps)
    for index, step in reversed(tuple(enumerate(program.steps))):
        if isinstance(step, Pointwise) and len(step.reads) == 1:
            continue
        behind = 1 << index
        if isinstance(step, Move | Reduce):
            behind = 0
            for value in step.writes:
                behind |= readers[value]
        for value in step.reads:
            readers[origin.get(value, value)] |= behind
    return readers

"""The check that every traced network has to pass: bit for bit what the original computes, at other batch sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from n2nsurgery.graph.tracing.trace import Trace, trace

Check = Callable[..., Trace]


def same(first: Any, second: Any) -> bool:
    """Whether two outputs, tensors in any nesting, are equal bit for bit."""
    ours, theirs = tree_leaves(first), tree_leaves(second)
    return len(ours) == len(theirs) and all(
        torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(ours, theirs, strict=True)
    )


def outputs(module: nn.Module, inputs: Iterable[Tensor], *, training: bool) -> Any:
    """What a copy of the module returns in the given mode, with its randomness seeded."""
    module = copy.deepcopy(module).train(training)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        return module(*(tensor.clone() for tensor in inputs))


@pytest.fixture
def check() -> Check:
    """A function that traces a model and compares the trace with the model in both modes; it returns the trace."""

    def compare(model: nn.Module, *shapes: tuple[int, ...], batches: Iterable[int] = (1, 3)) -> Trace:
        traced = trace(model, [torch.zeros(2, *shape) for shape in shapes])
        generator = torch.Generator().manual_seed(0)
        for batch in batches:
            inputs = [torch.randn(batch, *shape, generator=generator) for shape in shapes]
            for training in (True, False):
                expected = outputs(model, inputs, training=training)
                assert same(outputs(traced.module, inputs, training=training), expected), f"{batch=}, {training=}"
        return traced

    return compare

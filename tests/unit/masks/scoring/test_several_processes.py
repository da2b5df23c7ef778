"""Processes that score together, here as threads, give the bits of one process."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import nn

from n2nsurgery.masks import draw_masks, make_criterion
from n2nsurgery.masks.scoring.context import SINGLE_PROCESS, gradients, over_batches
from n2nsurgery.masks.scoring.loss import cross_entropy

COUNT = 40


@dataclass(eq=False)
class Together:
    """One of `size` threads; what is shared passes through `board`."""

    rank: int
    size: int
    board: dict
    barrier: threading.Barrier

    def broadcast(self, tensors, source=0):
        tensors = list(tensors)
        if self.rank == source:
            self.board["sent"] = tensors
        self.barrier.wait(timeout=30)
        if self.rank != source:
            for mine, theirs in zip(tensors, self.board["sent"], strict=True):
                mine.copy_(theirs)
        self.barrier.wait(timeout=30)


def in_threads(size, work):
    """What `work(processes)` gives in each of `size` threads."""
    board, barrier = {}, threading.Barrier(size)
    with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(size) as pool:  # the threads disturb one generator
        return list(pool.map(lambda rank: work(Together(rank, size, board, barrier)), range(size)))


@dataclass(eq=False)
class Counted:
    """Cross-entropy that counts its calls."""

    calls: int = 0

    def __call__(self, logits, targets):
        self.calls += 1
        return cross_entropy(logits, targets)


def single_precision(context, batches):
    module = copy.deepcopy(context.module).float()
    generator = torch.Generator().manual_seed(5)
    given = tuple(((torch.randn(5, 2, 5, 5, generator=generator),), None) for _ in range(batches))
    return replace(context, module=module, batches=given)


@pytest.mark.parametrize("name", ["snip", "grasp"])
@pytest.mark.parametrize(("size", "batches"), [(2, 1), (2, 3), (3, 2), (3, 7)])
def test_scores_and_masks_are_those_of_one_process_to_the_bit(context, name, size, batches):
    context = single_precision(context, batches)
    criterion = make_criterion(name)
    expected = criterion.scores(context)
    masks = draw_masks(criterion, context.weights, COUNT, context=context).masks

    def work(processes):
        own = replace(context, module=copy.deepcopy(context.module), loss=Counted(), processes=processes)
        scores = criterion.scores(own)
        return scores, own.loss.calls, draw_masks(criterion, own.weights, COUNT, context=own).masks

    passes = 2 if name == "grasp" else 1
    for rank, (scores, calls, drawn) in enumerate(in_threads(size, work)):
        assert all(torch.equal(scores[key], value) for key, value in expected.items())
        assert drawn == masks
        assert calls == passes * len(range(rank, batches, size))  # whole mini-batches, dealt out in turn


def test_the_first_process_decides_what_is_kept(context):
    context = single_precision(context, 2)
    masks = draw_masks("snip", context.weights, COUNT, context=context).masks

    def work(processes):
        module = copy.deepcopy(context.module)
        if processes.rank:  # as on a machine that computes otherwise
            module.get_parameter("conv.weight").data.mul_(torch.linspace(-3, 3, 72).reshape(4, 2, 3, 3))
        return draw_masks(
            "snip", context.weights, COUNT, context=replace(context, module=module, processes=processes)
        ).masks

    first, second = in_threads(2, work)
    assert first == second
    assert first != masks  # half of the gradients were those of the second


@dataclass(eq=False)
class Listener:
    """Process `rank` of `size`, which hears nothing of the others; `parts` by the number of the batch."""

    rank: int
    size: int
    turn: int = 0
    parts: dict = field(default_factory=dict)

    def broadcast(self, tensors, source=0):
        tensors = list(tensors)
        if source == self.rank:
            self.parts[self.turn] = [tensor.clone() for tensor in tensors]
        else:
            for tensor in tensors:
                tensor.zero_()
        self.turn += 1


class Counting(nn.Module):
    """A layer whose output depends on how often it was called, as that of spectral normalization does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def test_dropout_and_buffers_of_a_batch_do_not_depend_on_what_was_scored_before(context):
    module = copy.deepcopy(context.module)
    module.norm = nn.Sequential(module.norm, Counting(), nn.Dropout(0.5))
    inputs = context.batches[0]
    context = replace(context, module=module, batches=(inputs,) * 4)
    weight = {"conv.weight": module.conv.weight.detach().clone().requires_grad_()}

    def parts(rank, size):
        listener = Listener(rank, size)
        leaves = list(weight.values())
        over_batches(replace(context, processes=listener), weight, lambda loss: gradients(loss, leaves))
        return listener.parts

    alone, even, odd = parts(0, 1), parts(0, 2), parts(1, 2)
    assert sorted(even) == [0, 2]
    for index, expected in alone.items():
        assert torch.equal((even | odd)[index][0], expected[0])
    assert not torch.equal(alone[0][0], alone[1][0])  # dropout of one batch is not that of the next


def test_one_process_alone_shares_nothing():
    value = torch.ones(2)
    SINGLE_PROCESS.broadcast([value])
    assert value.tolist() == [1, 1]

"""Evaluation at two batch sizes: shapes without data, what was overwritten, how often weights were used, no traces."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from n2nsurgery.graph.tracing.batch import BATCH_SIZES, per_sample
from n2nsurgery.graph.tracing.evaluator import Evaluator, storage_of
from n2nsurgery.graph.tracing.side_effects import drawn, draws_undone, unchanged
from n2nsurgery.graph.tracing.weight_uses import WeightUses


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator()


def called_with(evaluator: Evaluator, *shape: int):
    """Arguments of a call on one tensor, at both batch sizes."""
    first, second = evaluator.inputs(torch.zeros(2, *shape)).values
    return ((first,), {}), ((second,), {})


def test_inputs_get_both_batch_sizes_and_keep_the_rest(evaluator):
    example = {"image": torch.zeros(2, 3, dtype=torch.float64), "scalar": torch.zeros(()), "flag": True}
    first, second = evaluator.inputs(example).values
    assert (first["image"].shape, second["image"].shape) == ((BATCH_SIZES[0], 3), (BATCH_SIZES[1], 3))
    assert first["image"].dtype is torch.float64
    assert first["scalar"].shape == ()
    assert first["flag"] is second["flag"] is True


def test_one_more_sample_is_the_difference_and_what_ignores_the_batch_counts_whole():
    assert [per_sample(4 * n, 6 * n) for n in (0, 1, 7)] == [0, 1, 7]
    assert [per_sample(4 * n + 9, 6 * n + 9) for n in (1, 7)] == [1, 7]
    assert per_sample(5, 5) == 5


def test_a_call_is_evaluated_at_both_batch_sizes_without_data(evaluator):
    found = evaluator.call(torch.flatten, called_with(evaluator, 3, 2))
    assert [value.shape for value in found.values] == [(4 * 6,), (6 * 6,)]
    assert found.overwrites == frozenset()


def test_what_a_call_overwrites_is_seen_through_views(evaluator):
    ((x,), _), _ = arguments = called_with(evaluator, 3)
    found = evaluator.call(lambda t: t.view(-1).relu_(), arguments)
    assert found.overwrites == {storage_of(x)}
    assert storage_of(found.values[0]) == storage_of(x)


def test_a_module_that_reads_its_data_sees_zeros_first_and_ones_second(evaluator):
    class Reads(nn.Module):
        def forward(self, x):
            return x.add_(0), int(x.sum()), x[:, : int(x.max()) + 1]

    ((x,), _), _ = arguments = called_with(evaluator, 3)
    found = evaluator.call_on_data(Reads(), arguments)
    assert [value[1] for value in found.values] == [0, 6 * 3]
    assert [value[2].shape for value in found.values] == [(4, 1), (6, 2)]
    assert found.overwrites == {storage_of(x)}
    assert storage_of(found.values[0][0]) == storage_of(x)
    assert not evaluator.active


def test_a_buffer_that_a_module_is_given_and_writes_into_is_not_a_value_of_the_graph(evaluator):
    class Counts(nn.Module):
        def forward(self, x, counts):
            return x.mul_(0) if counts.add_(int(x.sum())).sum() > 1e9 else x + 1

    counts = torch.zeros(3)
    first, second = evaluator.inputs(torch.zeros(2, 3)).values
    assert evaluator.call_on_data(Counts(), (((first, counts), {}), ((second, counts), {}))).overwrites == frozenset()


def test_a_failing_call_leaves_the_evaluator_usable_and_counts_nothing(evaluator):
    linear = nn.Linear(3, 2)

    def fails(x):
        F.linear(x, linear.weight)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        evaluator.call(fails, called_with(evaluator, 3))
    assert not evaluator.active
    assert evaluator.weight_uses(linear) == {}


def test_uses_of_weights_are_counted_for_one_sample(evaluator):
    net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.ConvTranspose1d(4, 2, 2, stride=2), nn.Linear(12, 5))
    evaluator.call(net, called_with(evaluator, 3, 8))
    assert evaluator.weight_uses(net) == {"0.weight": 6, "2.weight": 6, "3.weight": 2}


def test_weights_do_not_keep_torch_from_remembering_the_shapes_of_results(evaluator):
    layer = nn.Linear(3, 3)
    evaluator.call(layer, called_with(evaluator, 3))
    FakeTensorMode.cache_clear()
    evaluator.call(layer, called_with(evaluator, 3))
    found = FakeTensorMode.cache_info()
    assert found.hits + found.misses > 0
    assert "non-fake tensor" not in found.bypasses


def test_uses_of_attention_follow_queries_keys_and_values():
    attention = nn.MultiheadAttention(4, 2, kdim=6, vdim=8)
    with WeightUses() as counted:
        attention(torch.zeros(5, 1, 4), torch.zeros(3, 1, 6), torch.zeros(3, 1, 8))
    assert {name: counted.uses[p] for name, p in attention.named_parameters() if p in counted.uses} == {
        "q_proj_weight": 5, "k_proj_weight": 3, "v_proj_weight": 3, "out_proj.weight": 5
    }  # fmt: skip


@pytest.mark.parametrize(
    "draw", [random.random, np.random.rand, lambda: torch.rand(1)], ids=["python", "numpy", "torch"]
)
def test_draws_are_noticed_and_undone(draw):
    before = drawn()
    with draws_undone():
        draw()
        assert drawn() != before
    assert drawn() == before


def test_modules_are_as_they_were_also_after_an_error():
    norm = nn.BatchNorm1d(3)
    norm.history, norm.names, norm.seen = [1], {"a": 1}, {1}

    def fails():
        norm(torch.rand(5, 3))
        norm.history.append(2)
        norm.names["b"] = 2
        norm.seen.add(2)
        norm.cache = torch.zeros(1)
        norm.running_mean = torch.full((3,), 9.0)
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"), unchanged(nn.Sequential(norm)):
        fails()
    assert (norm.history, norm.names, norm.seen) == ([1], {"a": 1}, {1})
    assert not hasattr(norm, "cache")
    assert int(norm.num_batches_tracked) == 0
    assert torch.equal(norm.running_mean, torch.zeros(3))

"""Noise: shapes, dtypes, determinism, and the name under which it is recorded."""

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.noise import noise_batches

IMAGE, TOKENS = torch.zeros(2, 3, 4, 4), torch.tensor([[0, 9], [3, 5]])


def test_noise_has_the_form_of_the_example_and_says_what_it_is():
    found = noise_batches((IMAGE, TOKENS), count=2, batch_size=64, seed=3)
    assert len(found) == 2
    for batch in found:
        assert [tensor.shape for tensor in batch.inputs] == [(64, 3, 4, 4), (64, 2)]
        assert [tensor.dtype for tensor in batch.inputs] == [torch.float32, torch.int64]
        assert batch.targets is None
        assert batch.origin == "noise(seed=3,batch_size=64,count=2)"
        assert int(batch.inputs[1].min()) >= 0
        assert int(batch.inputs[1].max()) <= 9


def test_noise_for_complex_inputs_is_complex():
    (batch,) = noise_batches((torch.zeros(1, 3, dtype=torch.complex64),), count=1, batch_size=4, seed=0)
    (noise,) = batch.inputs
    assert (noise.shape, noise.dtype) == ((4, 3), torch.complex64)
    assert torch.is_nonzero(noise.imag.abs().min())


def test_targets_are_classes_where_their_number_is_known():
    (batch,) = noise_batches((IMAGE,), count=1, batch_size=64, seed=0, num_classes=5)
    assert set(batch.targets.tolist()) == set(range(5))


def test_noise_follows_the_seed_and_the_index_alone():
    two, one = (noise_batches((IMAGE,), count=count, batch_size=2, seed=0) for count in (2, 1))
    other = noise_batches((IMAGE,), count=1, batch_size=2, seed=1)
    assert torch.equal(two[0].inputs[0], one[0].inputs[0])
    assert not torch.equal(two[0].inputs[0], two[1].inputs[0])
    assert not torch.equal(one[0].inputs[0], other[0].inputs[0])


@pytest.mark.parametrize(("count", "batch_size"), [(0, 1), (1, 0)])
def test_no_batches_or_no_samples_are_refused(count, batch_size):
    with pytest.raises(UsageError, match="at least 1"):
        noise_batches((IMAGE,), count=count, batch_size=batch_size, seed=0)

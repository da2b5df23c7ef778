"""Masks in a loop that Accelerate prepares."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from n2nsurgery.adapters.accelerate import keep_masks
from n2nsurgery.core.errors import UsageError, VerificationError


def train(pruned, batches, build, *, steps, load=None, save=None, before_save=lambda: None, **options):
    """The weights that were not zero outside the masks, after each optimizer step."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True, **options)
    samples = [pair for inputs, labels in batches for pair in zip(inputs, labels, strict=True)]
    loader = DataLoader(samples, batch_size=4)
    model, optimizer, loader = accelerator.prepare(pruned.module, build(pruned.module.parameters()), loader)
    masks = keep_masks(accelerator, model, optimizer)
    revived = []
    if load is not None:
        accelerator.load_state(str(load))
        loader = accelerator.skip_first_batches(loader, 2)
    for number, (inputs, labels) in enumerate(loader, 1):
        with accelerator.accumulate(model):
            accelerator.backward(cross_entropy(model(inputs), labels))
            optimizer.step()
            optimizer.zero_grad()
        parameters = dict(pruned.module.named_parameters())
        revived.append(sum(int(parameters[name][~mask].count_nonzero()) for name, mask in pruned.masks.items()))
        if number == steps:
            break
    if save is not None:
        before_save()
        accelerator.save_state(str(save))
    masks.end()
    return revived


@pytest.mark.parametrize("options", [{}, {"mixed_precision": "bf16", "gradient_accumulation_steps": 2}])
def test_pruned_weights_are_zero_after_every_batch(options, build, pruned, batches):
    before = pruned.module.get_parameter("0.weight").detach().clone()
    assert train(pruned, batches, build, steps=4, **options) == [0, 0, 0, 0]
    assert not torch.equal(pruned.module.get_parameter("0.weight"), before)


def test_a_resumed_run_ends_in_the_same_weights(build, make_pruned, batches, tmp_path):
    whole, first, second = make_pruned(), make_pruned(), make_pruned()
    train(whole, batches, build, steps=4)
    train(first, batches, build, steps=2, save=tmp_path)
    assert train(second, batches, build, steps=2, load=tmp_path) == [0, 0]
    state = second.module.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.module.state_dict().items())


def test_saved_weights_load_again_with_exact_zeros(build, make_pruned, batches, tmp_path):
    trained, again = make_pruned(), make_pruned()
    train(trained, batches, build, steps=2, save=tmp_path)
    again.module.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for name, mask in again.masks.items():
        loaded = again.module.get_parameter(name).detach()
        assert torch.equal(loaded, trained.module.get_parameter(name))
        assert not loaded[~mask].any()


def test_a_checkpoint_of_other_masks_is_refused(sgd, make_pruned, batches, tmp_path):
    train(make_pruned(), batches, sgd, steps=1, save=tmp_path)
    with pytest.raises(UsageError, match="belongs to a network of other masks"):
        train(make_pruned(seed=1), batches, sgd, steps=1, load=tmp_path)


def test_no_checkpoint_is_written_of_weights_that_moved(sgd, pruned, batches, tmp_path):
    def careless():
        pruned.module.get_parameter("0.weight").data.add_(1)

    with pytest.raises(VerificationError, match=r"pruned entries of '0\.weight' are no longer zero in the weights"):
        train(pruned, batches, sgd, steps=1, save=tmp_path / "state", before_save=careless)
    assert not (tmp_path / "state" / "model.safetensors").exists()


def test_after_the_end_states_are_saved_as_they_are(sgd, pruned, batches, tmp_path):
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(pruned.module, sgd(pruned.module.parameters()))
    keep_masks(accelerator, model, optimizer).end()
    pruned.module.get_parameter("0.weight").data.add_(1)
    accelerator.save_state(str(tmp_path))
    assert load_file(tmp_path / "model.safetensors")["0.weight"].all()
    del batches

"""The callback in Hugging Face's own Trainer."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback, TrainingArguments

from n2nsurgery.adapters.transformers import MaskCallback
from n2nsurgery.core.errors import UsageError, VerificationError


class WithLoss(nn.Module):
    """A network as Trainer wants it: the loss comes first."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, labels):
        outputs = self.network(x)
        return {"loss": cross_entropy(outputs.float(), labels), "logits": outputs}


class Counting(TrainerCallback):
    """How many weights are not zero outside the masks, after each step."""

    def __init__(self, pruned):
        self.pruned = pruned
        self.revived = []

    def on_step_end(self, *_, **__):
        parameters = dict(self.pruned.module.named_parameters())
        masks = self.pruned.masks.items()
        self.revived.append(sum(int(parameters[name][~mask].count_nonzero()) for name, mask in masks))


def train(pruned, batches, build, folder, *, steps, resume=None, callbacks=(), **options):
    samples = [{"x": x, "labels": label} for inputs, labels in batches for x, label in zip(inputs, labels, strict=True)]
    model = WithLoss(pruned.module)
    counting = Counting(pruned)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=2,
        logging_steps=100,
        dataloader_num_workers=0,
        **options,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=samples,
        optimizers=(build(model.parameters()), None),
        callbacks=[*callbacks, MaskCallback(), counting],
    )
    trainer.train(resume_from_checkpoint=resume)
    return counting.revived


@pytest.mark.parametrize("options", [{}, {"bf16": True, "gradient_accumulation_steps": 2}])
def test_pruned_weights_are_zero_after_every_step(options, build, pruned, batches, tmp_path):
    before = pruned.module.get_parameter("0.weight").detach().clone()
    assert train(pruned, batches, build, tmp_path, steps=3, **options) == [0, 0, 0]
    assert not torch.equal(pruned.module.get_parameter("0.weight"), before)


def test_a_resumed_run_ends_in_the_same_weights(build, make_pruned, batches, tmp_path):
    whole, again = make_pruned(), make_pruned()
    train(whole, batches, build, tmp_path, steps=4)
    assert train(again, batches, build, tmp_path, steps=4, resume=str(tmp_path / "checkpoint-2")) == [0, 0]
    state = again.module.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.module.state_dict().items())


def test_saved_weights_load_again_with_exact_zeros(build, make_pruned, batches, tmp_path):
    trained, again = make_pruned(), make_pruned()
    train(trained, batches, build, tmp_path, steps=2)
    saved = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    again.module.load_state_dict({name.removeprefix("network."): tensor for name, tensor in saved.items()})
    for name, mask in again.masks.items():
        loaded = again.module.get_parameter(name).detach()
        assert torch.equal(loaded, trained.module.get_parameter(name))
        assert not loaded[~mask].any()


def test_a_checkpoint_of_other_masks_is_refused(sgd, make_pruned, batches, tmp_path):
    train(make_pruned(), batches, sgd, tmp_path, steps=2)
    with pytest.raises(UsageError, match="were pruned with other masks"):
        train(make_pruned(seed=1), batches, sgd, tmp_path, steps=4, resume=str(tmp_path / "checkpoint-2"))


def test_no_checkpoint_is_written_of_weights_that_moved(sgd, pruned, batches, tmp_path):
    class Careless(TrainerCallback):
        def on_step_end(self, *_, **__):
            pruned.module.get_parameter("0.weight").data.add_(1)

    with pytest.raises(VerificationError, match=r"pruned entries of '0\.weight' are no longer zero in the weights"):
        train(pruned, batches, sgd, tmp_path, steps=2, callbacks=[Careless()])
    assert not (tmp_path / "checkpoint-2").exists()


def test_the_masks_are_named_in_trainer_state(sgd, pruned, batches, tmp_path):
    train(pruned, batches, sgd, tmp_path, steps=2)
    state = json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text())
    assert len(state["stateful_callbacks"]["MaskCallback"]["attributes"]["masks"]) == 64

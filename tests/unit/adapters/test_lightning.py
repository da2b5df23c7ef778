"""The Lightning callback in Lightning's own Trainer."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from n2nsurgery.adapters.lightning import MaskCallback
from n2nsurgery.core.errors import UsageError, VerificationError

pytestmark = pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")


class Net(LightningModule):
    """`network`, and after each step how many of its weights are not zero outside the masks."""

    def __init__(self, pruned, build):
        super().__init__()
        self.network = pruned.module
        self.masks = pruned.masks
        self.build = build
        self.revived = []

    def configure_optimizers(self):
        return self.build(self.parameters())

    def training_step(self, batch, _):
        inputs, labels = batch
        return cross_entropy(self.network(inputs), labels)

    def on_train_batch_end(self, *_):
        parameters = dict(self.network.named_parameters())
        self.revived.append(sum(int(parameters[name][~mask].count_nonzero()) for name, mask in self.masks.items()))


def fit(net, batches, *, steps, folder, resume=None, **options):
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[MaskCallback()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(net, DataLoader(batches, batch_size=None), ckpt_path=resume)
    return trainer


@pytest.mark.parametrize("options", [{}, {"precision": "bf16-mixed", "accumulate_grad_batches": 2}])
def test_pruned_weights_are_zero_after_every_batch(options, build, pruned, batches, tmp_path):
    net = Net(pruned, build)
    before = pruned.module.get_parameter("0.weight").detach().clone()
    fit(net, batches, steps=3, folder=tmp_path, **options)
    assert net.revived == [0] * (3 * options.get("accumulate_grad_batches", 1))
    assert not torch.equal(pruned.module.get_parameter("0.weight"), before)


def test_a_resumed_run_ends_in_the_same_weights(build, make_pruned, batches, tmp_path):
    whole, first, second = (Net(make_pruned(), build) for _ in range(3))
    epoch = batches[:2]  # Lightning goes on exactly after a whole epoch
    fit(whole, epoch, steps=-1, max_epochs=2, folder=tmp_path)
    fit(first, epoch, steps=-1, max_epochs=1, folder=tmp_path).save_checkpoint(tmp_path / "half.ckpt")
    fit(second, epoch, steps=-1, max_epochs=2, folder=tmp_path, resume=tmp_path / "half.ckpt")
    assert second.revived == [0, 0]
    state = second.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.network.state_dict().items())


def test_saved_weights_load_again_with_exact_zeros(build, make_pruned, batches, tmp_path):
    net, again = Net(make_pruned(), build), make_pruned()
    fit(net, batches, steps=2, folder=tmp_path).save_checkpoint(tmp_path / "net.ckpt")
    saved = torch.load(tmp_path / "net.ckpt", weights_only=True)["state_dict"]
    again.module.load_state_dict({name.removeprefix("network."): tensor for name, tensor in saved.items()})
    for name, mask in again.masks.items():
        loaded = again.module.get_parameter(name).detach()
        assert torch.equal(loaded, net.network.get_parameter(name))
        assert not loaded[~mask].any()
    again.save(tmp_path / "artifact")


def test_a_checkpoint_of_other_masks_is_refused(sgd, make_pruned, batches, tmp_path):
    trained = Net(make_pruned(), sgd)
    fit(trained, batches, steps=1, folder=tmp_path).save_checkpoint(tmp_path / "net.ckpt")
    other = Net(make_pruned(seed=1), sgd)
    with pytest.raises(UsageError, match="were pruned with other masks"):
        fit(other, batches, steps=2, folder=tmp_path, resume=tmp_path / "net.ckpt")


def test_no_checkpoint_is_written_of_weights_that_moved(sgd, pruned, batches, tmp_path):
    class Careless(Net):
        def on_train_batch_end(self, *_):
            self.network.get_parameter("0.weight").data.add_(1)
            self.trainer.save_checkpoint(tmp_path / "net.ckpt")

    with pytest.raises(VerificationError, match=r"pruned entries of '0\.weight' are no longer zero in the weights"):
        fit(Careless(pruned, sgd), batches, steps=1, folder=tmp_path)
    assert not (tmp_path / "net.ckpt").exists()


def test_a_module_without_masks_is_refused(sgd, pruned, batches, tmp_path):
    net = Net(pruned, sgd)
    net.network = torch.nn.Linear(6, 3)
    net.masks = {}
    with pytest.raises(UsageError, match="Net was not pruned: it has no masks to enforce"):
        fit(net, batches, steps=1, folder=tmp_path)

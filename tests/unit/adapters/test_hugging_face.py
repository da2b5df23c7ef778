"""A pruned model of Transformers is still a model of Transformers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Dataset

import n2nsurgery

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

IDS = torch.arange(16).reshape(2, 8)


class Sentences(Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": (IDS[0] + index) % 50, "labels": torch.tensor(index % 3)}


def seeded(kind, config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config)


@pytest.fixture(scope="module")
def classifier():
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    model = seeded(transformers.BertForSequenceClassification, config)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    return n2nsurgery.apply(model, density=0.5, example_inputs=inputs)


@pytest.fixture(scope="module")
def writer():
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=32, max_position_embeddings=32, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return n2nsurgery.apply(
        seeded(transformers.LlamaForCausalLM, config).eval(), density=0.5, example_inputs={"input_ids": IDS}
    )


def test_it_keeps_its_class_and_has_skips(classifier, writer):
    assert type(classifier.module) is transformers.BertForSequenceClassification
    assert type(writer.module) is transformers.LlamaForCausalLM
    assert classifier.plan.skips
    assert writer.plan.skips
    assert writer.plan.engine.engine == "hooks"


def test_save_pretrained_writes_pruned_weights_and_skips(classifier, tmp_path):
    classifier.module.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert set(classifier.masks) <= set(saved)
    for name, mask in classifier.masks.items():
        assert int(saved[name].count_nonzero()) <= int(mask.sum()), name
        assert not saved[name][~mask].any(), name


def test_generate_gives_the_same_text_with_and_without_a_cache(writer):
    texts = [
        writer.module.generate(IDS[:, :4], max_new_tokens=6, do_sample=False, use_cache=cache)
        for cache in (True, False)
    ]
    assert texts[0].shape == (2, 10)
    assert torch.equal(*texts)


def test_the_trainer_trains_what_was_kept_and_nothing_else(classifier, tmp_path):
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=3, per_device_train_batch_size=4, learning_rate=1e-2, use_cpu=True,
        report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    before = {name: classifier.module.get_parameter(name).detach().clone() for name in classifier.masks}
    transformers.Trainer(model=classifier.module, args=arguments, train_dataset=Sentences()).train()
    for name, mask in classifier.masks.items():
        weight = classifier.module.get_parameter(name).detach()
        assert not weight[~mask].any(), name
        assert not torch.equal(weight, before[name]), name

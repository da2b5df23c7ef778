"""Architectures of Transformers from small configurations, each with the class that users fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from n2nsurgery.coverage.catalogue import Inputs
from n2nsurgery.models.sources import from_hf
from n2nsurgery.models.sources.hf_inputs import inputs_of

_Config = dict[str, Any]
_ENCODER: _Config = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 99,
    "max_position_embeddings": 64,
}  # fmt: skip
_DECODER: _Config = {**_ENCODER, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GPT: _Config = {"vocab_size": 99, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
_PAIRED: _Config = {
    "vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
_VIT: _Config = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
_WINDOWS: _Config = {
    "image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4,
}  # fmt: skip
_SOUND: _Config = {
    "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": [16, 16], "conv_stride": [5, 4], "conv_kernel": [10, 8], "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
_DISENTANGLED: _Config = {**_ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
_STAGES: _Config = {"image_size": 64, "depths": [1, 1, 1, 1]}

# model_type -> (class, its configuration)
_MODELS: Mapping[str, tuple[str, _Config]] = MappingProxyType(
    {
        "bert": ("BertForSequenceClassification", _ENCODER),
        "roberta": ("RobertaForSequenceClassification", _ENCODER | {"pad_token_id": 1}),
        "xlm-roberta": ("XLMRobertaForSequenceClassification", _ENCODER | {"pad_token_id": 1}),
        "camembert": ("CamembertForSequenceClassification", _ENCODER | {"pad_token_id": 1}),
        "electra": ("ElectraForSequenceClassification", _ENCODER | {"embedding_size": 32}),
        "distilbert": (
            "DistilBertForSequenceClassification",
            {"vocab_size": 99, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64},
        ),
        "albert": ("AlbertForSequenceClassification", _ENCODER | {"embedding_size": 16}),
        "deberta": ("DebertaForSequenceClassification", _DISENTANGLED),
        "deberta-v2": ("DebertaV2ForSequenceClassification", _DISENTANGLED),
        "mpnet": ("MPNetForSequenceClassification", _ENCODER),
        "mobilebert": (
            "MobileBertForSequenceClassification",
            _ENCODER | {"embedding_size": 32, "intra_bottleneck_size": 16},
        ),
        "squeezebert": ("SqueezeBertForSequenceClassification", _ENCODER | {"embedding_size": 32}),
        "convbert": ("ConvBertForSequenceClassification", _ENCODER | {"embedding_size": 32}),
        "fnet": ("FNetForSequenceClassification", _ENCODER | {"tpu_short_seq_length": 16}),
        "longformer": ("LongformerForSequenceClassification", _ENCODER | {"attention_window": [4] * 3}),
        "big_bird": ("BigBirdForSequenceClassification", _ENCODER | {"attention_type": "original_full"}),
        "modernbert": ("ModernBertForSequenceClassification", _ENCODER | {"pad_token_id": 0}),
        "layoutlm": ("LayoutLMForSequenceClassification", _ENCODER),
        "rembert": ("RemBertForSequenceClassification", _ENCODER | {"input_embedding_size": 16}),
        "ernie": ("ErnieForSequenceClassification", _ENCODER),
        "roformer": ("RoFormerForSequenceClassification", _ENCODER | {"embedding_size": 32}),
        "xlnet": (
            "XLNetForSequenceClassification",
            {"vocab_size": 99, "d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 64},
        ),
        "funnel": (
            "FunnelForSequenceClassification",
            {"vocab_size": 99, "block_sizes": [2, 2], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64},
        ),
        "gpt2": ("GPT2LMHeadModel", _GPT),
        "gptj": ("GPTJForCausalLM", _GPT | {"rotary_dim": 4}),
        "gpt_bigcode": ("GPTBigCodeForCausalLM", _GPT),
        "codegen": ("CodeGenForCausalLM", _GPT | {"rotary_dim": 4}),
        "gpt_neo": (
            "GPTNeoForCausalLM",
            {"vocab_size": 99, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64,
             "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 64},
        ),
        "gpt_neox": ("GPTNeoXForCausalLM", _ENCODER),
        "opt": (
            "OPTForCausalLM",
            {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_dim": 64,
             "max_position_embeddings": 64, "word_embed_proj_dim": 32},
        ),
        "bloom": ("BloomForCausalLM", {"vocab_size": 99, "hidden_size": 32, "n_layer": 3, "n_head": 4}),
        "falcon": (
            "FalconForCausalLM",
            {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4},
        ),
        "mpt": ("MptForCausalLM", {"vocab_size": 99, "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64}),
        "llama": ("LlamaForCausalLM", _DECODER),
        "mistral": ("MistralForCausalLM", _DECODER),
        "mixtral": ("MixtralForCausalLM", _DECODER | {"num_local_experts": 4}),
        "qwen2": ("Qwen2ForCausalLM", _DECODER),
        "qwen3": ("Qwen3ForCausalLM", _DECODER | {"head_dim": 8}),
        "gemma": ("GemmaForCausalLM", _DECODER | {"head_dim": 8}),
        "gemma2": ("Gemma2ForCausalLM", _DECODER | {"head_dim": 8}),
        "phi": ("PhiForCausalLM", _DECODER),
        "phi3": ("Phi3ForCausalLM", _DECODER),
        "stablelm": ("StableLmForCausalLM", _DECODER),
        "olmo": ("OlmoForCausalLM", _DECODER),
        "olmo2": ("Olmo2ForCausalLM", _DECODER),
        "cohere": ("CohereForCausalLM", _DECODER),
        "starcoder2": ("Starcoder2ForCausalLM", _DECODER),
        "granite": ("GraniteForCausalLM", _DECODER),
        "mamba": (
            "MambaForCausalLM", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 4},
        ),
        "t5": (
            "T5ForConditionalGeneration",
            {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        ),
        "bart": ("BartForConditionalGeneration", _PAIRED),
        "mbart": ("MBartForConditionalGeneration", _PAIRED),
        "pegasus": ("PegasusForConditionalGeneration", _PAIRED),
        "marian": ("MarianMTModel", _PAIRED),
        "blenderbot": ("BlenderbotForConditionalGeneration", _PAIRED),
        "vit": ("ViTForImageClassification", _VIT),
        "deit": ("DeiTForImageClassification", _VIT),
        "beit": ("BeitForImageClassification", _VIT),
        "dinov2": ("Dinov2ForImageClassification", _VIT),
        "vit_msn": ("ViTMSNForImageClassification", _VIT),
        "swin": ("SwinForImageClassification", _WINDOWS),
        "swinv2": ("Swinv2ForImageClassification", _WINDOWS),
        "convnext": ("ConvNextForImageClassification", {"hidden_sizes": [8, 16], "depths": [2, 2], "num_stages": 2,
                                                        "image_size": 32}),
        "convnextv2": ("ConvNextV2ForImageClassification", {"hidden_sizes": [8, 16], "depths": [2, 2], "num_stages": 2,
                                                            "image_size": 32}),
        "resnet": ("ResNetForImageClassification", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2],
                                                    "layer_type": "basic"}),
        "regnet": ("RegNetForImageClassification", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2],
                                                    "groups_width": 8}),
        "segformer": (
            "SegformerForSemanticSegmentation",
            {"num_encoder_blocks": 2, "depths": [2, 2], "hidden_sizes": [16, 32], "num_attention_heads": [1, 2],
             "sr_ratios": [2, 1], "patch_sizes": [7, 3], "strides": [4, 2], "mlp_ratios": [2, 2],
             "decoder_hidden_size": 16, "image_size": 32},
        ),
        "mobilevit": (
            "MobileViTForImageClassification",
            {"image_size": 64, "hidden_sizes": [16] * 3, "neck_hidden_sizes": [8] * 6 + [16]},
        ),
        "mobilenet_v2": ("MobileNetV2ForImageClassification", {"image_size": 32, "depth_multiplier": 0.25}),
        "poolformer": ("PoolFormerForImageClassification", _STAGES | {"hidden_sizes": [8, 8, 16, 16]}),
        "pvt": ("PvtForImageClassification", _STAGES | {"hidden_sizes": [8, 16, 40, 64], "depths": [2] * 4}),
        "wav2vec2": ("Wav2Vec2ForCTC", _SOUND),
        "hubert": ("HubertForCTC", _SOUND),
        "whisper": (
            "WhisperForConditionalGeneration",
            {key: value for key, value in _PAIRED.items() if key != "max_position_embeddings"}
            | {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 20},
        ),
        "clip": (
            "CLIPModel",
            {"projection_dim": 32, "text_config": {**_ENCODER, "projection_dim": 32, "eos_token_id": 2},
             "vision_config": {**_VIT, "projection_dim": 32}},
        ),
    }
)  # fmt: skip


def names() -> tuple[str, ...]:
    """The types of models, as Transformers calls them."""
    return tuple(_MODELS)


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The model as its class builds it, with tokens, images or sound."""
    architecture, config = _MODELS[name]
    arguments = {"architecture": architecture, "config": {"model_type": name, "use_cache": False, **config}}
    module = from_hf.build(name, arguments)
    inputs = {
        each.name: torch.randint(each.ids // 2, each.ids, (2, *each.shape)) if each.ids else torch.randn(2, *each.shape)
        for each in inputs_of(type(module), module.config, None)
    }
    return module, inputs

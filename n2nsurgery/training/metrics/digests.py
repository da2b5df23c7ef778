"""Digests of named tensors: the same names, shapes and bits give the same 64 hexadecimal digits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from n2nsurgery.core.fingerprint import canonical_json, fingerprint


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the sorted names with shape, type and values of each."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(canonical_json([name, list(tensor.shape), str(tensor.dtype)]).encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def module_digest(module: nn.Module) -> str:
    """The same for the class of `module` and its state; tensors of torch's sparse and quantized forms are left out."""
    state = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    plain = {n: value for n, value in state.items() if value.layout == torch.strided and not value.is_quantized}
    return fingerprint([type(module).__qualname__, digest(plain)])

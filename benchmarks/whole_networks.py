"""Whole networks on ONNX Runtime, pruned uniformly: the sparse runtime against the dense file, taking turns.

    uv run python benchmarks/whole_networks.py [NAME ...] [--density 0.05] [--batch 1] [--rounds 15] [--folder DIR]

Random initial weights and masks, one thread, CPU time of the process, so that other work on the machine counts as
little as it can. Graphs are captured once and kept in the folder. Prints one row of a Markdown table after the other,
and for each network which operators of ours and convolutions it has.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from torch import Tensor, nn

from n2nsurgery import runtime
from n2nsurgery.export.capture.capture import capture
from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.ort.interleaved import take_turns
from n2nsurgery.export.sparse.operators import DOMAIN
from n2nsurgery.export.sparse.weight_coding import codings


@dataclass(frozen=True, kw_only=True)
class Network:
    """How a network is made, the shape of one sample, and the ratio that is aimed at with 5 % of the weights."""

    make: Callable[[], nn.Module]
    target: float
    sample: tuple[int, ...] = (3, 224, 224)


def torchvision(name: str) -> nn.Module:
    from torchvision import models

    module: nn.Module = getattr(models, name)()
    return module


def unet() -> nn.Module:
    """A ResNet34 encoder; the decoder goes up by repeating pixels."""
    import segmentation_models_pytorch as smp

    module: nn.Module = smp.Unet("resnet34", encoder_weights=None, classes=21, decoder_interpolation="nearest")
    return module


class TransposedUNet(nn.Module):
    """The U-Net of Ronneberger et al., 2015, with BatchNorm and padding: up by transposed convolutions, kernel 2."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = [3, *(width * 2**level for level in range(5))]
        self.down = nn.ModuleList(self.twice(a, b) for a, b in pairwise(sizes))
        pairs = list(zip(sizes[:1:-1], sizes[-2:0:-1], strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.joined = nn.ModuleList(self.twice(a, b) for a, b in pairs)
        self.head = nn.Conv2d(width, 21, 1)

    @staticmethod
    def twice(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for up, block, beside in zip(self.up, self.joined, kept[-2::-1], strict=True):
            x = block(torch.cat([beside, up(x)], 1))
        result: Tensor = self.head(x)
        return result


class Encoder(nn.Module):
    """Twelve layers as BERT-base has, over 128 vectors of 768 numbers."""

    def __init__(self) -> None:
        super().__init__()
        make = partial(nn.TransformerEncoderLayer, 768, 12, 3072, activation="gelu", batch_first=True)
        self.layers = nn.ModuleList(make() for _ in range(12))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


NETWORKS = {
    "unet": Network(make=TransposedUNet, target=5.5),
    "unet-resnet34": Network(make=unet, target=5.5),
    "mobilenet_v2": Network(make=partial(torchvision, "mobilenet_v2"), target=2.5),
    "mobilenet_v3_large": Network(make=partial(torchvision, "mobilenet_v3_large"), target=2.5),
    "efficientnet_b0": Network(make=partial(torchvision, "efficientnet_b0"), target=2.5),
    "convnext_tiny": Network(make=partial(torchvision, "convnext_tiny"), target=4),
    "resnet50": Network(make=partial(torchvision, "resnet50"), target=7),
    "densenet121": Network(make=partial(torchvision, "densenet121"), target=5.5),
    "encoder": Network(make=Encoder, target=4.5, sample=(128, 768)),
    "vit_b_16": Network(make=partial(torchvision, "vit_b_16"), target=4.5),
    "swin_t": Network(make=partial(torchvision, "swin_t"), target=3.5),
    "vgg19": Network(make=partial(torchvision, "vgg19"), target=7),
}


def captured(name: str, folder: Path) -> onnx.ModelProto:
    """The network's dense graph."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        torch.manual_seed(0)
        network = NETWORKS[name]
        with torch.no_grad():
            model = capture(network.make().eval(), [torch.randn(2, *network.sample)], ["x"]).model
        folder.mkdir(parents=True, exist_ok=True)
        ir.save(model, path)
    return onnx.load(path)


def pruned(proto: onnx.ModelProto, density: float) -> tuple[ir.Model, ir.Model]:
    """The graph with zeros, dense and in the portable form."""
    model = ir.from_proto(proto)
    rng = np.random.default_rng(0)
    layers = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
    for value in model.graph.initializers.values():
        tensor = value.const_value
        weight = tensor is not None and len(tensor.shape) > 1 and tensor.dtype == ir.DataType.FLOAT
        if weight and tensor is not None and any(node.op_type in layers for node, _ in value.uses()):
            array = tensor.numpy()
            kept = np.where(rng.random(array.shape) < density, array / np.sqrt(density), 0).astype(np.float32)
            value.const_value = ir.tensor(kept, name=value.name)
    dense = ir.from_proto(ir.to_proto(model))
    decided = tuple(codings(model.graph, "fp32"))
    return dense, apply_form(model, "portable", decided)


def session(model: ir.Model, folder: Path, *, sparse: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if sparse:
        runtime.register(options)
    path = folder / "model.onnx"
    ir.save(model, path)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def turn(opened: onnxruntime.InferenceSession, x: np.ndarray) -> float:
    """CPU seconds of the second of two runs."""
    opened.run(None, {"x": x})
    start = time.process_time()
    opened.run(None, {"x": x})
    return time.process_time() - start


def row(name: str, options: argparse.Namespace) -> str:
    network = NETWORKS[name]
    dense, portable = pruned(captured(name, options.folder), options.density)
    counts = Counter(node.op_type for node in portable.graph if node.domain == DOMAIN or node.op_type == "Conv")
    with tempfile.TemporaryDirectory(prefix="n2nsurgery-") as folder:
        ours, theirs = (session(m, Path(folder), sparse=s) for m, s in ((portable, True), (dense, False)))
    x = np.random.default_rng(1).standard_normal((options.batch, *network.sample)).astype(np.float32)
    a, b = ours.run(None, {"x": x})[0], theirs.run(None, {"x": x})[0]
    error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)  # a ViT begins with a head of zeros
    sparse, other = take_turns([partial(turn, ours, x), partial(turn, theirs, x)], seconds=0, rounds=options.rounds)
    low, middle, high = np.percentile(other / sparse, [25, 50, 75])
    least = other.min() / sparse.min()
    ratio = f"{middle:.2f} [{low:.2f}, {high:.2f}] | {least:.2f} | {network.target:g}"
    times = f"{np.median(other) * 1e3:.1f} | {np.median(sparse) * 1e3:.1f}"
    return f"| {name} | {ratio} | {times} | {error:.0e} |\n<!-- {dict(counts)} -->"


def main() -> None:
    """Measure the networks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "n2nsurgery-networks")
    options = parser.parse_args()
    print("| network | times as fast | of the least times | target | dense ms | sparse ms | largest error |")
    print("|---|---|---|---|---|---|---|")
    for name in options.names or NETWORKS:
        print(row(name, options), flush=True)


if __name__ == "__main__":
    main()

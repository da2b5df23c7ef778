"""What stands under "Examples" in the help of each command; the tests parse every line."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "apply": (
        "n2nsurgery apply resnet50 --density 5%",
        "n2nsurgery apply timm:vit_tiny_patch16_224 --sparsity 0.9 --criterion magnitude --weights DEFAULT",
        "n2nsurgery apply package.module:factory --density 0.1 --ignore head --dry-run",
    ),
    "train": (
        "n2nsurgery train recipe:smoke",
        "n2nsurgery train recipe.yaml --set train.epochs=5 --gpus 4",
        "n2nsurgery train recipe.yaml --resume",
    ),
    "eval": ("n2nsurgery eval", "n2nsurgery eval runs/RUN --split validation --last"),
    "export": ("n2nsurgery export", "n2nsurgery export runs/RUN -o model.onnx"),
    "compress": (
        "n2nsurgery compress model.onnx",
        "n2nsurgery compress weights.safetensors --model resnet50",
    ),
    "inspect": ("n2nsurgery inspect resnet50", "n2nsurgery inspect model.onnx --json"),
    "report": (
        "n2nsurgery report --html",
        "n2nsurgery report exported/A --png -o a.png",
        "n2nsurgery report exported/A --reference exported/B",
    ),
    "diff": ("n2nsurgery diff exported/A exported/B", "n2nsurgery diff exported/A exported/B --html -o a-b.html"),
    "verify": ("n2nsurgery verify model.onnx --against exported/ARTIFACT",),
    "bench": ("n2nsurgery bench model.onnx --threads 1",),
    "sweep": ("n2nsurgery sweep recipe:morse --density 25% --list",),
    "reproduce": ("n2nsurgery reproduce", "n2nsurgery reproduce table1 --scale smoke"),
    "models": ("n2nsurgery models 'resnet*'",),
    "doctor": ("n2nsurgery doctor --json",),
    "init": ("n2nsurgery recipe init mine.yaml --model resnet18 --data imagefolder",),
    "check": ("n2nsurgery recipe check mine.yaml --set train.epochs=5",),
}

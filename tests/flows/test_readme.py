"""The Python of README works as it stands there, with a reader's own model, criterion, data, loss and metric."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

import n2nsurgery
from n2nsurgery.masks.scoring.context import weight_values

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class MyScore:
    """Magnitudes to a power."""

    temperature: float = 1.0

    needs: ClassVar[str] = "weights"
    rounds: ClassVar[int] = 1
    scope: str = "global"

    def scores(self, context):
        return {name: value.abs() ** self.temperature for name, value in weight_values(context).items()}


def data(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 16, generator=generator)
    return torch.utils.data.TensorDataset(images, (images[:, 0] > 0).long())


def test_the_section_on_python_runs_as_it_stands(tmp_path, monkeypatch):
    (section,) = [block for block in BLOCKS if "n2nsurgery.train(" in block]
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        my_model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    names = {
        "my_model": my_model,
        "batch": torch.zeros(2, 16),
        "MyScore": MyScore,
        "my_dataset": data(256, 0),
        "my_validation": data(64, 1),
        "focal_loss": nn.functional.cross_entropy,
        "mean_iou": lambda outputs, targets: (outputs.argmax(1) == targets).float().mean(),
    }
    exec(section, names)  # noqa: S102 - the text of our own README
    pruned, outcome = names["pruned"], names["outcome"]
    assert isinstance(pruned, n2nsurgery.PrunedModel)
    assert pruned.masks.kept == round(0.05 * (16 * 64 + 64 * 64 + 64 * 2))
    assert len(outcome.history) == 10
    assert (tmp_path / "mine.onnx").is_file()

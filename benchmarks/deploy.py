"""Pruned networks on ONNX Runtime: the portable file with the sparse runtime against the dense file, taking turns.

Both files come from one artifact, through the pipelines behind `n2nsurgery apply`, `export` and `bench`; a grafted
network is compared with its own dense form. The sparse runtime has to be built.

    uv run python benchmarks/deploy.py [--models resnet50-uniform ...] [--densities 0.02 0.05 0.1] [--threads 1]
        [--batch 1] [--rounds 15] [--measure]

Prints one row of a Markdown table after the other.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2nsurgery.export.bench.bench import BenchReport
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.pipelines.deploy import bench, export
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime
from n2nsurgery.pipelines.prune import apply
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.planning.config import SurgeryConfig


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and how it is pruned; `bars`: the ratio that is to be reached, by density."""

    model: str
    options: dict[str, Any]
    bars: dict[float, float] = field(default_factory=dict)
    densities: tuple[float, ...] = (0.02, 0.05, 0.1)


PRUNED = {"skip": "none", "skip_ratio": 0.0}
UNIFORM = {**PRUNED, "allocation": "uniform"}
CASES = {
    "resnet50-uniform": Case(model="resnet50", options=UNIFORM, bars={0.02: 10, 0.05: 6, 0.1: 4}),
    "resnet50-n2nskip": Case(model="resnet50", options={"allocation": "uniform"}, bars={0.02: 10, 0.05: 6, 0.1: 4}),
    "resnet50-n2nskip-two-blocks": Case(
        model="resnet50", options={"allocation": "uniform", "skip_placement": "two-blocks"},
        bars={0.02: 10, 0.05: 6, 0.1: 4},
    ),
    "resnet50-block4": Case(
        model="resnet50", options={**UNIFORM, "granularity": "block4"}, bars={0.02: 12, 0.05: 8, 0.1: 6}
    ),
    "resnet50-snip": Case(
        model="resnet50", options={**PRUNED, "criterion": "snip", "batch_size": 16}, bars={0.02: 3, 0.05: 2.2},
        densities=(0.02, 0.05),
    ),
    "mobilenet_v2-uniform": Case(model="mobilenet_v2", options=UNIFORM, densities=(0.1,)),
    "vgg19-uniform": Case(model="vgg19", options=UNIFORM, bars={0.02: 12, 0.05: 6, 0.1: 3.5}),
}  # fmt: skip
HEADER = (
    "network", "density", "MAC density", "times as fast", "target", "dense ms", "sparse ms", "file MB",
    "of the ideal size", "load s, of dense", "memory MB, of dense", "first / warm", "layers dense",
)  # fmt: skip


def measured(case: Case, density: float, options: argparse.Namespace, folder: Path) -> tuple[BenchReport, Any, float]:
    """The comparison, the report on the portable file, and the MAC density."""
    artifact = folder / "artifact"
    request = ApplyRequest(
        model=case.model, surgery=SurgeryConfig(density=density, **case.options), output=artifact, device="cpu"
    )
    outcome = apply.run(request)
    portable = export.run(artifact, folder / "portable.onnx", config=ExportConfig(measure=options.measure)).report
    dense = export.run(artifact, folder / "dense.onnx", config=ExportConfig(format="dense")).report
    report = bench.run(
        portable.path, against=dense.path, threads=options.threads, batch=options.batch, seconds=0.01,
        rounds=options.rounds,
    )  # fmt: skip
    return report, portable, outcome.to_json()["mac_density"]


def row(name: str, case: Case, density: float, options: argparse.Namespace) -> Iterator[str]:
    """The cells of one measurement."""
    with tempfile.TemporaryDirectory(prefix="n2nsurgery-") as folder:
        report, portable, mac_density = measured(case, density, options, Path(folder))
    assert report.ratio is not None
    assert report.other is not None
    sparse, dense = report.model, report.other
    low, middle, high = report.ratio
    yield name
    yield f"{density:g}"
    yield f"{mac_density:.3f}"
    yield f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    yield f"{case.bars[density]:g}" if density in case.bars else "-"
    yield f"{dense.latency[1] * 1e3:.1f}"
    yield f"{sparse.latency[1] * 1e3:.1f}"
    yield f"{sparse.size / 1e6:.2f}"
    yield f"{sparse.size / sparse.ideal_size:.2f}"
    yield f"{sparse.loading.load:.2f}, {sparse.loading.load / dense.loading.load:.2f}"
    yield _memory(sparse.loading.resident, dense.loading.resident)
    yield f"{sparse.loading.first / sparse.loading.warm:.1f}"
    yield f"{sum(weight.computed == 'dense' for weight in portable.weights)} of {len(portable.weights)}"


def _memory(sparse: int | None, dense: int | None) -> str:
    return f"{sparse / 1e6:.0f}, {sparse / dense:.2f}" if sparse is not None and dense else "unknown"


def main() -> None:
    """Measure the cases one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--densities", nargs="+", type=float, help="default: each case's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--measure", action="store_true", help="measure each layer at export instead of predicting")
    options = parser.parse_args()
    if not sparse_runtime():
        parser.error("the sparse runtime is not built: python -m n2nsurgery.runtime.build")
    for cells in (HEADER, ("---",) * len(HEADER)):
        print("|", " | ".join(cells), "|")
    for name in options.models:
        case = CASES[name]
        for density in options.densities or case.densities:
            print("|", " | ".join(row(name, case, density, options)), "|", flush=True)


if __name__ == "__main__":
    main()

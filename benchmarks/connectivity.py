"""The numerics of connectivity against scipy: mat-vecs, expm_multiply, dense eigensolves, time and memory.

Every ratio is that of two measurements in this one process, on one thread, in CPU seconds. The sections (report, heat,
eigh, expm, scree, scatter, wide) can be chosen; all of them take about two minutes.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 uv run python benchmarks/connectivity.py [section ...]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from channel_graphs import mlp, resnet50, vgg19, wide
from scipy.sparse.linalg import expm_multiply

from n2nsurgery.connectivity import METRICS, ChannelGraph, Subject, laplacian, scatter, scree_curves
from n2nsurgery.connectivity.heat.components import components
from n2nsurgery.connectivity.heat.heat_solver import solve_heat
from n2nsurgery.connectivity.page.adjacency_picture import adjacency_picture
from n2nsurgery.connectivity.page.render import render
from n2nsurgery.connectivity.report.report import report

GRID = 61


def seconds(work: Callable[[], object], runs: int = 1) -> tuple[float, object]:
    """Least CPU seconds of `runs` runs, and what the last one returned."""
    least, result = np.inf, None
    for _ in range(runs):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result


def line(what: str, *columns: str) -> None:
    print(f"| {what} | {' | '.join(columns)} |", flush=True)


def signature(graph: ChannelGraph) -> tuple[np.ndarray, np.ndarray, int]:
    """Everything from the blocks on: Laplacian, components, solve, 61 times to saturation."""
    operator = laplacian(graph)
    initial = np.isin(np.arange(graph.nodes), graph.sources).astype(float)
    heat = solve_heat(operator, initial, parts=components(operator))
    times = heat.time_grid(GRID, 1e-10)
    return times, heat.at(times), heat.modes.basis.steps


def one_product(graph: ChannelGraph) -> float:
    """CPU seconds of one mat-vec with the symmetric scipy CSR matrix."""
    adjacency = graph.adjacency()
    x = np.random.default_rng(0).random(graph.nodes)
    return seconds(lambda: adjacency @ x, runs=20)[0]


def of_heat() -> None:
    for name, make, bar in (
        ("ResNet50, dense", resnet50, 60),
        ("ResNet50, 10 %", lambda: resnet50(0.1), 300),
        ("ResNet50, 5 %", lambda: resnet50(0.05), 300),
        ("ResNet50, 2 %", lambda: resnet50(0.02), 300),
        ("VGG19, dense", vgg19, 60),
        ("VGG19, 2 %", lambda: vgg19(0.02), 300),
    ):
        graph = make()
        solve, (_, _, steps) = seconds(lambda graph=graph: signature(graph), runs=3)
        product = one_product(graph)
        line(
            f"heat, {name}", f"{graph.nodes:,} nodes, {graph.edges:,} edges", f"{steps} steps, {solve:.2f} s",
            f"{solve / product:.0f} CSR mat-vecs", f"<= {bar}",
        )  # fmt: skip


def of_eigh() -> None:
    graph = mlp(0.2)
    ours, (times, found, _) = seconds(lambda: signature(graph), runs=3)
    adjacency = graph.adjacency().toarray()
    matrix = np.diag(adjacency.sum(axis=0)) - adjacency
    theirs, (rates, modes) = seconds(lambda: scipy.linalg.eigh(matrix, overwrite_a=True, check_finite=False))
    initial = np.isin(np.arange(graph.nodes), graph.sources)
    exact = np.exp(-np.outer(times, rates)) * (modes.T @ initial) @ modes.T
    line(
        f"against dense eigh, n = {graph.nodes:,}", f"{theirs:.1f} s", f"{ours:.2f} s", f"{theirs / ours:.0f} times",
        ">= 100 times",
    )  # fmt: skip
    line("its error", "", "", f"{np.abs(exact - found).max():.1e}", "<= 1e-10")


def of_expm() -> None:
    """Its cost is proportional to t |L|: what the first part of the interval takes tells what the whole would."""
    graph = resnet50(0.05)
    ours, (times, found, _) = seconds(lambda: signature(graph), runs=3)
    adjacency = graph.adjacency()
    minus = (adjacency - sp.diags_array(adjacency.sum(axis=0))).tocsr()
    start = np.isin(np.arange(graph.nodes), graph.sources).astype(float)
    index = np.flatnonzero(times <= 0.06 * times[-1])[-1]
    theirs, exact = seconds(lambda: expm_multiply(times[index] * minus, start))
    whole = theirs * times[-1] / times[index]
    line(
        f"against expm_multiply, ResNet50 at 5 %, {GRID} times to {times[-1]:.0f}",
        f"{theirs:.1f} s to t = {times[index]:.0f}, {whole:.0f} s to the end", f"{ours:.2f} s",
        f"{theirs / ours:.0f} times to t = {times[index]:.0f}, {whole / ours:.0f} to the end", ">= 50 times",
    )  # fmt: skip
    line("its difference", "", "", f"{np.abs(exact - found[index]).max():.1e}", "<= 1e-10")


def of_scree() -> None:
    for name, graph in (("VGG19, dense", vgg19()), ("VGG19, 2 %", vgg19(0.02))):
        subject = Subject(graph=graph)
        theirs, exact = seconds(lambda subject=subject: subject.spectrum(6000))
        ours, estimate = seconds(lambda subject=subject: subject.spectrum(0))
        times = np.geomspace(0.01 / exact.points.max(), 30 / exact.points.min(), 80)
        right, found = (scree_curves(spectrum, [1, 5, 10, 25], times) for spectrum in (exact, estimate))
        line(
            f"scree, {name}", f"exact {theirs:.1f} s", f"estimated {ours:.2f} s",
            f"error {np.abs(right.alpha - found.alpha).max():.1e}, se {found.standard_error.max():.1e}", "<= 5e-3",
        )  # fmt: skip
    for name, density in (("dense", 1.0), ("5 %", 0.05), ("2 %", 0.02)):
        subject = Subject(graph=resnet50(density))
        ours, estimate = seconds(lambda subject=subject: subject.spectrum(6000))
        times = np.geomspace(0.01, 3e3, 80)
        error = scree_curves(estimate, [1, 5, 10, 25], times).standard_error.max()
        line(f"scree, ResNet50, {name}", "", f"estimated {ours:.2f} s", f"se {error:.1e}", "<= 5e-3")


def of_scatter() -> None:
    for name, density in (("dense", 1.0), ("5 %", 0.05)):
        layers = [layer.mask for layer in resnet50(density).layers if "downsample" not in layer.name]
        ours, found = seconds(lambda layers=layers: scatter(layers), runs=3)
        line(f"scatter, ResNet50, {name}", f"S = {found.minimum:.3f}", f"{ours:.3f} s", "", "<= 1 s")


def of_report() -> None:
    subject, reference = Subject(graph=resnet50(0.05)), Subject(graph=resnet50())
    total = 0.0
    for name in METRICS.names():
        spent, _ = seconds(lambda name=name: METRICS.get(name)().measure(subject, reference))
        total += spent
        line(f"metric {name}, ResNet50 5 % against dense", "", f"{spent:.2f} s", "", "")
    line("all metrics", "", f"{total:.1f} s", "", "")
    fresh = [Subject(graph=each.graph) for each in (subject, reference)]
    spent, found = seconds(lambda: report(*fresh))
    drawn, page = seconds(lambda: render(found, subject.graph, reference.graph))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line("report", "", f"{spent:.1f} s", "", "")
    line("page", f"{len(page) / 1e6:.2f} MB", f"{drawn:.2f} s", f"peak {peak:.2f} GB", "<= 10 s in all, 1.5 GB, 2 MB")
    picture, _ = seconds(lambda: adjacency_picture(wide(), {}))
    line("adjacency picture, 200,000 nodes", "", f"{picture:.2f} s, the graph included", "", "")


def of_wide() -> None:
    graph = wide()
    ours, (_, _, steps) = seconds(lambda: signature(graph))
    line("heat, 200,000 nodes", f"{graph.edges:,} edges", f"{steps} steps, {ours:.2f} s", "", "<= 60 s")
    subject, reference = Subject(graph=graph), Subject(graph=wide(seed=1))
    spent, _ = seconds(lambda: [METRICS.get(name)().measure(subject, reference) for name in METRICS.names()])
    line("all metrics, 200,000 nodes against 200,000", "", f"{spent:.1f} s", "", "<= 60 s")


SECTIONS = {
    "report": of_report, "heat": of_heat, "eigh": of_eigh, "expm": of_expm, "scree": of_scree, "scatter": of_scatter,
    "wide": of_wide,
}  # fmt: skip

if __name__ == "__main__":
    for section in sys.argv[1:] or SECTIONS:
        SECTIONS[section]()

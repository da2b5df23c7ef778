"""Experiment `predefined-table2`: parameters and operations saved by sparse classification layers.

The sparse networks are those of the lowest density without a loss of accuracy, as the paper found it; the fan-outs are
what its rounded weight counts and reductions leave as the only possibility.
Source: "Characterizing sparse connectivity patterns in neural networks", Table 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Table, TableCell, Verdict
from n2nsurgery.experiments.predefined import networks as nets
from n2nsurgery.experiments.predefined.networks import FanOuts, Network

# network, fan-outs; printed: convolution parameters (M) and operations (B), junction parameters dense and sparse (M),
# reduction of parameters and of operations (%)
_PRINTED: tuple[tuple[Network, FanOuts, tuple[str, ...]], ...] = (
    (nets.MORSE, (512, 32), ("0", "0", "0.131", "0.066", "50", "50")),
    (nets.MNIST_CL, (112, 5), ("0", "0", "0.178", "0.089", "50", "50")),
    (nets.MNIST_CONV, (16, 10), ("0.05", "0.1", "2.47", "0.06", "95.63", "18.29")),
    (nets.CIFAR10_2CL, (1, 1), ("1.15", "0.15", "2.11", "0.005", "64.63", "1.35")),
    (nets.CIFAR100_2CL, (1, 32), ("1.15", "0.15", "2.16", "0.02", "64.76", "1.38")),
    (nets.CIFAR10_3CL, (1, 1, 16), ("1.15", "0.15", "2.23", "0.009", "65.83", "1.43")),
    (nets.CIFAR100_3CL, (1, 2, 32), ("1.15", "0.15", "2.26", "0.013", "65.99", "1.45")),
)
_COLUMNS = (
    "conv parameters, M", "conv operations, B", "junctions dense, M", "junctions sparse, M",
    "parameters saved, %", "operations saved, %",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PredefinedTable2:
    """Counted from the networks' shapes."""

    trains: ClassVar[bool] = False

    def run(self, config: ExperimentConfig) -> Reproduction:  # noqa: ARG002 - nothing here is drawn
        """The table: every number as counted, with the printed one in brackets where it differs."""
        rows: list[tuple[TableCell, ...]] = []
        differing: list[str] = []
        for network, fan_outs, printed in _PRINTED:
            values = _savings(network, fan_outs)
            texts = [f"{value:.{_digits(text)}f}" for value, text in zip(values, printed, strict=True)]
            cells = [t if t == p else f"{t} [{p}]" for t, p in zip(texts, printed, strict=True)]
            differing += [
                f"{network.name}, {column}: {text} counted, {paper} printed"
                for column, text, paper in zip(_COLUMNS, texts, printed, strict=True)
                if text != paper
            ]
            rows.append((network.name, ", ".join(map(str, fan_outs)), *cells))
        total = len(_PRINTED) * len(_COLUMNS)
        return Reproduction(
            name="predefined-table2",
            title="Savings due to pre-defined sparsity",
            source="Characterizing sparse connectivity patterns in neural networks, Table 2",
            conventions=(
                "Convolutions are counted with their biases, junctions without; an operation is a multiply-accumulate.",
                "Numbers in brackets are the printed ones where they differ.",
            ),
            tables=(Table(title="Savings", columns=("network", "fan-outs", *_COLUMNS), rows=tuple(rows)),),
            verdicts=(
                Verdict(
                    statement="the savings of Table 2",
                    outcome="reproduced",
                    evidence=f"{total - len(differing)} of {total} numbers to the printed digit; "
                    + "; ".join(differing),
                ),
            ),
        )


def _savings(network: Network, fan_outs: FanOuts) -> tuple[float, ...]:
    parameters = sum(convolution.parameters for convolution in network.convolutions)
    operations = sum(convolution.operations for convolution in network.convolutions)
    dense, sparse = network.dense_weights, network.weights(fan_outs)
    saved = 100 * (dense - sparse)
    return (
        parameters / 1e6, operations / 1e9, dense / 1e6, sparse / 1e6,
        saved / (parameters + dense), saved / (operations + dense),
    )  # fmt: skip


def _digits(text: str) -> int:
    return len(text.partition(".")[2])


MEMBER = PredefinedTable2

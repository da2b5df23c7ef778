"""Experiment `predefined-table1`: the densities of all reported networks, drawn and counted.

Source: "Characterizing sparse connectivity patterns in neural networks", Table 1 and appendix 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Table, TableCell, Verdict
from n2nsurgery.experiments.predefined.networks import NETWORKS, FanOuts, Network
from n2nsurgery.masks.patterns.fans import fixed_fan


@dataclass(frozen=True, kw_only=True)
class PredefinedTable1:
    """Every row's patterns are drawn; fans and counts are those of the drawn matrices."""

    trains: ClassVar[bool] = False

    def run(self, config: ExperimentConfig) -> Reproduction:
        """The table, with the printed density beside the counted one."""
        cases = [(network, fan_outs, printed) for network in NETWORKS for fan_outs, printed in network.rows]
        rows = [_row(*case, config.seed) for case in cases]
        agree = [row for row in rows if row[-1] == "yes"]
        others = "; ".join(
            f"{row[0]} {row[1]}: {row[6]} % counted, {row[7]} % printed" for row in rows if row not in agree
        )
        return Reproduction(
            name="predefined-table1",
            title="Densities of sparse networks",
            source="Characterizing sparse connectivity patterns in neural networks, Table 1 and appendix 5.2",
            conventions=("Patterns have exact fan-outs and fan-ins; weights of junctions are counted without biases.",),
            tables=(
                Table(
                    title=f"All {len(rows)} rows",
                    columns=(
                        "network", "fan-outs", "fan-ins", "junction densities, %", "weights", "fully connected",
                        "overall density, %", "printed, %", "to the printed digit",
                    ),
                    rows=tuple(rows),
                ),
            ),
            verdicts=(
                Verdict(
                    statement="the overall densities of Table 1",
                    outcome="reproduced",
                    evidence=f"{len(agree)} of {len(rows)} rows to the printed digit; {others or 'none differs'}",
                ),
            ),
        )  # fmt: skip


def _row(network: Network, fan_outs: FanOuts, printed: str, seed: int) -> tuple[TableCell, ...]:
    masks = [
        fixed_fan(n_out, n_in, fan_out=fan_out, seed=seed)
        for (n_out, n_in), fan_out in zip(network.junctions, fan_outs, strict=True)
    ]
    fan_ins = tuple(int(mask.sum(1)[0]) for mask in masks)  # every row has as many
    weights = sum(int(mask.sum()) for mask in masks)
    digits = len(printed.partition(".")[2])
    counted = f"{100 * weights / network.dense_weights:.{digits}f}"
    return (
        network.name,
        _listed(fan_outs),
        _listed(fan_ins),
        ", ".join(f"{100 * density:.3g}" for density in network.densities(fan_outs)),
        weights,
        network.dense_weights,
        counted,
        printed,
        "yes" if counted == printed else "no",
    )


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


MEMBER = PredefinedTable1

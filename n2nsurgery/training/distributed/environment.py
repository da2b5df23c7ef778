"""Which process of how many this one is: what torchrun, `distributed_launch` or Slurm's srun say in the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from n2nsurgery.core.errors import UsageError

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SLURM_JOB_ID")
_LARGEST_PORT = 65535
# Slurm names no port: one that follows from the job is the same in all its processes, and another in the next job.
_FIRST_PORT, _PORTS = 20_000, 20_000


@dataclass(frozen=True, kw_only=True)
class RankEnvironment:
    """Process `rank` of `size`, number `local_rank` on its machine; all meet at `host`:`port`."""

    rank: int
    size: int
    local_rank: int
    host: str
    port: int

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"


def place_among_processes(environment: Mapping[str, str]) -> RankEnvironment | None:
    """The place of this process among several, None where it is alone.

    Raises UsageError for an environment that is incomplete, or says something else than numbers.
    """
    if "RANK" in environment or "WORLD_SIZE" in environment:
        return _of_torchrun(environment)
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1" and all(name in environment for name in _SLURM):
        return _of_slurm(environment)
    return None


def _of_torchrun(environment: Mapping[str, str]) -> RankEnvironment:
    missing = [name for name in _TORCHRUN if name not in environment]
    if missing:
        raise UsageError(f"the environment names a process among several but lacks {', '.join(missing)}; use torchrun")
    size = _number(environment, "WORLD_SIZE", 1)
    return RankEnvironment(
        rank=_number(environment, "RANK", 0, size - 1),
        size=size,
        local_rank=_number(environment, "LOCAL_RANK", 0),
        host=environment["MASTER_ADDR"],
        port=_number(environment, "MASTER_PORT", 0, _LARGEST_PORT),
    )


def _of_slurm(environment: Mapping[str, str]) -> RankEnvironment:
    """As srun says it; MASTER_ADDR and MASTER_PORT, where they are set, say better where to meet."""
    size = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    told = "MASTER_PORT" in environment
    return RankEnvironment(
        rank=_number(environment, "SLURM_PROCID", 0, size - 1),
        size=size,
        local_rank=_number(environment, "SLURM_LOCALID", 0),
        host=environment.get("MASTER_ADDR") or first_host(environment["SLURM_STEP_NODELIST"]),
        port=_number(environment, "MASTER_PORT", 0, _LARGEST_PORT)
        if told
        else _FIRST_PORT + _number(environment, "SLURM_JOB_ID", 0) % _PORTS,
    )


def first_host(nodes: str) -> str:
    """The first host of a Slurm node list: `gpu[03-07,12],login1` -> `gpu03`."""
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])


def _number(environment: Mapping[str, str], name: str, least: int, most: int | None = None) -> int:
    text = environment[name]
    value = int(text) if re.fullmatch(r"\d{1,9}", text) else -1
    if value < least or (most is not None and value > most):
        allowed = f"from {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"the environment variable {name} is '{text}'; a whole number {allowed} is needed")
    return value

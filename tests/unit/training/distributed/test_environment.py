"""Which process of how many: what the environment says of it, and what it says wrongly."""

from __future__ import annotations

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.distributed.environment import RankEnvironment, first_host, place_among_processes

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "node7", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "1234567",
}


def test_torchrun_says_everything():
    place = place_among_processes(TORCHRUN)
    assert place == RankEnvironment(rank=1, size=2, local_rank=0, host="node7", port=29500)
    assert place.address == "node7:29500"


def test_srun_says_who_and_the_job_says_where():
    assert place_among_processes(SLURM) == RankEnvironment(rank=5, size=8, local_rank=1, host="gpu03", port=34567)
    told = SLURM | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"}
    assert place_among_processes(told) == RankEnvironment(rank=5, size=8, local_rank=1, host="10.0.0.1", port=4000)


@pytest.mark.parametrize("environment", [{}, {"SLURM_PROCID": "0"}, SLURM | {"SLURM_STEP_NUM_TASKS": "1"}])
def test_a_process_that_nobody_counts_is_alone(environment):
    assert place_among_processes(environment) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RANK": "a"}, "variable RANK is 'a'; a whole number from 0 to 1 is needed"),
        ({"RANK": "2"}, "variable RANK is '2'; a whole number from 0 to 1 is needed"),
        ({"WORLD_SIZE": "0"}, "variable WORLD_SIZE is '0'; a whole number from 1 is needed"),
        ({"LOCAL_RANK": "-1"}, "variable LOCAL_RANK is '-1'; a whole number from 0 is needed"),
        ({"MASTER_PORT": "x"}, "variable MASTER_PORT is 'x'; a whole number from 0 to 65535 is needed"),
        ({"MASTER_PORT": "70000"}, "variable MASTER_PORT is '70000'; a whole number from 0 to 65535 is needed"),
    ],
)
def test_what_is_not_a_number_is_named(change, message):
    with pytest.raises(UsageError, match=message):
        place_among_processes(TORCHRUN | change)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[03-07,12],login1", "gpu03"),
        ("a1", "a1"),
        ("a1,a2", "a1"),
        ("n[1,4]x[2-3]", "n1x2"),
        ("c-9-[10-11]", "c-9-10"),
    ],
)
def test_the_first_host_of_a_node_list(nodes, first):
    assert first_host(nodes) == first

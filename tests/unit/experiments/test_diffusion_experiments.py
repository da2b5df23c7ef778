import json

import pytest

from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.experiments.n2nskip.diffusion_networks import METHODS, dense_network
from n2nsurgery.experiments.paper.reproduce import run
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig
from n2nsurgery.experiments.targets import fig3
from n2nsurgery.experiments.targets.table3 import Table3


def test_the_triptych_has_exactly_the_papers_numbers_of_edges(tmp_path):
    found = run("fig3", ExperimentConfig(folder=tmp_path))
    reference, pruned, skipped = found.tables[0].rows
    assert reference[1:4] == (1_744_896, 0, 1_744_896)
    assert pruned[1:4] == (348_979, 0, 348_979)  # 20 %
    assert skipped[1:4] == (174_489, 174_490, 348_979)  # 10 % sequential and 10 % in skips over three layers
    assert all(0 <= row[4] <= row[5] for row in found.tables[0].rows)
    assert (tmp_path / "fig3.png").read_bytes().startswith(b"\x89PNG")


def test_a_pixel_is_darker_the_more_pairs_are_connected():
    picture = fig3._picture(dense_network("mlp", GraphOptions(), seed=0).graph)
    assert picture.shape == (1008, 1008)
    assert (picture == picture.T).all()
    assert picture[768:896, :768].min() == 1  # the first layer's block: 512 neurons read all 3072 inputs
    assert picture[:768, :768].max() == 0  # inputs are not connected with each other


def test_finished_cells_of_the_table_are_not_computed_again(tmp_path):
    for place, method in enumerate(METHODS):
        path = tmp_path / "cells" / f"VGG19-{method}-0.02-s0.json"
        path.parent.mkdir(exist_ok=True)
        value = float(place % 2 == 0)  # the methods without skips
        path.write_text(json.dumps({"values": [value, value, 0.0, value, 0.0, 0.0], "components": 1}))
    found = Table3().run(ExperimentConfig(folder=tmp_path, scale="smoke"))
    assert next(row[4:10] for row in found.tables[0].rows) == (1.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    assert found.tables[1].rows[0][3:] == ("yes", "yes", "equal", "yes", "equal", "equal")
    outcomes = {verdict.statement: verdict.outcome for verdict in found.verdicts}
    assert outcomes["skips bring F down in every cell (l1, t*)"] == "reproduced"
    assert outcomes["skips bring F down in every cell (binary, inf)"] == "undecided"
    assert outcomes["VGG19 at 2%: F of N2NSkip-RP is below that of RP"] == "reproduced"


def test_a_damaged_cell_is_named(tmp_path):
    path = tmp_path / "cells" / "VGG19-RP-0.02-s0.json"
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(InvalidFileError, match="delete it to compute it again"):
        Table3().run(ExperimentConfig(folder=tmp_path, scale="smoke"))

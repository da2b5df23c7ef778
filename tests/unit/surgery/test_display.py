"""A pruned network in a notebook: one line, a table, a summary."""

from __future__ import annotations

import torch
from torch import nn

from n2nsurgery import apply


def pruned(**options):
    layers = [layer for _ in range(5) for layer in (nn.Linear(6, 6), nn.ReLU())]
    return apply(nn.Sequential(*layers), example_inputs=torch.zeros(2, 6), density=0.5, skip_length=3, **options)


def test_its_repr_is_one_line():
    skips = pruned(skip_ratio=0.2)
    assert repr(skips) == "PrunedModel(Sequential, 90 of 180 weights (50 %), 3 skips with 18 of them)"
    assert repr(pruned(skip="none")) == "PrunedModel(Sequential, 90 of 180 weights (50 %), no skips)"


class Marked(nn.Sequential):
    pass


def test_a_notebook_shows_a_table_in_which_names_are_text():
    model = Marked(nn.Linear(6, 6))
    Marked.__name__ = "<b>"
    table = apply(model, example_inputs=torch.zeros(2, 6), density=0.5, skip="none")._repr_html_()
    assert "<tr><th>model</th><td>&lt;b&gt;</td></tr>" in table
    assert "<tr><th>weights</th><td>18 of 36 weights (50 %)</td></tr>" in table
    assert "<b>" not in table


def test_its_summary_is_what_apply_prints():
    found = pruned(skip_ratio=0.2).summary()
    assert (found["nnz_total"], found["nnz_skip"], len(found["skips"])) == (90, 18, 3)

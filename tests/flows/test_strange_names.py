"""Names that a model may have, and a terminal, a page or a file must not be harmed by: markup, 10,000 characters."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import n2nsurgery
from n2nsurgery.core.errors import TraceError

STRANGE = [
    "<script>alert(1)</script>",
    "[red]bold[/red]",
    "\x1b[31mred\x1b[0m",
    "a" * 10_000,
    "{{ 7*7 }}",
    "'; --",
]
NET = f"""
from torch import nn

NAMES = {STRANGE!r}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        for name in NAMES:
            self.add_module(name, nn.Linear(16, 16))

    def forward(self, x):
        for name in NAMES:
            x = self._modules[name](x).relu()
        return x
"""


@pytest.fixture
def artifact(program, here, monkeypatch):
    """A pruned network with strange names, and a skip between every two of its layers that can have one."""
    Path("net.py").write_text(NET, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    done = program("apply", "net.py:Net", "--input-size", "16", "--density", "0.5", "-o", "out")
    assert done.code == 0, done.stderr
    return done


def test_a_table_shows_them_as_plain_text(program, artifact):
    assert "[red]bold[/red]" in artifact.stdout
    assert "\x1b" not in artifact.stdout
    inspected = program("inspect", "net.py:Net", "--input-size", "16")
    assert inspected.code == 0
    assert "\x1b" not in inspected.stdout
    assert "a" * 10_000 in inspected.stdout


@pytest.mark.usefixtures("artifact")
def test_json_holds_them_to_the_letter(program):
    document = json.loads(program("inspect", "net.py:Net", "--input-size", "16", "--json").stdout)
    assert [layer["name"] for layer in document["layers"]] == STRANGE
    again = n2nsurgery.load("out", allow_import=True)
    assert [name.removesuffix(".weight") for name in again.masks if name.removesuffix(".weight") in STRANGE] == STRANGE


@pytest.mark.usefixtures("artifact")
def test_a_page_escapes_them(program):
    done = program("report", "out", "--html", "--allow-import", "-o", "page.html")
    assert done.code == 0, done.stderr
    assert "\x1b" not in done.stdout
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    document = program("report", "out", "--allow-import", "--json")
    assert set(STRANGE) <= {row["name"] for row in json.loads(document.stdout)["layers"]["rows"]}


@pytest.mark.usefixtures("artifact")
def test_an_exported_file_holds_them(program):
    done = program("export", "out", "--allow-import", "-o", "out.onnx")
    assert done.code == 0, done.stderr
    assert onnx.load("out.onnx").graph.node
    assert program("inspect", "out.onnx").code == 0
    assert program("verify", "out.onnx", "--against", "out", "--allow-import").code == 0


@pytest.mark.parametrize("name", ["two\nlines", 'quo"ted', "back\\slash"])
def test_a_name_that_torch_cannot_write_is_refused_by_name(name):
    network = nn.Sequential()
    network.add_module(name, nn.Linear(8, 8))
    with pytest.raises(TraceError, match=f"the name {re.escape(repr(name))} holds"):
        n2nsurgery.apply(network, example_inputs=torch.zeros(2, 8), density=0.5, skip="none")

"""What a reader sees: names whole at any width, sentences wrapped in a terminal alone, colours by severity."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from n2nsurgery_cli.console import tables
from n2nsurgery_cli.console.reproduction import draw_sweep
from n2nsurgery_cli.console.tables import draw_facts, draw_grid, draw_line, draw_table, draw_warning, stdout_console

NAME = "encoder.layers.encoder_layer_11.self_attention.out_proj.weight"
REASON = "it runs only in the branch that no input of this shape takes, so nothing can be said of its channels"
ROWS = [(NAME, "conv2d", "1,234,567", REASON), ("fc", "linear", "10", "")]
COLUMNS = ("layer", "operator", "weights", "no skip starts or ends here because")


def drawn(draw, *arguments, width=80, terminal=True):
    file = io.StringIO()
    draw(Console(file=file, width=width, force_terminal=terminal, color_system=None), *arguments)
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_name_is_whole_in_a_table_at_any_width(width):
    lines = drawn(draw_table, "2 layers", COLUMNS, ROWS, width=width).splitlines()
    row = next(line for line in lines if NAME in line)
    assert "1,234,567" in row


@pytest.mark.parametrize("width", [60, 80])
def test_sentences_wrap_between_words(width):
    text = drawn(draw_table, "2 layers", ("layer", "reason"), [("layer1.0.conv2", REASON)], width=width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert all(any(word in line.split() for line in text.splitlines()) for word in REASON.split())


def test_a_path_is_whole_among_facts():
    path = "/a/long/way/" + 12 * "folder/" + "libn2nsurgery.so"
    assert f"sparse runtime  {path}" in " ".join(drawn(draw_facts, {"sparse runtime": path}).splitlines())


@pytest.fixture
def piped(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    return capsys


def test_in_a_pipe_a_row_is_one_line(piped):
    draw_table(stdout_console(), "2 layers", COLUMNS, ROWS)
    lines = piped.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] in ([NAME], ["fc"])] == [NAME, "fc"]
    assert any(NAME in line and line.rstrip().endswith(REASON) for line in lines)
    assert max(map(len, lines)) < 300  # as wide as what is in it


def test_in_a_pipe_a_finding_is_one_line_without_blanks_at_its_end(piped):
    draw_grid(stdout_console(), [(Text("notice"), Text("a " * 200 + "end")), (Text("good"), Text("short"))])
    assert piped.readouterr().out.splitlines() == ["notice  " + "a " * 200 + "end", "good    short"]


def test_in_a_pipe_no_line_ends_in_blanks(piped):
    draw_table(stdout_console(), "2 layers", COLUMNS, ROWS)
    draw_facts(stdout_console(), {"model": "resnet50", "a": ""})
    lines = piped.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert "model  resnet50" in lines


def test_a_pipe_whose_width_is_given_keeps_to_it(piped, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    draw_table(stdout_console(), "1 layer", ("layer", "reason"), [("fc", REASON)])
    assert max(len(line.rstrip()) for line in piped.readouterr().out.splitlines()) <= 100


def test_a_line_is_left_to_the_terminal_to_wrap():
    path = "artifact: " + 30 * "folder/"
    assert drawn(draw_line, path) == f"{path}\n"


def coloured(draw, *arguments):
    file = io.StringIO()
    draw(Console(file=file, width=80, force_terminal=True, color_system="standard"), *arguments)
    return file.getvalue()


def test_a_warning_is_yellow_and_without_colour_where_none_is_wanted(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured(draw_warning, "careful") == "\x1b[33mwarning: careful\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured(draw_warning, "careful") == "warning: careful\n"


def test_every_severity_has_a_colour_of_its_own():
    assert len(set(tables.SEVERITIES.values())) == len(tables.SEVERITIES) == 4


def test_accuracies_of_a_sweep_are_shown_once_there_are_any(capsys):
    setting = {"fan_outs": [16, 63], "fan_ins": [1, 1008], "densities": [0.015625, 0.984375], "accuracies": []}
    listed = {
        "weights": 65536,
        "layers": ["0", "2"],
        "settings": [setting],
        "failures": [],
        "best": None,
        "folder": None,
    }
    draw_sweep(stdout_console(), listed)
    assert "accuracy" not in capsys.readouterr().out
    trained = {"settings": [{**setting, "accuracies": [35.0, 36.0]}, setting], "best": [16, 63]}
    draw_sweep(stdout_console(), {**listed, **trained})
    shown = capsys.readouterr().out
    assert " 16, 63     1, 1008   1.562, 98.44   35.50              2\n" in shown
    assert "best: fan-outs 16, 63\n" in shown

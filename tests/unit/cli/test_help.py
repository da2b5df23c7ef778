"""Help: of the bare program, of each command, with examples that work."""

from __future__ import annotations

import shlex

import pytest
import typer

from n2nsurgery_cli.commands.train import spelled_out
from n2nsurgery_cli.examples import EXAMPLES
from n2nsurgery_cli.main import app

COMMANDS = typer.main.get_command(app).commands


def test_without_arguments_help_is_shown(program):
    bare = program()
    assert "Usage: n2nsurgery [OPTIONS] COMMAND [ARGS]..." in bare.stdout + bare.stderr
    assert "bug" not in bare.stdout + bare.stderr


def test_every_command_says_in_one_whole_line_what_it_does(program):
    listed = program("--help").stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line] == list(COMMANDS)
    assert "..." not in listed


def test_in_a_narrow_terminal_the_line_is_broken_between_words_and_not_cut(program, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for path in ((), ("recipe",)):
        listed = program(*path, "--help").stdout.partition("Commands:")[2]
        assert "..." not in listed
        assert max(map(len, listed.splitlines())) <= 60
    assert "default: one-to-one" in " ".join(program("apply", "--help").stdout.split())


def test_defaults_are_told_in_one_way_and_only_where_there_is_one(program):
    for name in COMMANDS:
        shown = " ".join(program(name, "--help").stdout.split())
        assert "[default" not in shown
        assert "default: --" not in shown


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_a_command_line_that_is_understood(line):
    program, name, *arguments = shlex.split(line)
    assert program == "n2nsurgery"
    command = COMMANDS[name]
    if hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, spelled_out(arguments))  # raises where an option or a value is not known


def test_examples_stand_below_the_options_as_they_are_typed(program):
    shown = program("apply", "--help").stdout
    assert all(f"\n  {line}\n" in shown for line in EXAMPLES["apply"])


def test_arguments_are_written_as_in_the_usage_of_other_programs(program):
    shown = program("apply", "--help").stdout
    assert shown.startswith("Usage: n2nsurgery apply [OPTIONS] MODEL\n")
    assert "\n  MODEL  a name as `models` lists it" in shown
    assert program("recipe", "init", "--help").stdout.startswith("Usage: n2nsurgery recipe init [OPTIONS] [FILE]\n")
    assert program("diff", "--help").stdout.count("<") == 0


def test_the_help_of_the_program_says_what_to_begin_with(program):
    text = " ".join(program("--help").stdout.split())
    for line in ("n2nsurgery apply resnet50 --density 5%", "n2nsurgery export", "n2nsurgery report --html"):
        assert f"`{line}`" in text

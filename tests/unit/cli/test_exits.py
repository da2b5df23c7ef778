from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import typer

import n2nsurgery
from n2nsurgery.core.errors import (
    BudgetError,
    InternalError,
    InvalidFileError,
    RunError,
    TraceError,
    UnknownNameError,
    UsageError,
    VerificationError,
)
from n2nsurgery_cli.config_options import flag_of
from n2nsurgery_cli.exits import exit_code_of
from n2nsurgery_cli.main import app

APPLY = ("apply", "resnet18", "--density", "0.1")


def raising(error: BaseException):
    def run(*_arguments, **_options):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunError("no device"), 1),
        (UsageError("bad option"), 2),
        (UnknownNameError("unknown model"), 2),
        (BudgetError("does not fit"), 2),
        (InvalidFileError("damaged"), 3),
        (VerificationError("differs"), 4),
        (TraceError("untraceable"), 5),
    ],
)
def test_the_callers_mistake_is_one_message_and_its_code(program, pipeline, error, code):
    pipeline("apply", raising(error))
    finished = program(*APPLY)
    assert (finished.code, finished.stdout, finished.stderr) == (code, "", f"error: {error}\n")


def test_an_interrupt_that_a_library_turns_into_another_error_is_one(monkeypatch, capsys):
    """As an import of numpy does that is broken off."""
    monkeypatch.setattr(sys, "argv", ["n2nsurgery"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def broken_off():
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise AttributeError("module 'numpy' has no attribute 'matrix'")

    try:
        assert exit_code_of(broken_off) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "error: interrupted\n"
    assert exit_code_of(raising(AttributeError("no matrix"))) == 1  # without an interrupt it is a bug


def test_an_error_is_a_document_where_json_is_asked_for(program, pipeline):
    pipeline("apply", raising(UsageError("is 2; it must be in (0, 1]", field="skip_ratio", joint=" ")))
    finished = program(*APPLY, "--json")
    message = "--skip-ratio is 2; it must be in (0, 1]"
    assert json.loads(finished.stdout) == {"error": {"message": message, "option": "--skip-ratio", "exit_code": 2}}
    assert finished.stderr == f"error: {message}\n"


def test_a_message_names_options_as_they_are_on_the_command_line():
    flags = [flag_of(field) for field in ("calibration", "weights_key", "overrides", "criterion_options.mode")]
    assert flags == ["--calibrate", "--weights-key", "--set", "--criterion-option mode"]


def test_an_error_names_an_option_that_there_is():
    commands = [*typer.main.get_command(app).commands.values()]
    commands += [inner for each in commands for inner in getattr(each, "commands", {}).values()]
    options = {flag for each in commands for parameter in each.params for flag in parameter.opts}
    sources = Path(n2nsurgery.__file__).parent
    fields = {
        field
        for file in sources.rglob("*.py")
        if not file.is_relative_to(sources / "masks" / "criteria")  # the criterion's own options
        for field in re.findall(r'field="([a-z_]+)"', file.read_text(encoding="utf-8"))
    }
    assert len(fields) > 20
    named = {field: flag_of(field) for field in fields - {"inplace"}}  # `inplace` is Python's alone
    assert {field: flag for field, flag in named.items() if flag.startswith("--") and flag not in options} == {}


@pytest.mark.parametrize(
    ("arguments", "message", "option"),
    [
        (("apply",), "Missing argument ", None),
        ((*APPLY, "extra"), "Got unexpected extra argument(s) (extra)", None),
        ((*APPLY, "--densiti", "1"), "No such option: --densiti", "--densiti"),
        ((*APPLY, "--seed", "x"), "Invalid value for '--seed': ", "--seed"),
        (("aply",), "No such command 'aply'", None),
        (("recipe", "chek"), "No such command 'chek'", None),
    ],
)
def test_what_the_option_parser_refuses_is_a_document_too(program, arguments, message, option):
    finished = program(*arguments, "--json")
    document = json.loads(finished.stdout)["error"]
    assert (finished.code, document["exit_code"], document["option"]) == (2, 2, option)
    assert document["message"].startswith(message)
    assert finished.stderr.endswith(f"Error: {document['message']}\n")


@pytest.mark.parametrize("error", [InternalError("counts differ"), ZeroDivisionError("division by zero")])
def test_our_bug_says_that_it_is_one(program, pipeline, error):
    pipeline("apply", raising(error))
    finished = program(*APPLY)
    assert finished.code == 1
    assert str(error) in finished.stderr
    assert "this is a bug in n2nsurgery" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_traceback_is_shown_only_on_request(program, pipeline):
    pipeline("apply", raising(TraceError("untraceable")))
    assert "Traceback" not in program(*APPLY, "-v").stderr
    assert "Traceback" in program(*APPLY, "-vv").stderr


def test_a_full_disk_is_a_failed_run_and_no_bug(program, pipeline):
    pipeline("apply", raising(OSError(errno.ENOSPC, "No space left on device", "out/model.safetensors")))
    finished = program(*APPLY)
    assert finished.code == 1
    assert finished.stderr == (
        "error: no space left on the disk 'out/model.safetensors'; free some or choose another output\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 233. TiB for an array"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 256000000000000 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("std::bad_alloc"),
        RuntimeError("Failed to allocate memory for requested buffer of size 68719476736"),
    ],
)
def test_too_little_memory_is_a_failed_run_and_no_bug(program, pipeline, error):
    pipeline("apply", raising(error))
    finished = program(*APPLY)
    assert finished.code == 1
    assert finished.stderr.startswith("error: there is not enough memory: ")
    assert str(error) in finished.stderr
    assert "bug" not in finished.stderr


def test_too_little_memory_of_the_system_is_no_matter_of_a_file(program, pipeline):
    pipeline("apply", raising(OSError(errno.ENOMEM, "Cannot allocate memory")))
    finished = program(*APPLY)
    assert finished.code == 1
    assert finished.stderr.startswith("error: there is not enough memory: Cannot allocate memory")


def test_an_input_that_ends_is_told_by_its_own_name(program, pipeline):
    pipeline("apply", raising(EOFError("nothing left to read")))
    finished = program(*APPLY)
    assert finished.code == 1
    assert "EOFError: nothing left to read" in finished.stderr


def test_any_other_failure_of_the_system_names_the_file(program, pipeline):
    pipeline("apply", raising(PermissionError(errno.EACCES, "Permission denied", "plan.json")))
    finished = program(*APPLY)
    assert (finished.code, finished.stderr) == (1, "error: cannot use 'plan.json': Permission denied\n")


def test_an_interrupt_is_130(program, pipeline):
    pipeline("apply", raising(KeyboardInterrupt()))
    finished = program(*APPLY)
    assert (finished.code, finished.stderr) == (130, "error: interrupted\n")
    assert program(*APPLY, "-vv").stderr.endswith("error: interrupted\n")
    assert "NoneType" not in program(*APPLY, "-vv").stderr


def test_an_interrupt_outside_of_a_command_is_130(capsys):
    assert exit_code_of(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_an_interrupt_while_modules_are_imported_is_130(tmp_path):
    (tmp_path / "typer.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    for asked, stdout in (("--version", ""), ("--json", '{"error": {"message": "interrupted", "option": null')):
        finished = subprocess.run(
            [sys.executable, "-m", "n2nsurgery", asked], env=os.environ | {"PYTHONPATH": paths},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (finished.returncode, finished.stderr) == (130, "error: interrupted\n")
        assert finished.stdout.startswith(stdout)


@pytest.mark.parametrize("arguments", [("recipe", "list"), ("apply", "--help"), ("recipe", "list", "--json")])
def test_a_reader_that_has_gone_is_no_error_to_tell(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        finished = subprocess.run(
            [sys.executable, "-m", "n2nsurgery", *arguments], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (finished.returncode, finished.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("aply",), "No such command 'aply'"),
        (("apply",), "Missing argument "),
        (("apply", "resnet18", "--dencity", "0.1"), "No such option"),
        (("apply", "resnet18", "--density", "a"), "--density is 'a'; it must be in (0, 1]"),
        (("apply", "resnet18"), "--density: exactly one of density, sparsity and compression"),
        (("apply", "resnet18", "--density", "0"), "--density is 0.0; it must be in (0, 1]"),
        (("apply", "resnet18", "--density", "1.5"), "--density is 1.5; it must be in (0, 1]"),
        (("apply", "resnet18", "--density", "0.1", "--sparsity", "0.9"), "density and sparsity are given"),
        ((*APPLY, "--skip-ratio", "1"), "--skip-ratio is 1.0; it must be in [0, 1)"),
        ((*APPLY, "--skip-ratio", "half"), "--skip-ratio is 'half'"),
        ((*APPLY, "--input-size", "3-32-32"), "--input-size is '3-32-32'"),
        ((*APPLY, "--pairs", "blocs"), "did you mean 'blocks'?"),
        (("export", "--format", "portabel"), "--format is 'portabel'; it must be one of portable, dense, inlined"),
        (("export", "--format", "dense", "--values", "int8"), "--values is int8, which needs coded weights"),
        (("export", "--format", "dense", "--measure"), "--measure needs sparse kernels, which the format dense has"),
    ],
)
def test_wrong_usage_is_2_before_anything_is_loaded(program, arguments, message):
    finished = program(*arguments)
    assert finished.code == 2
    assert message in finished.stderr
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr

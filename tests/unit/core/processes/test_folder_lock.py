"""One process at a time holds a folder; the next one is told who; a dead one holds nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys

import pytest

from n2nsurgery.core.errors import RunError
from n2nsurgery.core.processes.folder_lock import LOCK, locked_folder

HOLD = """
import sys, time
from pathlib import Path
from n2nsurgery.core.processes.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / "run"`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_holds_the_folder_and_since_when(tmp_path, holder):
    expected = rf"'.*run' is in use by process {holder.pid} on {socket.gethostname()}, since \d{{4}}-\d\d-\d\d .* UTC"
    with pytest.raises(RunError, match=expected), locked_folder(tmp_path / "run"):
        pass
    assert holder.poll() is None


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).is_file()  # it had no time to remove it
    with locked_folder(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / "run" / LOCK).exists()


def test_the_folder_of_one_process_cannot_be_held_twice_in_it_either(tmp_path):
    with (
        locked_folder(tmp_path / "run"),
        pytest.raises(RunError, match=f"process {os.getpid()}"),
        locked_folder(tmp_path / "run"),
    ):
        pass


def test_a_folder_that_stayed_empty_goes_and_another_one_stays(tmp_path):
    with locked_folder(tmp_path / "made"):
        assert [path.name for path in (tmp_path / "made").iterdir()] == [LOCK]
    assert not (tmp_path / "made").exists()
    (tmp_path / "there").mkdir()
    with locked_folder(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()
    with locked_folder(tmp_path / "used"):
        (tmp_path / "used" / "file").touch()
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"cannot write into '.*file/run': Not a directory"),
        locked_folder(tmp_path / "file" / "run"),
    ):
        pass


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING, logger="n2nsurgery"), locked_folder(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert "is not locked, for its file system has no locks: start one process on it only" in caplog.text


def test_a_lock_that_its_holder_removes_meanwhile_is_made_anew(tmp_path, monkeypatch):
    lock, flock = tmp_path / LOCK, fcntl.flock

    def late(*arguments):
        flock(*arguments)
        if lock.stat().st_size == 0 and not late.done:
            late.done = True
            lock.unlink()  # the one who held it until now

    late.done = False
    monkeypatch.setattr(fcntl, "flock", late)
    with locked_folder(tmp_path):
        assert json.loads(lock.read_text())["pid"] == os.getpid()

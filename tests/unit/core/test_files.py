from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from n2nsurgery.core import files
from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.files import (
    atomic_file,
    atomic_folder,
    clear_staging,
    ensure_writable,
    remove_folder,
    require_space,
    sha256,
)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_appears_with_everything_in_it(tmp_path):
    with atomic_folder(tmp_path / "deep" / "out") as staging:
        (staging / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert listing(tmp_path) == ["deep", "deep/out", "deep/out/a.txt"]


def test_a_folder_whose_block_fails_leaves_nothing(tmp_path):
    def write() -> None:
        with atomic_folder(tmp_path / "out") as staging:
            (staging / "a.txt").write_text("a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert listing(tmp_path) == []


def test_an_existing_folder_is_refused_before_the_work_starts(tmp_path):
    (tmp_path / "out").mkdir()
    started = False
    with pytest.raises(UsageError, match=r"out' already exists.*--overwrite"), atomic_folder(tmp_path / "out"):
        started = True
    assert not started


def test_a_place_that_takes_no_files_is_refused_before_the_work_starts(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "out", tmp_path / "file" / "no" / "out"):
        with pytest.raises(RunError, match=r"cannot write '.*out': '.*file' is not a folder; choose another output"):
            ensure_writable(path)
    ensure_writable(tmp_path / "no" / "such" / "out")
    monkeypatch.setattr(os, "access", lambda folder, _mode: folder != tmp_path)  # root may write into any folder
    for path in (tmp_path / "out", tmp_path / "no" / "such" / "out", tmp_path / "file"):
        with pytest.raises(
            RunError, match=r"cannot write '.*': nothing can be written into '.*'; choose another output"
        ):
            ensure_writable(path, overwrite=True)


def test_overwriting_replaces_our_own_folder(tmp_path):
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "out", overwrite=True, marker="manifest.json") as staging:
            (staging / "manifest.json").write_text(text)
            (staging / f"{text}.txt").touch()
    assert listing(tmp_path) == ["out", "out/manifest.json", "out/new.txt"]


def test_overwriting_never_deletes_a_folder_that_is_not_ours(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").touch()
    with pytest.raises(UsageError, match=r"does not hold a manifest.json"):
        ensure_writable(tmp_path / "letters", overwrite=True, marker="manifest.json")
    assert listing(tmp_path) == ["letters", "letters/love.txt"]


def test_a_failed_exchange_brings_the_old_folder_back(tmp_path, monkeypatch):
    with atomic_folder(tmp_path / "out", marker="m") as staging:
        (staging / "m").write_text("old")
    rename = Path.rename

    def fail_on_arrival(self: Path, target: Path) -> Path:
        if target.name == "out" and self == failing:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_arrival)
    monkeypatch.setattr(files, "_swapped", lambda *_: False)  # as on a system that cannot
    with (
        pytest.raises(RunError, match="cannot write"),
        atomic_folder(tmp_path / "out", overwrite=True, marker="m") as failing,
    ):
        (failing / "m").write_text("new")
    assert listing(tmp_path) == ["out", "out/m"]
    assert (tmp_path / "out" / "m").read_text() == "old"


def test_a_full_disk_is_one_message_with_the_numbers(tmp_path):
    def write() -> None:
        with atomic_folder(tmp_path / "out") as staging:
            (staging / "half").write_bytes(bytes(2_000_000))
            raise full_disk()

    with pytest.raises(RunError, match=r"no space left .*out': at least 2\.0 MB are needed, .* MB are available"):
        write()
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EDQUOT, r"disk quota is used up while writing '.*out': at least 0\.0 MB are needed; free some"),
        (errno.EIO, r"cannot write '.*out': Input/output error"),
        (errno.ESTALE, r"cannot write '.*out': Stale file handle"),
        (errno.EROFS, r"cannot write '.*out': Read-only file system"),
    ],
)
@pytest.mark.parametrize("staged", [atomic_folder, atomic_file])
def test_what_a_disk_says_is_told_as_such(tmp_path, staged, number, message):
    with pytest.raises(RunError, match=message), staged(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    assert listing(tmp_path) == []


def test_a_staging_file_that_may_not_be_written_is_told_by_the_name_of_its_target(tmp_path):
    def write() -> None:
        with atomic_file(tmp_path / "out.txt") as staging:
            raise PermissionError(errno.EACCES, "Permission denied", str(staging))

    with pytest.raises(RunError, match=r"cannot write '.*out.txt': Permission denied"):
        write()


def test_an_error_of_the_work_itself_passes_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out"):
        (tmp_path / "input").read_text()


def test_a_place_that_cannot_be_written_is_a_run_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"), atomic_folder(tmp_path / "file" / "out"):
        pass


def test_a_file_appears_whole(tmp_path):
    with atomic_file(tmp_path / "model.onnx") as staging:
        staging.write_text("whole")
        assert staging.suffix == ".onnx"
        assert not (tmp_path / "model.onnx").exists()
    assert (tmp_path / "model.onnx").read_text() == "whole"
    assert listing(tmp_path) == ["model.onnx"]


def test_a_file_whose_block_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "model.onnx").write_text("old")

    def write() -> None:
        with atomic_file(tmp_path / "model.onnx", overwrite=True) as staging:
            staging.write_text("half")
            raise full_disk()

    with pytest.raises(RunError, match="no space left"):
        write()
    assert (tmp_path / "model.onnx").read_text() == "old"
    assert listing(tmp_path) == ["model.onnx"]


def test_a_file_that_appeared_meanwhile_is_not_overwritten(tmp_path):
    def write() -> None:
        with atomic_file(tmp_path / "a.txt") as staging:
            staging.write_text("ours")
            (tmp_path / "a.txt").write_text("theirs")

    with pytest.raises(UsageError, match="already exists"):
        write()
    assert (tmp_path / "a.txt").read_text() == "theirs"


def test_a_file_with_the_same_bytes_is_kept_and_no_error(tmp_path):
    (tmp_path / "a.txt").write_text("equal")
    before = (tmp_path / "a.txt").stat().st_mtime_ns
    with atomic_file(tmp_path / "a.txt") as staging:
        staging.write_text("equal")
    assert (tmp_path / "a.txt").stat().st_mtime_ns == before
    assert listing(tmp_path) == ["a.txt"]


def test_too_little_space_is_found_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    require_space(tmp_path / "not" / "there" / "yet", 5_000_000)
    with pytest.raises(RunError, match=r"6\.0 MB are needed, 5\.0 MB are available"):
        require_space(tmp_path / "not" / "there" / "yet", 6_000_000)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_removed_folder_is_gone_with_what_it_held(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    remove_folder(tmp_path / "old")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_is_cleared_and_nothing_else(tmp_path):
    (tmp_path / ".staging-0123-run" / "below").mkdir(parents=True)
    (tmp_path / ".staging-4567-file.json").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "kept").mkdir()
    clear_staging(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "kept"]

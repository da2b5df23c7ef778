"""Files appear whole or not at all: staged beside the target, flushed to disk, then renamed into place.

A staging name is hidden (it starts with a dot), so that whoever lists a folder never takes half a result for one.
"""

from __future__ import annotations

import ctypes
import errno
import filecmp
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from n2nsurgery.core.errors import RunError, UsageError

_STAGING = ".staging-"
_ALREADY = "'{}' already exists; choose another output or pass --overwrite to replace it"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_ERRORS = frozenset(
    {*_NO_SPACE, errno.EIO, errno.ESTALE, errno.EROFS, errno.EFBIG, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT}
)
"""What a disk or a network file system says while somebody writes; other errors may come from what is written."""


def ensure_writable(path: Path, *, overwrite: bool = False, marker: str | None = None) -> None:
    """Return where `path` may be written; to be called before the work starts, not only at its end.

    An existing folder is replaced only with `overwrite`, and only where it is empty or holds a file named `marker`
    (what we wrote before): a mistyped output must not delete somebody's folder. Raises UsageError, and RunError where
    the nearest folder above that exists takes no files.
    """
    if not path.exists() and not path.is_symlink():
        _require_open_folder(path)
        return
    if not overwrite:
        raise UsageError(_ALREADY.format(path))
    if path.is_dir() and any(path.iterdir()) and not (marker and (path / marker).is_file()):
        found = f"does not hold a {marker}" if marker else "is a folder"
        raise UsageError(f"'{path}' {found}, so --overwrite does not replace it; choose another output")
    _require_open_folder(path)


def _require_open_folder(path: Path) -> None:
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir():
        raise RunError(f"cannot write '{path}': '{folder}' is not a folder; choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(f"cannot write '{path}': nothing can be written into '{folder}'; choose another output")


def is_there(path: Path, *, overwrite: bool = False) -> bool:
    """Whether `path` is a file that may not be replaced, and is kept where what is to be written equals it.

    Raises UsageError where nothing can be written.
    """
    if path.is_file() and not overwrite:
        return True
    ensure_writable(path, overwrite=overwrite)
    return False


def is_same(one: Path, other: Path) -> bool:
    """Whether both are files with the same bytes."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def named(path: Path) -> Path:
    """`path` with a name at its end: the empty path, `.` and `..` as the folders that they are."""
    return path.resolve() if path.name in {"", ".."} else path


def require_space(folder: Path, size: int) -> None:
    """Return where the disk of `folder` (which need not exist yet) has `size` bytes free; raises RunError."""
    with disk_errors(folder, folder):
        free = _free(folder)
    if free < size:
        raise RunError(
            f"no space left in '{folder}': {_megabytes(size)} are needed, {_megabytes(free)} are available; "
            "free some or choose another output"
        )


def sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """The path of a staging file that becomes `path` when the block ends well, and nothing otherwise.

    The staging file lies in the same folder and keeps the suffix. Raises UsageError where `path` exists with another
    content and `overwrite` is false, RunError where the folder cannot be written or the disk is full.
    """
    is_there(path, overwrite=overwrite)
    staging = _staging(path)
    with disk_errors(path, staging):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk_errors(path, staging, only=DISK_ERRORS):
            yield staging
        with disk_errors(path, staging):
            if not overwrite and is_same(staging, path):
                return
            _flush(staging)
            ensure_writable(path, overwrite=overwrite)
            staging.replace(path)
            _flush(path.parent)
    finally:
        with suppress(OSError):  # a disk that failed is told by the error that is under way
            staging.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) as the whole of `path`, replacing what was there; raises RunError."""
    with atomic_file(path, overwrite=True) as staging:
        staging.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False, marker: str | None = None) -> Iterator[Path]:
    """The path of an empty staging folder that becomes `path` when the block ends well, and nothing otherwise.

    `overwrite` and `marker` as in `ensure_writable`; a replaced folder is moved aside first and comes back where
    the exchange fails. Raises UsageError and RunError like `atomic_file`.
    """
    ensure_writable(path, overwrite=overwrite, marker=marker)
    staging = _staging(path)
    with disk_errors(path, staging):
        staging.mkdir(parents=True)
    try:
        with disk_errors(path, staging, only=DISK_ERRORS):
            yield staging
        with disk_errors(path, staging):
            for file in (*staging.rglob("*"), staging):
                _flush(file)
            ensure_writable(path, overwrite=overwrite, marker=marker)
            _exchange(staging, path)
            _flush(path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder, which is first renamed: whoever lists its parent sees it whole or not at all."""
    staging = _staging(path)
    path.rename(staging)
    shutil.rmtree(staging)


def clear_staging(folder: Path) -> None:
    """Remove what killed writers left staged in `folder`; for use where nobody else is writing there."""
    for path in folder.glob(f"{_STAGING}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _staging(path: Path) -> Path:
    return path.with_name(f"{_STAGING}{secrets.token_hex(4)}-{path.name}")


def _exchange(staging: Path, path: Path) -> None:
    """Let `staging` become `path`; what was there goes."""
    if not path.exists():
        try:
            staging.rename(path)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:  # it appeared in this moment
                raise UsageError(_ALREADY.format(path)) from error
            raise
        return
    if _swapped(staging, path):
        shutil.rmtree(staging)
        return
    replaced = _staging(path)
    path.rename(replaced)
    try:
        staging.rename(path)
    except OSError:
        replaced.rename(path)
        raise
    shutil.rmtree(replaced)


def _swapped(one: Path, other: Path) -> bool:
    """Whether two folders have changed names in one step, so that no moment is without either; Linux alone can."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or a C library from before 2018
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <stdio.h>
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder as a file
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path, staging: Path, *, only: frozenset[int] | None = None) -> Iterator[None]:
    """Turn an OSError into a RunError that names the target `path`.

    With `only`, those error numbers alone, and whatever is said of `staging`, where the content is written first.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EDQUOT:
            raise RunError(
                f"the disk quota is used up while writing '{path}': at least {_megabytes(_size(staging))} are needed; "
                "free some or choose another output"
            ) from error
        if error.errno in _NO_SPACE:
            raise RunError(
                f"no space left while writing '{path}': at least {_megabytes(_size(staging))} are needed, "
                f"{_megabytes(_free(path.parent))} are available; free some or choose another output"
            ) from error
        if only is None or error.errno in only or _is_within(error.filename, staging):
            raise RunError(f"cannot write '{path}': {error.strerror or error}") from error
        raise


def _is_within(name: object, staging: Path) -> bool:
    return isinstance(name, str | Path) and Path(name).is_relative_to(staging)


def _free(folder: Path) -> int:
    """Bytes free on the disk of `folder`, which need not exist yet."""
    places = (folder.absolute(), *folder.absolute().parents)
    return shutil.disk_usage(next(place for place in places if place.exists())).free


def _size(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"

"""A lock on a folder that one process at a time writes to.

    .lock     who holds it: {"pid": 4242, "host": "node7"}; its time of change says since when

The lock is the kernel's (flock): it ends with its process, however that dies, so a stale file holds nobody up. On NFS
the server keeps it, for all hosts. A file system without locks is told in a warning, and nothing is locked.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from n2nsurgery.core.errors import RunError

_LOG = logging.getLogger(__name__)
LOCK = ".lock"
_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EACCES})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is made where it is missing and goes again where it stayed empty.

    Raises RunError, with its process, host and time, where another one holds the lock; and where the folder cannot be
    made or written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _acquired(folder / LOCK)
    except OSError as error:
        raise RunError(f"cannot write into '{folder}': {error.strerror or error}; choose another output") from error
    try:
        yield
    finally:
        try:
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)  # first, for nobody may lock a file that is about to go
        finally:
            os.close(descriptor)
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _acquired(path: Path) -> int:
    """The open file of the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, path)
            if _is_at(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the one who had it removed the file between our two calls: try again


def _lock(descriptor: int, path: Path) -> None:
    if os.name == "nt":
        _LOG.warning("'%s' is not locked: there are no such locks on Windows", path.parent)
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise RunError(
                f"'{path.parent}' is in use by {_holder(path)}; wait for it, or choose another output"
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
        _LOG.warning("'%s' is not locked, for its file system has no locks: start one process on it only", path.parent)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    """`process 4242 on node7, since 2026-01-31 12:00:00 UTC`, as far as the file says it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return f"process {content['pid']} on {content['host']}, since {since:%Y-%m-%d %H:%M:%S} UTC"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"

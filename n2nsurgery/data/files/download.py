"""Official archives, fetched only when asked for: size and checksum are known beforehand, files appear whole."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pooch

from n2nsurgery.core.errors import RunError, VerificationError
from n2nsurgery.core.files import atomic_file, require_space

_log = logging.getLogger(__name__)
_MD5_DIGITS = 32
_SECONDS = 60  # without any answer
_RETRIES = 2
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file at `url` of `size` bytes, with its MD5 or SHA-256 in hex as `digest`.

    MD5 is what some publishers give; it finds damage in transit.
    """

    url: str
    size: int
    digest: str

    @property
    def name(self) -> str:
        """The file's name, which is the last part of the address."""
        return self.url.rpartition("/")[2]

    @property
    def checksum(self) -> str:
        """The digest with the name of its algorithm."""
        return f"{'md5' if len(self.digest) == _MD5_DIGITS else 'sha256'}:{self.digest}"


class _SizeBound:
    """In the place of pooch's progress bar: raises VerificationError once a file grows beyond its known size."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.total = 0  # pooch writes it, and reports it once more at the end
        self.received = 0

    def update(self, size: int) -> None:
        """Count `size` more bytes, which may be up to one block too many."""
        self.received += size
        if self.received > self.remote.size + _BLOCK:
            raise VerificationError(_unexpected(self.remote, f"more than {self.remote.size} bytes"))

    def reset(self) -> None:
        """Count from the start."""
        self.received = 0

    def close(self) -> None:
        """Count anew for the next attempt."""
        self.received = 0


def fetch(remote: Remote, folder: Path) -> Path:
    """The path of `remote`'s file in `folder`, fetched and verified; a failed attempt is repeated twice.

    Raises RunError where it cannot be fetched or written, VerificationError where it is not what it should be.
    """
    path = folder / remote.name
    require_space(folder, remote.size)
    _log.info("fetching %s (%.1f MB)", remote.url, remote.size / 1e6)
    # Several processes of one run may fetch at once: each puts the same, verified file into place.
    with atomic_file(path, overwrite=True) as staging:
        try:
            _retrieve(remote, staging)
        except OSError as error:
            raise RunError(
                f"cannot fetch {remote.url}: {error}; try again, or fetch it otherwise and put it into '{folder}'"
            ) from error
        except ValueError as error:  # pooch's word for another checksum
            raise VerificationError(_unexpected(remote, str(error))) from error
        if staging.stat().st_size != remote.size:
            raise VerificationError(_unexpected(remote, f"{staging.stat().st_size} bytes"))
    return path


def _retrieve(remote: Remote, target: Path) -> None:
    pooch.get_logger().setLevel(logging.WARNING)  # our own log says what is fetched
    files = pooch.create(
        path=target.parent,
        base_url="",
        registry={target.name: remote.checksum},
        urls={target.name: remote.url},
        retry_if_failed=_RETRIES,
    )
    target.touch()
    mode = target.stat().st_mode
    target.unlink()
    bound = _SizeBound(remote)
    downloader = pooch.HTTPDownloader(progressbar=bound, timeout=_SECONDS, chunk_size=_BLOCK)
    files.fetch(target.name, downloader=downloader)
    target.chmod(mode)  # pooch's temporary file is readable only for its owner, and data folders are shared


def _unexpected(remote: Remote, found: str) -> str:
    return (
        f"{remote.url} gave {found}; {remote.size} bytes with {remote.checksum} were expected. Nothing was kept; try"
        " again, or fetch the file otherwise and put it into the data folder"
    )

"""Official archives, fetched only when asked for: size and checksum are known beforehand, files appear whole."""

from __future__ import annotations

import hashlib
import http.client
import logging
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.core.errors import RunError, VerificationError
from n2nsurgery.core.files import atomic_file, require_space

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20
_MD5_DIGITS = 32
_SECONDS = 60


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


def fetch(remote: Remote, folder: Path) -> Path:
    """The path of `remote`'s file in `folder`, fetched and verified.

    Raises RunError where it cannot be fetched or written, VerificationError where it is not what it should be.
    """
    path = folder / remote.name
    require_space(folder, remote.size)
    _log.info("fetching %s (%.1f MB)", remote.url, remote.size / 1e6)
    # Several processes of one run may fetch at once: each puts the same, verified file into place.
    with atomic_file(path, overwrite=True) as staging:
        try:
            digest, size = _copy(remote, staging)
        except (OSError, http.client.HTTPException) as error:
            raise RunError(
                f"cannot fetch {remote.url}: {error}; try again, or fetch it otherwise and put it into '{folder}'"
            ) from error
        if (digest, size) != (remote.digest, remote.size):
            raise VerificationError(
                f"{remote.url} gave {size} bytes with checksum {digest}; {remote.size} bytes with {remote.digest} were "
                f"expected. Nothing was kept; try again, or fetch it otherwise and put it into '{folder}'"
            )
    return path


def _copy(remote: Remote, target: Path) -> tuple[str, int]:
    """Digest and size of what was written to `target`; at most one block more than expected is read."""
    short = len(remote.digest) == _MD5_DIGITS
    digest = hashlib.new("md5" if short else "sha256", usedforsecurity=False)
    size = 0
    # The address is a constant of a data set, never the caller's.
    with urllib.request.urlopen(remote.url, timeout=_SECONDS) as answer, target.open("wb") as file:  # noqa: S310
        while size <= remote.size and (block := answer.read(_BLOCK)):
            file.write(block)
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size

"""The checksum of a file that data are read from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from actorfl.errors import MissingFile


def check_sha256(file: Path, content: bytes, sha256: str, of: str, advice: str) -> None:
    """Refuse a file that is another than it should be.

    Args:
        file: that the content was read from.
        content: unpacked: how it is packed differs with who packed it.
        sha256: of the right one, in hexadecimal.
        of: for people, what the right one is.
        advice: what to do.

    Raises:
        MissingFile: it is another.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise MissingFile(
            file,
            f"its content has SHA-256 {digest[:12]}..., that of {of} has {sha256[:12]}...; "
            f"{advice}",
        )

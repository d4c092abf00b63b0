"""Unix sockets for the owner of a path alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["address", "listen_privately"]

ADDRESS_BYTES: Final = 100
"""Longer paths cannot be the address of a socket: 103 bytes on macOS, 107 on Linux."""

BACKLOG: Final = 16


@contextmanager
def address(path: Path) -> Iterator[str]:
    """The address to listen on or connect to, for a socket at ``path``.

    Linux has another name for a path that is too long, for as long as its folder is open.

    Raises:
        OSError: the folder cannot be opened.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_privately(path: Path) -> socket.socket:
    """A socket that listens at ``path``, for its owner alone (mode 0600).

    Replaces a socket of before. Whoever calls has the lock of the store beside it, so nobody
    listens there any more.

    Raises:
        OSError: it is not possible to listen there, or there is something else.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "there is something else with this name")
        path.unlink()  # its owner is dead: see above
    except FileNotFoundError:
        pass
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With a chmod after it, others could connect in between.
    mask = os.umask(0o177)
    try:
        with address(path) as where:
            made.bind(where)
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(mask)
    return made

"""systemd's protocols for passing sockets and for notifications, without its library.

Sockets that another process holds outlive this one. So clients that connect while the hub
restarts are not refused, but wait (``sd_listen_fds(3)``). Any program can pass sockets in this
way. The hub's state is sent to the socket that ``NOTIFY_SOCKET`` names (``sd_notify(3)``).
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

from hub.domain.errors import ConfigError
from hub.http.sockets import prepare

__all__ = ["inherited", "notify"]

log = logging.getLogger("hub.systemd")

FIRST: Final = 3
"""The first file descriptor that is passed."""

MOST: Final = 64
"""The most sockets that are accepted."""


def inherited(environ: MutableMapping[str, str], *, notsent_lowat: int) -> list[socket.socket]:
    """The listening sockets that were passed to this process, set up like the hub's own.

    The variables are removed from ``environ``, because they are not for child processes.

    Raises:
        ConfigError: ``bad_socket``: a file that was passed is not a listening stream socket.
    """
    process, count = environ.pop("LISTEN_PID", None), environ.pop("LISTEN_FDS", None)
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if process is None or count is None:
        return []
    if process != str(os.getpid()):
        log.warning("sockets were passed to process %r, which is not this one", process)
        return []
    if not (count.isascii() and count.isdigit() and int(count) <= MOST):
        raise ConfigError(f"LISTEN_FDS must be a number up to {MOST}", code="bad_socket")
    taken: list[socket.socket] = []
    try:
        for place in range(int(count)):
            name = names[place] if place < len(names) else ""
            taken.append(_taken(FIRST + place, name, notsent_lowat))
    except ConfigError:
        for made in taken:
            made.close()
        raise
    return taken


def _taken(number: int, name: str, notsent_lowat: int) -> socket.socket:
    shown = f"the file {number} that was passed to the hub" + (f" as {name!r}" if name else "")
    try:
        os.set_inheritable(number, False)
        made = socket.socket(fileno=number)
    except OSError as error:
        raise ConfigError(f"{shown} is not a socket: {error.strerror}", code="bad_socket") from None
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if made.family not in families or made.type != socket.SOCK_STREAM or not listens:
        made.close()
        raise ConfigError(f"{shown} is not a listening stream socket", code="bad_socket")
    prepare(made, notsent_lowat)
    return made


def notify(environ: MutableMapping[str, str], *variables: str) -> None:
    """Send ``READY=1``, ``STATUS=…`` to the supervisor, if there is one that wants it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    # A supervisor that does not listen is no reason to fail.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto("\n".join(variables).encode(), address)

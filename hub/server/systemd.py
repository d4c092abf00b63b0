"""What systemd hands to a process and wants to be told; without its library, or without it.

Sockets that another process holds outlive this one, so nobody who connects while the hub is
restarted is refused: they wait until it is there again (``sd_listen_fds(3)``). Any program can
hand them over like this. What the hub is up to goes to the socket that ``NOTIFY_SOCKET``
names (``sd_notify(3)``).
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

__all__ = ["inherited", "tell"]

log = logging.getLogger("hub.systemd")

FIRST: Final = 3
"""The number of the first file that is handed over."""

MOST: Final = 64
"""More sockets than anybody means."""


def inherited(environ: MutableMapping[str, str], *, notsent_lowat: int) -> list[socket.socket]:
    """The listening sockets that were handed to this process, set up as the hub's own.

    The variables that say so are taken out of ``environ``: they are not for its children.

    Raises:
        ConfigError: ``bad_socket``: what was handed over is no stream socket that listens.
    """
    process, count = environ.pop("LISTEN_PID", None), environ.pop("LISTEN_FDS", None)
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if process is None or count is None:
        return []
    if process != str(os.getpid()):
        log.warning("sockets were handed to process %r, which is not this one", process)
        return []
    if not (count.isascii() and count.isdigit() and int(count) <= MOST):
        raise ConfigError(f"LISTEN_FDS is a number up to {MOST}", code="bad_socket")
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
    shown = f"the file {number} that was handed over" + (f" as {name!r}" if name else "")
    try:
        os.set_inheritable(number, False)
        made = socket.socket(fileno=number)
    except OSError as error:
        raise ConfigError(f"{shown} is no socket: {error.strerror}", code="bad_socket") from None
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if made.family not in families or made.type != socket.SOCK_STREAM or not listens:
        made.close()
        raise ConfigError(f"{shown} does not listen for streams", code="bad_socket")
    prepare(made, notsent_lowat)
    return made


def tell(environ: MutableMapping[str, str], *said: str) -> None:
    """Tell the supervisor, if there is one that wants to hear: ``READY=1``, ``STATUS=…``."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    # A supervisor that does not listen is no reason to fail.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.setblocking(False)
        there.sendto("\n".join(said).encode(), address)

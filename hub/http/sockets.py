"""The sockets a hub listens on, set up so that slow readers stay visible."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

from hub.domain.errors import ConfigError

__all__ = ["BACKLOG", "listen", "listen_unix", "prepare"]

BACKLOG: Final = 1024
"""Connections that wait to be accepted, when many clients come back at once."""


def listen(host: str, port: int, *, notsent_lowat: int) -> list[socket.socket]:
    """Sockets on every address of ``host``; port 0 takes a free one.

    ``TCP_NODELAY`` so that a token is not held back for the next one. ``TCP_NOTSENT_LOWAT``
    (bytes) because the kernel otherwise takes 3-4 MB for every reader who has stopped
    reading, and a slow client would be noticed only after that.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(
            f'"{host}" is not an address of this machine: {error.strerror}', code="bad_host"
        ) from None
    except ValueError:  # such as a label of more than 63 characters
        raise ConfigError(f'"{host}" is not the name of a host', code="bad_host") from None
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            # With port 0 all addresses get the port that the first was given.
            taken = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_bound(family, (address[0], taken, *address[2:]), notsent_lowat))
            except OSError as error:
                # "localhost" is ::1 too, also where there is no IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if absent is not None and not sockets:
            raise absent
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _explained(error, host, port) from None
    return sockets


def listen_unix(path: str) -> socket.socket:
    """A socket at a path; one that a dead process left there is taken over.

    Raises:
        ConfigError: the path cannot be listened on.
    """
    try:
        _clear(Path(path))
        made = _bound_unix(path)
    except OSError as error:
        # A path that is too long has no number, only words.
        raise ConfigError(f"cannot listen on {path}: {error.strerror or error}") from None
    made.setblocking(False)
    return made


def prepare(made: socket.socket, notsent_lowat: int) -> None:
    """Set up a socket that listens, or will, and with it the connections that it accepts."""
    if made.family != socket.AF_UNIX:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lowat = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if lowat is not None:
            made.setsockopt(socket.IPPROTO_TCP, lowat, notsent_lowat)
    made.setblocking(False)


def _bound(family: int, address: tuple[object, ...], notsent_lowat: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        prepare(made, notsent_lowat)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _bound_unix(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(path)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _explained(error: OSError, host: str, port: int) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} on {host} is in use: stop what listens there, or choose another "
            "with --port",
            code="port_in_use",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port {port} may not be opened by this user: ports under 1024 need privileges",
            code="port_not_allowed",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f'"{host}" is not an address of this machine', code="bad_host")
    return ConfigError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; leave anything else alone."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"{path} is there already and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ConfigError(f"another process listens on {path}", code="port_in_use")

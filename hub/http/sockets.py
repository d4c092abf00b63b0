"""Listening sockets, configured so that slow readers are noticed."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any, Final

from hub.domain.errors import ConfigError

__all__ = ["BACKLOG", "NOTSENT_LOWAT", "listen", "listen_unix", "prepare"]

NOTSENT_LOWAT: Final[int | None] = getattr(
    socket, "TCP_NOTSENT_LOWAT", {"linux": 25, "darwin": 0x201}.get(sys.platform)
)
"""The option's number. A Python that was built with old headers does not know it, such as the
portable builds; the kernel does."""

BACKLOG: Final = 1024
"""How many connections may wait to be accepted when many clients reconnect at once."""


def listen(
    host: str, port: int, *, notsent_lowat: int, shared: bool = False
) -> list[socket.socket]:
    """Listen on every address of ``host``; port 0 chooses a free port.

    Sockets that are all ``shared`` may listen on one port, and the kernel spreads connections over
    them (``SO_REUSEPORT``).

    ``TCP_NODELAY`` keeps a token from waiting for the next one. ``TCP_NOTSENT_LOWAT`` (bytes) is
    set because the kernel would otherwise buffer 3-4 MB for a client that has stopped reading, and
    the hub would notice only after that.

    Raises:
        ConfigError: it is not possible to listen on the address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(
            f'"{host}" is not an address of this machine: {error.strerror}', code="bad_host"
        ) from None
    except ValueError:  # such as a label of more than 63 characters
        raise ConfigError(f'"{host}" is not a valid host name', code="bad_host") from None
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            # With port 0, all addresses use the port chosen for the first.
            taken = sockets[0].getsockname()[1] if sockets else port
            try:
                where = (address[0], taken, *address[2:])
                sockets.append(_listen(family, where, notsent_lowat, shared=shared))
            except OSError as error:
                # "localhost" resolves to ::1 even without IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if absent is not None and not sockets:
            raise absent
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise _explain(error, host, port) from None
    return sockets


def listen_unix(path: str) -> socket.socket:
    """Listen at a path; replaces a socket that a dead process left there.

    Raises:
        ConfigError: it is not possible to listen at the path.
    """
    try:
        _clear(Path(path))
        return _listen(socket.AF_UNIX, path, 0)
    except OSError as error:
        # The error for a path that is too long has no errno, only a text.
        raise ConfigError(f"cannot listen on {path}: {error.strerror or error}") from None


def prepare(made: socket.socket, notsent_lowat: int) -> None:
    """Configure a listening socket, whose options its connections inherit."""
    if made.family != socket.AF_UNIX:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if NOTSENT_LOWAT is not None:
            made.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, notsent_lowat)
    made.setblocking(False)


def _listen(
    family: int, address: Any, notsent_lowat: int, *, shared: bool = False
) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        prepare(made, notsent_lowat)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _explain(error: OSError, host: str, port: int) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} on {host} is in use: stop the program that uses it, or choose another "
            "port with --port",
            code="port_in_use",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"this user may not open port {port}: ports below 1024 need privileges",
            code="port_not_allowed",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f'"{host}" is not an address of this machine', code="bad_host")
    return ConfigError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")


def _clear(path: Path) -> None:
    """Remove a socket on which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"{path} exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ConfigError(f"another process is listening on {path}", code="port_in_use")

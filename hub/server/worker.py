"""``python -m hub.server.worker``: one of the processes of `hub.server.workers`.

Its arguments are its name and the numbers of open files: the control socket, and where to listen.
Through the control socket come the configuration, and a line when another process has taken this
one's place; a line goes back once the worker serves, or why it cannot. When the control socket
ends, the parent is dead, and nothing can be kept any more: the worker ends at once.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import orjson

from hub.backends import SharedStore
from hub.config.schema import Config
from hub.domain.errors import HubError
from hub.http.log_format import log_lines
from hub.server.serve import Place, Signals, run, serve
from hub.stores import Credentials
from hub.stores.coordinator.client import CoordinatorEngine
from hub.stores.coordinator.credentials import CoordinatorCredentials
from hub.stores.shared import SharedEngine

__all__ = ["FIRST", "LEAVE", "LENGTH", "READY", "coordinator_path", "obey"]

log = logging.getLogger("hub.workers")

LENGTH: Final = 4
"""Bytes of the length of the configuration, which comes first."""

LEAVE: Final = b"leave\n"
READY: Final = b"ready\n"

FIRST: Final = "worker-1"
"""The worker to which the command line talks."""


def coordinator_path(config: Config) -> Path:
    """The socket of the coordinator, beside the store's file."""
    return Path(f"{config.store.url.partition(':')[2]}.coordinator")


def _store(config: Config, name: str) -> SharedStore:
    """The store of a worker, over its connection to the coordinator."""
    path, streams = coordinator_path(config), config.streams

    def connect(known: Mapping[int, int]) -> SharedEngine:
        return CoordinatorEngine(
            path,
            known=known,
            settle_seconds=config.node.settle_seconds,
            max_records=streams.max_records,
            max_producers=streams.max_producers,
        )

    def credentials(engine: Callable[[], SharedEngine]) -> Credentials:
        return CoordinatorCredentials(cast("Callable[[], CoordinatorEngine]", engine))

    return SharedStore(connect, credentials, name, config.node.lease_seconds, config.server.workers)


async def obey(control: socket.socket, signals: Signals) -> None:
    """Do what the parent says, until it is dead."""
    loop, said = asyncio.get_running_loop(), b""
    with suppress(ConnectionError):  # it has died without reading what was said to it
        while heard := await loop.sock_recv(control, 64):
            said += heard
            if said == LEAVE:
                signals.replace()
    log.error("the process that started this worker is gone: exiting at once")
    signals.abandon()


async def _serve(config: Config, name: str, control: socket.socket, numbers: list[int]) -> None:
    signals = Signals()
    obeying = asyncio.create_task(obey(control, signals))
    sockets = [socket.socket(fileno=number) for number in numbers]
    for listening in sockets:
        listening.set_inheritable(False)
    place = Place(sockets, _store(config, name), name == FIRST, signals)
    try:
        await serve(config, announce=lambda _: control.sendall(READY), place=place)
    finally:
        obeying.cancel()
        await asyncio.wait([obeying])


def main(name: str, control_number: str, *numbers: str) -> int:
    """Serve until told to stop; the exit code."""
    log_lines(name)
    control = socket.socket(fileno=int(control_number))
    control.set_inheritable(False)
    with control, control.makefile("rb") as come:
        size = int.from_bytes(come.read(LENGTH), "big")
        pickled = come.read(size)
        if not size or len(pickled) < size:
            return 1  # the parent is gone
        # The parent is this program, and nobody else has the socket.
        config = pickle.loads(pickled)  # noqa: S301
        control.setblocking(False)
        try:
            run(_serve(config, name, control, [int(number) for number in numbers]))
        except HubError as error:
            control.sendall(orjson.dumps([error.code, error.message]) + b"\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

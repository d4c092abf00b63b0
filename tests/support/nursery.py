"""A process that has the hub imported, and forks one for each that tests ask for.

A hub that begins this way takes a twentieth of what a new interpreter needs. Run by
`tests.support.forked`, with the number of a socket, where it says with one byte that it has all
imported. Each byte that comes there brings four files, a socket for the new process and what
becomes its standard input, output and error. From the socket the new process reads, as a line of
JSON, what it is to do; this one writes there, as lines, the number of the process and in the end
how it ended (its exit code, or less than 0 for a signal). All that run are killed once nobody can
ask for another.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import select
import signal
import socket
import sys
import traceback
from typing import Final, NoReturn

import orjson

from hub.app import make_app
from hub.cli import COMMANDS
from hub.config.schema import Config

__all__ = ["main"]

USED: Final = (
    *(f"hub.cli.{command}" for command in COMMANDS),
    *("hub.server.serve", "hub.server.workers", "hub.stores.sqlite", "uvloop"),
)


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.collect()
    gc.freeze()
    requests.send(b"+")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is meant for whoever asks
    woken, waking = socket.socketpair()
    for one in (woken, waking):
        one.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    while True:
        readable, _, _ = select.select([requests, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            _tell_of_ended(children)
        if requests not in readable:
            continue
        asked, files, _, _ = socket.recv_fds(requests, 1, 4)
        if not asked:
            break
        line = socket.socket(fileno=files[0])
        child = os.fork()
        if not child:
            for other in (requests, woken, waking, *children.values()):
                other.close()
            _be_another(line, files[1:])
        for file in files[1:]:
            os.close(file)
        children[child] = line
        _say(line, child)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _import_all() -> None:
    """Whatever a hub and its command line need in the end."""
    for name in USED:
        importlib.import_module(name)
    upstreams = {"demo": {"dialect": "demo"}}
    make_app(Config.model_validate({"upstreams": upstreams, "store": {"url": "memory:"}}))


def _tell_of_ended(children: dict[int, socket.socket]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with children.pop(child) as line:
            _say(line, os.waitstatus_to_exitcode(status))


def _say(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody may be there to hear it
        line.sendall(b"%d\n" % number)


def _be_another(line: socket.socket, files: list[int]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    with line, line.makefile("rb") as heard:
        asked = orjson.loads(heard.readline())
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    module, _, name = asked["function"].partition(":")
    sys.argv = [module, *asked["arguments"]]
    code = 1
    try:
        getattr(importlib.import_module(module), name)()
        code = 0
    except SystemExit as exiting:
        code = exiting.code if isinstance(exiting.code, int) else 0
    except BaseException:  # as an interpreter does in the end
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

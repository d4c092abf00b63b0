"""The load generator: thousands of subscribers in one process that costs little itself.

It takes lines of JSON on standard input and answers each with one on standard output: first
``{"wire", "port", "control", "pid"}`` of the server, then ``{"connect": 1000}``, answered
with the server's memory in bytes, and loads as in ``servers/driver.py``, answered with
`Seen`. It must keep up with more than 100,000 messages a second on one CPU, so there is no event
loop: one ``epoll``, one ``read`` for each socket that has something. Nearly always all
subscribers receive the very same bytes, so the meaning of a read is kept and looked up by
its bytes; only what was never seen before is parsed, frame by frame.

Every subscriber must receive every number once, in order: what is missing or comes again
is counted. The latency of a read is the age of the oldest message in it.
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, NamedTuple, Self

from bench.process import cpu_ns, memory_bytes, waited_ns
from bench.results import Seen
from bench.wire import WIRES, Wire

__all__ = ["Subscribers"]

READ_BYTES = 16384
KEPT_MEANINGS = 4096
BATCH = 100  # connections opened together: less than any server's backlog
SETTLE = 0.2  # seconds after the last connection until the memory is read
PATIENCE = 10.0  # seconds without any message before the missing ones count as lost
MESSAGE = re.compile(rb"~(\d+):(\d+)~")


class Meaning(NamedTuple):
    """What a read says: messages ``first`` up to ``after``, the oldest sent at ``stamp``."""

    first: int
    after: int
    stamp: int


NOTHING = Meaning(-1, -1, 0)


class Subscribers:
    """The connections to one server, and its control connection; a context that closes them."""

    def __init__(self, wire: Wire, port: int, control: int, pid: int) -> None:
        self._wire = wire
        self._port = port
        self._pid = pid
        self._sockets: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}
        self._expected: dict[int, int] = {}
        self._meanings: dict[bytes, Meaning] = {}
        self._epoll = select.epoll()
        self._control = socket.create_connection(("127.0.0.1", control))
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next = 0
        self._epoll.register(self._control, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (*self._sockets.values(), self._control):
            opened.close()
        self._epoll.close()

    def connect(self, count: int) -> None:
        """Open connections until there are ``count``, each confirmed as subscribed."""
        while (missing := count - len(self._sockets)) > 0:
            batch = [self._open() for _ in range(min(missing, BATCH))]
            for opened in batch:
                self._greet(opened)

    def _open(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        opened.sendall(self._wire.request + self._wire.opening)
        return opened

    def _greet(self, opened: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(opened)
        head, _, rest = received.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1] not in (b"101", b"200"):
            raise ConnectionError(received.decode(errors="replace"))
        while True:
            bodies, rest, answer = self._wire.cut(rest)
            if answer:
                opened.sendall(answer)
            if not self._wire.ready or any(self._wire.ready in body for body in bodies):
                break
            rest += _some(opened)
        opened.setblocking(False)
        fd = opened.fileno()
        self._sockets[fd] = opened
        if rest:
            self._rest[fd] = rest
        self._epoll.register(fd, select.EPOLLIN)

    def load(self, rate: float, burst: int, seconds: float, ahead: int) -> Seen:
        """Ask the server for a load and read until all of it is here, or nothing comes."""
        asked = {"rate": rate, "burst": burst, "seconds": seconds, "ahead": ahead}
        before = self._spent()
        begun = time.monotonic_ns()
        self._control.sendall(json.dumps(asked).encode() + b"\n")
        expected = self._expected = dict.fromkeys(self._sockets, self._next)
        self._lost = self._doubled = 0
        latencies: list[int] = []
        ticks, ended = self._receive(latencies, len(expected) * burst)
        messages = ticks * burst
        self._next += messages
        self._lost += sum(self._next - number for number in expected.values())
        latencies.sort()
        return Seen(
            ticks=ticks,
            messages=messages,
            deliveries=messages * len(expected) - self._lost,
            lost=self._lost,
            doubled=self._doubled,
            elapsed=ended - begun,
            **{name: now - before[name] for name, now in self._spent().items()},
            p50=latencies[len(latencies) // 2] if latencies else 0,
            p99=latencies[len(latencies) * 99 // 100] if latencies else 0,
        )

    def rest(self, until: int) -> None:
        """Read beats and answer pings until the file ``until`` can be read.

        A server that gets no pong closes the connection, and that would count as a loss.
        """
        self._epoll.register(until, select.EPOLLIN)
        while until not in (ready := [fd for fd, _ in self._epoll.poll()]):
            for fd in ready:
                try:
                    received = os.read(fd, READ_BYTES)
                except ConnectionError:
                    received = b""
                self._understand(fd, received and self._rest.pop(fd, b"") + received)
        self._epoll.unregister(until)

    def _spent(self) -> dict[str, int]:
        """Nanoseconds of the two processes so far, as `Seen` calls them."""
        return {
            "server_cpu": cpu_ns(self._pid),
            "client_cpu": time.process_time_ns(),
            "server_wait": waited_ns(self._pid),
            "client_wait": waited_ns(os.getpid()),
        }

    def _receive(self, latencies: list[int], per_tick: int) -> tuple[int, int]:
        """The hot loop. Gives the number of ticks and the time of the last delivery.

        Raises:
            TimeoutError: messages stopped arriving before the server had made them all.
        """
        control, wanted = self._control.fileno(), len(self._sockets) + 1
        expected, meanings, waiting = self._expected, self._meanings, self._rest
        poll, read, clock, note = self._epoll.poll, os.read, time.monotonic_ns, latencies.append
        delivered = acknowledged = 0
        now = clock()
        ticks: int | None = None
        while ticks is None or delivered < ticks * per_tick:
            ready = poll(PATIENCE, wanted)
            if not ready:
                break
            for fd, _ in ready:
                if fd == control:
                    ticks = json.loads(self._control.recv(READ_BYTES))["ticks"]
                    continue
                received = read(fd, READ_BYTES)
                if fd in waiting:
                    received = waiting.pop(fd) + received
                first, after, stamp = meanings.get(received) or self._understand(fd, received)
                if first == expected[fd]:
                    expected[fd] = after
                    now = clock()
                    note(now - stamp)
                    delivered += after - first
                else:
                    delivered += self._compare(fd, range(first, after))
            if delivered // per_tick > acknowledged:
                acknowledged = delivered // per_tick
                self._control.sendall(b"%d\n" % acknowledged)
        if ticks is None:
            told = f"{delivered} messages came, {self._lost} were lost, {self._doubled} came twice"
            raise TimeoutError(f"{told}; then nothing for {PATIENCE:g} s")
        return ticks, now

    def _understand(self, fd: int, received: bytes) -> Meaning:
        """Parse what was never seen before."""
        if not received:
            self._epoll.unregister(fd)
            self._sockets.pop(fd, self._control).close()
            return NOTHING
        bodies, rest, answer = self._wire.cut(received)
        if answer:
            os.write(fd, answer)
        if rest:
            self._rest[fd] = rest
        found = MESSAGE.findall(b"".join(bodies))
        numbers = [int(number) for number, _ in found]
        if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            self._compare(fd, numbers)
            return NOTHING
        meaning = Meaning(numbers[0], numbers[-1] + 1, min(int(stamp) for _, stamp in found))
        if not rest and not answer:
            if len(self._meanings) >= KEPT_MEANINGS:
                self._meanings.clear()
            self._meanings[received] = meaning
        return meaning

    def _compare(self, fd: int, numbers: Iterable[int]) -> int:
        """Count what is missing before these numbers or came before; gives how many are new."""
        new = 0
        for number in numbers:
            missing = number - self._expected[fd]
            if missing < 0:
                self._doubled += 1
                continue
            self._lost += missing
            self._expected[fd] = number + 1
            new += 1
        return new


def _some(opened: socket.socket) -> bytes:
    received = opened.recv(READ_BYTES)
    if not received:
        raise ConnectionError("the server closed a connection before it was subscribed")
    return received


def _obey(subscribers: Subscribers, asked: dict[str, Any], pid: int) -> dict[str, Any]:
    if "connect" in asked:
        subscribers.connect(asked["connect"])
        time.sleep(SETTLE)
        return {"memory": memory_bytes(pid)}
    return asdict(subscribers.load(**asked))


def main() -> None:
    gc.disable()  # its pauses would be measured as latency; nothing here makes cycles
    # Not sys.stdin: a line in its buffer would not show in the epoll.
    with open(0, "rb", buffering=0) as commands:
        server = json.loads(commands.readline())
        pid = server["pid"]
        wire = WIRES[server["wire"]]
        with Subscribers(wire, server["port"], server["control"], pid) as subscribers:
            while True:
                subscribers.rest(until=commands.fileno())
                line = commands.readline()
                if not line:
                    break
                try:
                    said = _obey(subscribers, json.loads(line), pid)
                except OSError as error:
                    said = {"error": str(error) or type(error).__name__}
                print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()

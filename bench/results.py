"""What was seen, and what follows from it: medians, ratios to the floor, bars. No I/O.

A figure of a server is the median over the runs; a ratio is taken within each run, and then
the median of the ratios, so that a machine that changes its speed changes both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple

from bench.peers import FLOOR, HUB, HUB_SSE
from bench.plan import BURST, EACH, LATENCY, MANY, SATURATION

__all__ = ["Bar", "Figure", "Results", "Row", "Seen", "Window"]

KIB = 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """One load as the load generator saw it. Times in nanoseconds.

    ``elapsed`` is from its start to the last delivery; ``server_cpu`` and ``client_cpu``
    are the CPU times of the two processes meanwhile, ``server_wait`` and ``client_wait`` what
    they waited for a CPU that others had; ``p50`` and ``p99`` are the latencies.
    """

    ticks: int
    messages: int
    deliveries: int
    lost: int
    doubled: int
    elapsed: int
    server_cpu: int
    client_cpu: int
    server_wait: int
    client_wait: int
    p50: int
    p99: int


@dataclass(frozen=True, slots=True)
class Window:
    """One load of one server in one run.

    ``connections`` are its subscribers, ``wanted`` the ticks that its rate asks for.
    """

    server: str
    load: str
    run: int
    connections: int
    wanted: float
    seen: Seen


class Figure(NamedTuple):
    """A measured value and its ratio to the floor's; ``None``: not measured."""

    value: float | None = None
    ratio: float | None = None


class Row(NamedTuple):
    """One server in the table.

    ``kept`` is the part of the wanted ticks that it made at the latency load, ``client`` how
    busy the load generator was at saturation: near 1, it was the bottleneck.
    """

    server: str
    cpu_us: Figure
    burst_cpu_us: Figure
    per_second: Figure
    p50_ms: Figure
    p99_ms: Figure
    kept: Figure
    memory_kib: Figure
    client: float | None
    lost: int
    doubled: int


@dataclass(frozen=True, slots=True)
class Bar:
    """What the hub has to reach. ``floor`` is what the floor reached in the same runs."""

    promise: str
    measured: float | None
    limit: float
    unit: str
    least: bool = False
    floor: float | None = None

    @property
    def passed(self) -> bool | None:
        """``None`` where it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.least else self.measured <= self.limit


@dataclass(slots=True)
class Results:
    """All that one run of the benchmark saw; ``memory`` is bytes for each idle connection.

    ``failures`` are the servers that gave up on the way, and why.
    """

    windows: list[Window] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        return asdict(self)

    def servers(self) -> list[str]:
        """The servers that were measured at all, in the order of their first figures."""
        return list(dict.fromkeys([*(window.server for window in self.windows), *self.memory]))

    def waited(self) -> tuple[float, float]:
        """The part of the measured time that servers and load generator waited for a CPU."""
        total = sum(window.seen.elapsed for window in self.windows) or 1
        server = sum(window.seen.server_wait for window in self.windows)
        client = sum(window.seen.client_wait for window in self.windows)
        return server / total, client / total

    def row(self, server: str) -> Row:
        """The figures of one server."""
        seen = [window.seen for window in self.windows if window.server == server]
        return Row(
            server=server,
            cpu_us=self._figure(server, EACH, _cpu_us),
            burst_cpu_us=self._figure(server, BURST, _cpu_us),
            per_second=self._figure(server, SATURATION, _per_second),
            p50_ms=self._figure(server, LATENCY, lambda window: window.seen.p50 / 1e6),
            p99_ms=self._figure(server, LATENCY, lambda window: window.seen.p99 / 1e6),
            kept=self._figure(server, LATENCY, lambda window: window.seen.ticks / window.wanted),
            memory_kib=self._memory(server),
            client=self._figure(server, SATURATION, _client).value,
            lost=sum(one.lost for one in seen),
            doubled=sum(one.doubled for one in seen),
        )

    def bars(self) -> list[Bar]:
        """The hub's promises beside what was measured."""
        floor, hub, sse = (self.row(peer.name) for peer in (FLOOR, HUB, HUB_SSE))
        each, burst = (self._runs(HUB.name, load, _cpu_us) for load in (EACH, BURST))
        measured = any(window.server in (HUB.name, HUB_SSE.name) for window in self.windows)
        many = all(w.connections >= MANY for w in self.windows if w.load == LATENCY)
        wrong = hub.lost + hub.doubled + sse.lost + sse.doubled
        return [
            Bar("CPU of one chunk a tick, beside the floor's", hub.cpu_us.ratio, 1.3, "×"),
            Bar(
                "in bursts of 20 a delivery is cheaper by", _ratio(each, burst), 15, "×", least=True
            ),
            Bar(
                f"p99 latency, {MANY} subscribers, 20 a second",
                hub.p99_ms.value if many else None,
                100,
                "ms",
                floor=floor.p99_ms.value if many else None,
            ),
            Bar("lost or doubled", wrong if measured else None, 0, "messages"),
            Bar("idle WebSocket", hub.memory_kib.value, 16, "KiB", floor=floor.memory_kib.value),
            Bar("idle SSE response", sse.memory_kib.value, 12, "KiB", floor=floor.memory_kib.value),
        ]

    def _figure(self, server: str, load: str, value: Callable[[Window], float]) -> Figure:
        mine = self._runs(server, load, value)
        return Figure(
            median(mine.values()) if mine else None,
            _ratio(mine, self._runs(FLOOR.name, load, value)),
        )

    def _memory(self, server: str) -> Figure:
        mine, floor = self.memory.get(server), self.memory.get(FLOOR.name)
        return Figure(mine and mine / KIB, mine and floor and mine / floor)

    def _runs(self, server: str, load: str, value: Callable[[Window], float]) -> dict[int, float]:
        """The value in each run where this load delivered anything."""
        mine = (w for w in self.windows if (w.server, w.load) == (server, load))
        return {window.run: value(window) for window in mine if window.seen.deliveries}


def _cpu_us(window: Window) -> float:
    return window.seen.server_cpu / 1e3 / window.seen.deliveries


def _per_second(window: Window) -> float:
    return window.seen.deliveries * 1e9 / window.seen.elapsed


def _client(window: Window) -> float:
    return window.seen.client_cpu / window.seen.elapsed


def _ratio(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """The median of the ratios in the runs that have both."""
    ratios = [value / other[run] for run, value in one.items() if other.get(run)]
    return median(ratios) if ratios else None

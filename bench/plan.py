"""What is measured: the loads, and how many subscribers they go to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = [
    "BURST",
    "EACH",
    "LATENCY",
    "MANY",
    "SATURATION",
    "Load",
    "Phase",
    "Plan",
    "full",
    "quick",
]

MANY: Final = 5000
"""Subscribers at which the latency has to be good."""

EACH: Final = "one a tick"
BURST: Final = "20 a tick"
SATURATION: Final = "saturation"
LATENCY: Final = "latency"


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` ticks a second (0: as many as possible), ``burst`` messages in each.

    ``ahead`` is how many ticks may be under way before the server waits for the client.
    """

    name: str
    rate: float
    burst: int
    seconds: float
    ahead: int

    def asked(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "name"}


@dataclass(frozen=True, slots=True)
class Phase:
    """So many subscribers to every server, all servers up at once, the loads in turn."""

    connections: int
    loads: tuple[Load, ...]
    runs: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``baseline`` connections are open before memory is first read: they pay what is paid once."""

    phases: tuple[Phase, ...]
    baseline: int


def full(runs: int = 5) -> Plan:
    """What the bars are about. Some six minutes for all servers."""
    return Plan((_cpu(runs, seconds=1), _latency(MANY, (runs + 1) // 2, seconds=3)), baseline=100)


def quick() -> Plan:
    """Under a minute: the same shape, fewer and shorter; it shows that all is well, no more."""
    return Plan((_cpu(1, seconds=0.4), _latency(2000, 1, seconds=1)), baseline=100)


def _cpu(runs: int, seconds: float) -> Phase:
    loads = (
        # ahead=1: a tick waits for the one before, so that no server can join two of them.
        Load(EACH, rate=50, burst=1, seconds=seconds, ahead=1),
        Load(BURST, rate=5, burst=20, seconds=seconds, ahead=1),
        Load(SATURATION, rate=0, burst=1, seconds=seconds, ahead=16),
    )
    return Phase(1000, loads, runs)


def _latency(connections: int, runs: int, seconds: float) -> Phase:
    return Phase(connections, (Load(LATENCY, rate=20, burst=1, seconds=seconds, ahead=20),), runs)

"""What the hub's process holds, second by second, and what it logs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Final, NamedTuple

from tests.faults.mortal import Mortal
from tests.faults.soak.told import Told

__all__ = ["Watch"]

ORPHANED: Final = 15.0
"""Seconds after which a connection that the hub has given up must have left the kernel."""

SERIES: Final = 300.0
"""Seconds that one line of the report is about."""

ALIVE: Final = 20.0
"""Seconds that a process lives at least for its memory to have a slope."""

EXPECTED: Final[dict[str, str]] = {
    r"ERROR hub\.store\S*: the store cannot write: .*(full|space)": "while the disk is full",
    r"ERROR hub\S*: streams? (.+ )?w(as|ere) not swept: .*at the moment": "the same",
    r"WARNING hub\.store\S*: the store can write again": "after that",
}
"""What a log may hold, and when."""

FIN_WAIT_1: Final = "04"
FIN_WAIT_2: Final = "05"


class Seen(NamedTuple):
    """The process at one time; sizes in MB."""

    at: float
    pid: int
    rss: float
    files: int


@dataclass
class Watch:
    """Looks at the hub every second; ``rss`` (MB) and ``files`` are the most that it may hold."""

    hub: Mortal
    told: Told
    log: Path
    rss: float
    files: int
    seen: list[Seen] = field(default_factory=list)
    fin_waits: int = 0
    expected: Counter[str] = field(default_factory=Counter)
    _leaving: dict[str, float] = field(default_factory=dict)
    _others: set[str] = field(default_factory=set)
    _read: int = 0

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(1.0)

    def look(self) -> None:
        pid = self.hub.pid
        with contextlib.suppress(OSError):  # it has just been killed
            status = Path(f"/proc/{pid}/status").read_text()
            found = re.search(r"VmRSS:\s+(\d+) kB", status)
            files = len(os.listdir(f"/proc/{pid}/fd"))
            if found is not None:
                self._bound(Seen(time.monotonic(), pid, int(found[1]) / 1024, files))
        self._look_at_sockets()

    def _bound(self, seen: Seen) -> None:
        self.seen.append(seen)
        if seen.rss > self.rss:
            self.told.violated("P7 memory", f"{seen.rss:.0f} MB of RSS, {self.rss:g} are allowed")
        if seen.files > self.files:
            self.told.violated("P7 files", f"{seen.files} are open, {self.files} are allowed")

    def died(self) -> None:
        """What a dead process leaves in the kernel is not the next one's."""
        self._others |= set(self._sockets())

    def _sockets(self) -> dict[str, str]:
        """The state of each connection of the hub, by its other end."""
        found = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            if int(local.rpartition(":")[2], 16) == self.hub.port:
                found[remote] = state
        return found

    def _look_at_sockets(self) -> None:
        now = time.monotonic()
        sockets = self._sockets()
        self._others &= set(sockets)
        leaving = {
            remote
            for remote, state in sockets.items()
            if state in (FIN_WAIT_1, FIN_WAIT_2) and remote not in self._others
        }
        self.fin_waits = max(self.fin_waits, len(leaving))
        self._leaving = {remote: self._leaving.get(remote, now) for remote in leaving}
        for remote, since in self._leaving.items():
            if now - since > ORPHANED:
                said = f"{remote} is in FIN-WAIT for {now - since:.0f} s"
                self.told.violated("A11 kept by the kernel", said)
                self._others.add(remote)

    def read_log(self) -> None:
        """Whether anything stands in it since the last time that should not."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        unexpected = []
        for line in text.decode(errors="replace").splitlines():
            why = next((why for like, why in EXPECTED.items() if re.match(like, line)), None)
            if why is not None:
                self.expected[f"{line[:60]} …: {why}"] += 1
            else:
                unexpected.append(line)
        if unexpected:
            self.told.violated("log", "\n        ".join(unexpected[:40]))

    # The report

    def series(self) -> list[str]:
        """RSS and files, and how RSS rises while a process lives."""
        lines = []
        began = self.seen[0].at if self.seen else 0.0
        parts: dict[int, list[Seen]] = {}
        for seen in self.seen:
            parts.setdefault(int((seen.at - began) / SERIES), []).append(seen)
        for part, held in parts.items():
            rss = [seen.rss for seen in held]
            lines.append(
                f"minute {part * SERIES / 60:g} on: RSS {min(rss):.0f} / {median(rss):.0f} / "
                f"{max(rss):.0f} MB (least / median / most), {max(s.files for s in held)} files"
            )
        lives: dict[int, list[Seen]] = {}
        for seen in self.seen:
            lives.setdefault(seen.pid, []).append(seen)
        slopes = [
            linear_regression([s.at for s in life], [s.rss for s in life]).slope * 60
            for life in lives.values()
            if life[-1].at - life[0].at > ALIVE
        ]
        if slopes:
            lines.append(
                f"slope of RSS in {len(slopes)} processes that lived for {ALIVE:g} s: "
                f"{min(slopes):.1f} / {median(slopes):.1f} / {max(slopes):.1f} MB a minute"
            )
        lines.append(f"at most {self.fin_waits} connections in FIN-WAIT")
        return lines

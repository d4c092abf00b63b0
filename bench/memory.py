"""What a record costs in memory: the resident set of a process of its own, record by record.

``python -m bench.memory``. Each kind of record has a child that takes up twenty thousand of
them in one stream, as a request or a reply would have brought them. The bar is three times a
record's body and 200 bytes, and what the hub counts must be what is held.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hub.domain.events import Delta, recorded
from hub.domain.generation import Generation
from hub.protocols.durable import json_messages
from hub.streams.stream import Retention, Stream

__all__ = ["KINDS", "Held", "held", "resident"]

COUNT: Final = 20_000
TIMES: Final = 3
BESIDE: Final = 200
"""A record may take so many times its body, and so many bytes more."""

POSTED: Final = 1000
"""Records in one posted body."""

WARM: Final = 3000
"""Records that are taken in before any is measured."""

ENDLESS: Final = Retention(2**60, 2**60, 2**60)


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of one record: of its body, in memory, and as the hub counts them."""

    body: float
    memory: float
    counted: float

    @property
    def bar(self) -> float:
        """The most memory that it may take."""
        return TIMES * self.body + BESIDE


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def held(kind: str, count: int = COUNT) -> Held:
    """Measure one kind, in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed; it has said why on standard error.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "bench.memory", kind, str(count)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Held(**json.loads(ran.stdout))


def _said(stream: Stream, first: int, text: Callable[[int], str]) -> None:
    """Pieces of a reply, as its relay appends them."""
    generation = Generation(stream.name, "demo", None)
    for number in range(first, first + POSTED):
        stream.append(Delta(generation.id, text(number)))


def _posted(stream: Stream, first: int, element: Callable[[int], bytes]) -> None:
    """Records that were sent over HTTP, as one JSON array."""
    body = b"[%s]" % b",".join([element(number) for number in range(first, first + POSTED)])
    stream.write([(one, recorded(one)) for one in json_messages.split(body)])


KINDS: Final[Mapping[str, Callable[[Stream, int], None]]] = {
    "a word of a reply": lambda s, at: _said(s, at, lambda n: f" word{n % 100}"),
    "the same, in Chinese": lambda s, at: _said(s, at, lambda n: f"中文{n % 10}"),
    "2 KB of a reply": lambda s, at: _said(s, at, lambda n: f"{n}" + "x" * 2000),
    "half a line with an emoji": lambda s, at: _said(s, at, lambda n: f"{n} \U0001f600" + "x" * 40),
    "a posted 1": lambda s, at: _posted(s, at, lambda n: b"1"),
    "a posted {}": lambda s, at: _posted(s, at, lambda n: b"{}"),
    "a posted event": lambda s, at: _posted(
        s, at, lambda n: b'{"type":"message","role":"user","text":"Hello, this is number %d"}' % n
    ),
    "a posted delta": lambda s, at: _posted(
        s, at, lambda n: b'{"type":"delta","generation":"g%d","text":"hey"}' % n
    ),
    "a posted object of lists": lambda s, at: _posted(
        s, at, lambda n: b'{"n":%d,"a":[%s]}' % (n, b",".join([b"[]"] * 100))
    ),
    "4 KB of a posted text": lambda s, at: _posted(s, at, lambda n: b'{"n":"%d%4000d"}' % (n, 0)),
}
"""Each appends a thousand records, the first of which has a number."""


def _measure(kind: str, count: int) -> Held:
    append, stream = KINDS[kind], Stream("s", retention=ENDLESS)
    # First what is loaded once, and what is only needed while records are taken in.
    for first in range(0, WARM, POSTED):
        append(stream, first)
    before, counted = resident(), stream.size
    for first in range(WARM, WARM + count, POSTED):
        append(stream, first)
    grown = resident() - before
    body = sum(len(record.body) for record in stream.newest(WARM, stream.tail))
    return Held(body / count, grown / count, (stream.size - counted) / count)


def main() -> int:
    if len(sys.argv) > 1:
        kind, count = sys.argv[1:]
        sys.stdout.write(json.dumps(asdict(_measure(kind, int(count)))))
        return 0
    over = False
    print(
        f"{'bytes of memory for each record held':<36}{'body':>8}{'RSS':>8}{'bar':>8}{'counted':>9}"
    )
    for kind in KINDS:
        found = held(kind)
        over |= found.memory > found.bar
        figures = f"{found.body:8.0f}{found.memory:8.0f}{found.bar:8.0f}{found.counted:9.0f}"
        print(f"{kind:<36}{figures}  {'FAIL' if found.memory > found.bar else 'pass'}", flush=True)
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What the tests of all framings share: reading a body cut in any way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

from hub.domain.errors import FramingError
from hub.framing import Chunk, Framing

Make = Callable[[], Framing]


class Outcome(NamedTuple):
    """Everything a framing said about a body: chunks, then the code of a fault or None."""

    chunks: list[Chunk]
    code: str | None

    @property
    def data(self) -> list[bytes]:
        return [chunk.data for chunk in self.chunks]


def outcome(framing: Framing, reads: Iterable[bytes]) -> Outcome:
    chunks: list[Chunk] = []
    try:
        for data in reads:
            for chunk in framing.feed(data):
                chunks.append(chunk)  # noqa: PERF402  a fault in mid-read keeps what came before
        for chunk in framing.flush():
            chunks.append(chunk)  # noqa: PERF402  the same
    except FramingError as fault:
        return Outcome(chunks, fault.code)
    return Outcome(chunks, None)


def byte_by_byte(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


@st.composite
def cuttings(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A body, and the same bytes in any reads; some of the reads are empty."""
    body = draw(bodies)
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=8)))
    edges = [0, *cuts, len(body)]
    return body, [body[a:b] for a, b in pairwise(edges)]


def written_with(*fragments: bytes, max_size: int = 30) -> st.SearchStrategy[bytes]:
    """Bodies of these fragments in any order: what is likely to go wrong, often."""
    return st.lists(st.sampled_from(fragments), max_size=max_size).map(b"".join)


def same_however_cut(make: Make, body: bytes, reads: Sequence[bytes]) -> Outcome:
    """The outcome of the whole body in one read, which these reads must have too."""
    whole = outcome(make(), [body])
    assert outcome(make(), reads) == whole
    assert outcome(make(), byte_by_byte(body)) == whole
    return whole

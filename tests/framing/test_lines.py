"""A JSON value a line."""

from __future__ import annotations

import pytest

from hub.framing import NDJSON
from tests.support.cut_bodies import same_however_cut


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r', [b'{"a":1}', b'{"b":2}']),
        (b'\n\r\n \t\r\n{"a":1}\n\n\n', [b'{"a":1}']),
        (b'{"a":1}\r{"b":2}\n', [b'{"a":1}\r{"b":2}']),
        ('"\u2028\u2029\u0085"\n1\n'.encode(), ['"\u2028\u2029\u0085"'.encode(), b"1"]),
        (b'"\x0b\x0c\x1c\x1d\x1e"\n', [b'"\x0b\x0c\x1c\x1d\x1e"']),
        (b' {"a":1} \n', [b' {"a":1} ']),
        (b'{"a":1}\n{"b', [b'{"a":1}', b'{"b']),
        (b"\xff\n", [b"\xff"]),
    ],
)
def test_only_lf_ends_a_line(body: bytes, lines: list[bytes]) -> None:
    """A last line that was cut off is given too: the dialect sees that it does not parse."""
    found = same_however_cut(NDJSON, body, [body])
    assert (found.data, found.code) == (lines, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"0123456789\r\n", None),
        (b"0123456789\r", None),
        (b"0123456789a\n", "chunk_too_large"),
        (b"0123456789a", "chunk_too_large"),
        (b" " * 11 + b"\n", "chunk_too_large"),
        (b" \n" * 100, None),
    ],
)
def test_the_limit_is_without_the_line_end(body: bytes, code: str | None) -> None:
    assert same_however_cut(lambda: NDJSON(10), body, [body]).code == code

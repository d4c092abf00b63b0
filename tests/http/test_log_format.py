"""A message is one line of the log."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.http.log_format import LogFormatter


def line(message: str) -> str:
    record = logging.LogRecord("hub.x", logging.WARNING, "f", 1, "said %s", (message,), None)
    return LogFormatter().format(record)


@given(st.text(st.characters()))
def test_nobody_writes_lines_of_the_log(message: str) -> None:
    written = line(message)
    assert len(written.splitlines()) == 1
    assert written.encode()  # a lone surrogate could not be written
    assert all(one.isprintable() or one == "\t" or ord(one) >= 0xA0 for one in written)


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("a\n2026-01-01T00:00:00.000Z ERROR hub: b", r"a\n2026-01-01T00:00:00.000Z ERROR hub: b"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\u202eeurt", r"\u202eeurt"),
        ("\ud800", r"\ud800"),
        ("\tGrüße, 你好 🎉", "\tGrüße, 你好 🎉"),
    ],
)
def test_what_would_disguise_a_line_is_escaped(message: str, written: str) -> None:
    assert line(message).endswith(f": said {written}")


def test_of_a_secret_only_the_id_is_written() -> None:
    secret = "_".join(("si", "abcdefghijkl", "A-_" * 14 + "z"))
    written = line(f'"GET /login/{secret} HTTP/1.1" and sh_{secret[3:]}')
    assert secret[16:] not in written
    assert "/login/si_abcdefghijkl_*** HTTP/1.1" in written
    assert "sh_abcdefghijkl_***" in written


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("defect")
    except ValueError:
        record = logging.LogRecord("hub", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    assert LogFormatter().format(record).splitlines()[-1] == "ValueError: defect"


def test_a_worker_is_named_before_the_logger() -> None:
    record = logging.LogRecord("hub.x", logging.INFO, "f", 1, "said", (), None)
    assert LogFormatter("worker-2").format(record).endswith(" INFO worker-2 hub.x: said")

"""The format of log lines: time, level, logger, request and message."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

__all__ = ["REQUEST", "LogFormatter", "log_lines"]

REQUEST: Final[ContextVar[str | None]] = ContextVar("streamhub_request", default=None)
"""The id of the request that the current task, or the generation it started, works for."""


_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f"  # other lines, moves of the cursor
    r"\u2028-\u202e\u2066-\u2069"  # line separators, text that runs the other way
    r"\ud800-\udfff]"  # what cannot be written in UTF-8
)


_SECRET: Final = re.compile(
    r"(\bs[a-z]_[a-z0-9]{12}_|\bs[lt]_|/s/)"  # keys, sessions, sign-in links; share links, tickets
    r"[A-Za-z0-9_-]{43,}"
)
"""A credential of the hub."""


class LogFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z WARNING hub.upstreams.http_client [req_…]: …``, times in UTC.

    A message is one line, whatever a client or an upstream has put into it (CWE-117). Of the hub's
    own credentials, which may be in the path of a request, only the ids are written.

    A ``worker`` is named before the logger: ``… WARNING worker-2 hub.store: …``.
    """

    def __init__(self, worker: str = "") -> None:
        who = f"{worker} " if worker else ""
        super().__init__(f"%(asctime)s %(levelname)s {who}%(name)s%(request)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        record.request = "" if request is None else f" [{request}]"
        return _SECRET.sub(r"\1***", super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        line = super().formatMessage(record)
        return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], line)

    def formatTime(  # noqa: N802 - the name that logging calls
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        del datefmt
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def log_lines(worker: str = "") -> None:
    """Log to the standard error output, from now on and in this format."""
    lines = logging.StreamHandler()
    lines.setFormatter(LogFormatter(worker))
    logging.basicConfig(level=logging.INFO, handlers=[lines])

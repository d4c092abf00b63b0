"""The format of log lines: time, level, logger, request and message."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

__all__ = ["REQUEST", "LogFormatter"]

REQUEST: Final[ContextVar[str | None]] = ContextVar("streamhub_request", default=None)
"""The id of the request that the current task, or the generation it started, works for."""


class LogFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z WARNING hub.upstreams.http_client [req_…]: …``, times in UTC."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        record.request = "" if request is None else f" [{request}]"
        return super().format(record)

    def formatTime(  # noqa: N802 - the name that logging calls
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        del datefmt
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

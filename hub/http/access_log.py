"""The access log: a line for each request, in the Combined Log Format, with the client's address.

The query is left out, because it may hold a credential.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from logging import INFO, Logger
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from hub.http.forwarded import TrustedProxies
from hub.http.logged_paths import logged_path

__all__ = ["AccessLog"]

LINE: Final = '%s [%s] "%s %s HTTP/%d.%d" %d %d "%s" "%s"'


class AccessLog(AbstractAccessLogger):
    """Writes the line of a request to a logger."""

    def __init__(self, logger: Logger, log_format: str, *, proxies: TrustedProxies) -> None:
        super().__init__(logger, log_format)
        self._proxies = proxies

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        began = datetime.now(UTC) - timedelta(seconds=time)
        headers = request.headers
        self.logger.info(
            LINE,
            self._proxies.identify(request).address,
            began.strftime("%d/%b/%Y:%H:%M:%S %z"),
            request.method,
            logged_path(request.rel_url.raw_path),
            *request.version,
            response.status,
            response.body_length,
            logged_path(headers.get("Referer", "-")),
            headers.get("User-Agent", "-"),
        )

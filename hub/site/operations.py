"""`/livez`, `/readyz` and `/metrics`, for operators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.domain.addresses import is_loopback
from hub.domain.errors import Forbidden, Unauthorized
from hub.http.acceptor import PROBES
from hub.http.admission import PRINCIPAL
from hub.hub import Hub

__all__ = ["Operations"]

FORWARDED: Final = frozenset(
    {"cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-real-ip"}
)
"""What proxies add to a request, beside ``X-Forwarded-…``."""


class Operations:
    """The state of one hub, for probes and for Prometheus."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(hub))

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [
            web.get(path, handler)
            for path, handler in zip(PROBES, (self._live, self._ready, self._metrics), strict=True)
        ]

    async def _live(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        del request
        if self._hub.draining:
            return _not_ready("draining")
        if self._hub.trouble is not None:
            return _not_ready(self._hub.trouble)
        rejections = self._hub.counts.rejections
        if rejections:
            # The hub works, but data was lost, and the operator should find out why.
            return web.Response(text=f"ok\n{rejections} streams lost a change: see the log\n")
        return web.Response(text="ok\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            self._hub.permissions.check(request[PRINCIPAL], "admin")
        except (Unauthorized, Forbidden):
            if not _from_here(request):
                raise
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def _from_here(request: web.Request) -> bool:
    """Whether a request comes from this machine itself, and not through a proxy on it."""
    place = None if request.transport is None else request.transport.get_extra_info("peername")
    if not isinstance(place, tuple) or not is_loopback(str(place[0])):
        return False
    return not any(
        name.lower() in FORWARDED or name.lower().startswith("x-forwarded-")
        for name in request.headers
    )


def _not_ready(why: str) -> web.Response:
    return web.Response(status=503, text=f"{why}\n", headers={"Retry-After": "5"})


class _Collector(Collector):
    """Reads the hub's counters at each scrape, so that counting costs only an addition."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        hub = self._hub
        subscriptions = sum(len(one.subscriptions) for one in hub.connections)
        behind = sum(one.busy for one in hub.connections)
        for name, what, value in (
            ("connections", "Open connections", len(hub.connections)),
            ("connections_behind", "Connections that are catching up", behind),
            ("subscriptions", "Open subscriptions", subscriptions),
            ("streams", "Streams held", hub.streams.held),
            ("stream_bytes", "Bytes of memory of the records held", hub.streams.size),
            ("generations_running", "Running generations", hub.generations.active),
        ):
            yield GaugeMetricFamily(f"streamhub_{name}", what, value=value)
        for total in fields(hub.counts):
            if "description" in total.metadata:
                yield CounterMetricFamily(
                    f"streamhub_{total.name}",
                    total.metadata["description"],
                    value=getattr(hub.counts, total.name),
                )
        ended = CounterMetricFamily(
            "streamhub_generations", "Generations that ended", labels=["state"]
        )
        for state, count in hub.counts.generations.items():
            ended.add_metric([state], count)
        yield ended

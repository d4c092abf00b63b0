"""`/livez`, `/readyz` and `/metrics`, for operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from functools import partial
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.domain.addresses import is_loopback
from hub.domain.counters import Counters
from hub.domain.errors import Forbidden, Unauthorized
from hub.http.acceptor import PROBES
from hub.http.admission import PRINCIPAL
from hub.http.forwarded import client_address, is_forwarded
from hub.hub import Hub

__all__ = ["Operations"]


class Operations:
    """The state of one hub, for probes and for Prometheus; the metrics are those of all workers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        if hub.survey is not None:
            hub.survey.numbers = partial(_numbers, hub)

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
        return web.Response(text="".join(f"{line}\n" for line in ("ok", *self._concerns())))

    def _concerns(self) -> Iterator[str]:
        """What an operator should look into while the hub works."""
        if rejections := self._hub.counts.rejections:
            yield f"{rejections} streams lost a change: see the log"
        answering, named = self._hub.sentinels or (0, 0)
        if answering < named:
            yield f"{named - answering} of {named} sentinels do not answer"

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            self._hub.permissions.check(request[PRINCIPAL], "admin")
        except (Unauthorized, Forbidden):
            if not _from_here(request):
                raise
        registry = CollectorRegistry()
        registry.register(_Numbers(await self._all_numbers()))
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _all_numbers(self) -> Mapping[str, float]:
        """The numbers of this hub, or the sums over all workers that answer."""
        survey = self._hub.survey
        if survey is None:
            return _numbers(self._hub)
        others = await survey.ask()
        sums: Counter[str] = Counter()
        for numbers in (_numbers(self._hub), *others):
            sums.update(numbers)
        missing = survey.hubs - 1 - len(others)
        return {**sums, "workers": survey.hubs - missing, "workers_missing": missing}


def _from_here(request: web.Request) -> bool:
    """Whether a request comes from this machine itself, and not through a proxy on it."""
    return is_loopback(client_address(request)) and not is_forwarded(request)


def _not_ready(why: str) -> web.Response:
    return web.Response(status=503, text=f"{why}\n", headers={"Retry-After": "5"})


GAUGES: Final = {
    "connections": "Open connections",
    "connections_behind": "Connections that are catching up",
    "subscriptions": "Open subscriptions",
    "streams": "Streams held",
    "stream_bytes": "Bytes of memory of the records held",
    "generations_running": "Running generations",
}

SENTINELS: Final = {
    "sentinels": "Sentinels that are asked for the store",
    "sentinels_missing": "Sentinels that do not answer",
}

WORKERS: Final = {
    "workers": "Workers whose numbers are in these sums",
    "workers_missing": "Workers that did not answer in time",
}

STATE: Final = "generations "
"""What the names of numbers begin with that count generations which ended, before the state."""


def _numbers(hub: Hub) -> dict[str, float]:
    """The numbers of one hub at this moment; to count costs only an addition."""
    counts, sentinels = hub.counts, {}
    if hub.sentinels is not None:
        answering, named = hub.sentinels
        sentinels = {"sentinels": named, "sentinels_missing": named - answering}
    return {
        "connections": len(hub.connections),
        "connections_behind": sum(one.busy for one in hub.connections),
        "subscriptions": sum(len(one.subscriptions) for one in hub.connections),
        "streams": hub.streams.held,
        "stream_bytes": hub.streams.size,
        "generations_running": hub.generations.active,
        **sentinels,
        **{total.name: getattr(counts, total.name) for total in _totals()},
        **{STATE + state: count for state, count in counts.generations.items()},
    }


def _totals() -> list[Field[int]]:
    return [total for total in fields(Counters) if "description" in total.metadata]


class _Numbers(Collector):
    """Numbers of one hub, or sums of those of several."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        numbers = self._numbers
        for name, what in {**GAUGES, **SENTINELS, **WORKERS}.items():
            if name in numbers:
                yield GaugeMetricFamily(f"streamhub_{name}", what, value=numbers[name])
        for total in _totals():
            what = total.metadata["description"]
            yield CounterMetricFamily(f"streamhub_{total.name}", what, value=numbers[total.name])
        ended = CounterMetricFamily(
            "streamhub_generations", "Generations that ended", labels=["state"]
        )
        for name, count in numbers.items():
            if name.startswith(STATE):
                ended.add_metric([name.removeprefix(STATE)], count)
        yield ended

"""The server itself: whether it can be used, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from redis.exceptions import (
    AskError,
    ClusterDownError,
    OutOfMemoryError,
    ResponseError,
    TryAgainError,
)

from hub.domain.errors import StoreError
from hub.stores.redis.acknowledgements import Acknowledge
from hub.stores.redis.client import unavailable
from hub.stores.redis.cluster import ClusterState

__all__ = ["MOVING", "Topology", "check_server", "explained", "parse_info", "topology_of"]

WAITS_FOR_DISK: Final = (7, 2)
"""The oldest version of Redis with ``WAITAOF``."""

MOVING: Final = (AskError, TryAgainError)
"""Errors of what was not done because a slot of a cluster is being moved, or was."""

OLDEST: Final = 7
"""The oldest major version of Redis; Valkey says that it is a 7."""


class Topology(NamedTuple):
    """What there is of servers."""

    version: str
    """``Redis 7.2.4``, for example."""
    address: str
    """Of the server that is written to."""
    replicas: int
    """How many are connected to it."""
    sentinels: tuple[int, int] | None = None
    """How many of how many answer; ``None`` if there are none to be asked."""
    cluster: ClusterState | None = None
    """The cluster of which the server is a part."""


def topology_of(
    info: Mapping[str, str],
    url: str,
    *,
    sentinels: tuple[int, int] | None = None,
    cluster: ClusterState | None = None,
) -> Topology:
    """What a server says of itself (``INFO``), and who is asked for it."""
    parts = urlsplit(url)
    valkey = info.get("valkey_version")
    return Topology(
        f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version')}",
        parts.netloc.rpartition("@")[2] or parts.path,
        int(info.get("connected_slaves", 0)),
        sentinels,
        cluster,
    )


def check_server(
    info: Mapping[str, str], acknowledge: Acknowledge = "memory", *, clustered: bool = False
) -> None:
    """Check that a server is one that can be used, from what it says of itself (``INFO``).

    Raises:
        StoreError: ``store_unavailable``: it is not a primary, perhaps not yet; otherwise the
            message says what to change.
    """
    version = info.get("redis_version", "")
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST:
        raise StoreError(f"Redis {version} is too old: use Redis 7 or newer, or Valkey")
    if info.get("role") != "master":
        raise unavailable("it is a replica")
    if not clustered and info.get("cluster_enabled") == "1":
        raise StoreError("Redis is part of a cluster: use redis+cluster:// in store.url")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise StoreError(
            f"Redis would remove streams to make room (maxmemory-policy {policy}): set it to "
            "noeviction"
        )
    if acknowledge == "disk":
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < WAITS_FOR_DISK:
            raise StoreError(
                f'Redis {version} cannot say what is on its disk: store.acknowledge = "disk" needs '
                "Redis 7.2 or newer, or Valkey"
            )
        if info.get("aof_enabled") != "1":
            raise StoreError(
                'Redis keeps no file: store.acknowledge = "disk" needs appendonly yes there'
            )


def explained(error: ResponseError) -> StoreError:
    """An error of the server as a `StoreError` that says what to do."""
    text = str(error)
    if isinstance(error, ClusterDownError):
        return unavailable(f"its cluster is down ({text})")
    if isinstance(error, MOVING):
        return unavailable("a slot of its cluster is being moved")
    if isinstance(error, OutOfMemoryError) or text.startswith("OOM"):
        said = "Redis has no memory left: raise its maxmemory, or delete streams"
        return StoreError(said, code="store_full")
    if text.startswith("MISCONF"):
        return StoreError("Redis cannot write to its disk: see its log", code="store_full")
    if text.startswith(("LOADING", "BUSY", "MASTERDOWN")):
        return unavailable("it is busy")
    if text.startswith("NOREPLICAS"):
        return unavailable("it has fewer replicas than its min-replicas-to-write")
    return StoreError(f"Redis refused what the hub asked: {text}")


def parse_info(text: bytes) -> dict[str, str]:
    """The fields of ``INFO``."""
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}

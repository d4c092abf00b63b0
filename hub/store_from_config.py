"""The store that several hubs share, as configured; imports the Redis client."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

from hub.backends import SharedStore
from hub.config.schema import Config
from hub.domain.errors import ConfigError, StoreError
from hub.stores import Credentials
from hub.stores.shared import SharedEngine

try:
    from hub.stores.redis import permissions
    from hub.stores.redis.cluster import Cluster, ClusterWatch
    from hub.stores.redis.credentials import RedisCredentials
    from hub.stores.redis.engine import RedisEngine
    from hub.stores.redis.sentinels import PrimaryWatch, Sentinels
    from hub.stores.redis.server import Topology
except ImportError as error:
    raise ConfigError(
        f'store.url needs the package "{error.name}": pip install "streamhub[redis]"',
        code="package_missing",
    ) from None

from hub.stores.redis.keys import Keys

__all__ = ["lacking_rules", "server_of", "shared_store_of", "topology"]

SENTINEL_PORT: Final = 26379
SERVER_PORT: Final = 6379

NAME_LENGTH: Final = 64
"""Characters of a hub's name, which is part of keys."""


def shared_store_of(config: Config, environ: Mapping[str, str]) -> SharedStore:
    """The store of a configuration with a ``redis://`` URL.

    Raises:
        ConfigError: the user or the password cannot be read.
    """
    server, keys = server_of(config, environ), Keys(config.store.prefix)
    streams = config.streams

    def connect(known: Mapping[int, int]) -> SharedEngine:
        return RedisEngine(
            server,
            keys=keys,
            known=known,
            settle_seconds=config.node.settle_seconds,
            max_records=streams.max_records,
            max_producers=streams.max_producers,
            acknowledge=config.store.acknowledge,
        )

    name = re.sub(r"[^A-Za-z0-9._-]", "-", config.node.name or socket.gethostname())
    return SharedStore(
        connect,
        _credentials,
        name[:NAME_LENGTH] or "hub",
        config.node.lease_seconds,
    )


def _credentials(engine: Callable[[], SharedEngine]) -> Credentials:
    return RedisCredentials(cast("Callable[[], RedisEngine]", engine))


async def topology(config: Config, environ: Mapping[str, str]) -> Topology:
    """Use the server as a hub would, and tell what there is of servers.

    Raises:
        ConfigError: the user or the password cannot be read.
        StoreError: it cannot be used; the message says why.
    """
    engine = cast("RedisEngine", shared_store_of(config, environ).connect({}))
    try:
        await engine.open()
        return await engine.topology()
    finally:
        await engine.close()


async def lacking_rules(config: Config, environ: Mapping[str, str]) -> list[str]:
    """The rules that the ACL of any server lacks for its user to do all that a hub does.

    Raises:
        ConfigError: the user or the password cannot be read.
        StoreError: a server cannot be asked.
    """
    server, keys = server_of(config, environ), Keys(config.store.prefix)
    acknowledge, clustered = config.store.acknowledge, isinstance(server, Cluster)
    found: list[str] = []
    for url in await _primaries(server):
        found += await permissions.lacking(url, keys, acknowledge, clustered=clustered)
    return list(dict.fromkeys(found))


async def _primaries(server: str | Sentinels | Cluster) -> Sequence[str]:
    """The URLs of all servers that are written to."""
    if isinstance(server, str):
        return [server]
    watch = ClusterWatch(server) if isinstance(server, Cluster) else PrimaryWatch(server)
    watch.open()
    try:
        if isinstance(watch, ClusterWatch):
            return (await watch.layout()).primaries
        return [await watch.primary()]
    finally:
        await watch.close()


def server_of(config: Config, environ: Mapping[str, str]) -> str | Sentinels | Cluster:
    """The URL for the client, with the secrets that the configuration only names; or who knows it.

    Raises:
        ConfigError: they cannot be read.
    """
    store, parts = config.store, config.store.server
    ca_file, query = store.ca_file, ""
    if ca_file is not None:
        query = f"?ssl_ca_certs={quote(str(Path(ca_file).expanduser()), safe='')}"

    def url(host: str, secrets: tuple[str | None, str | None], path: str) -> str:
        user, password = (quote(secret or "", safe="") for secret in secrets)
        return f"{parts.scheme}://{f'{user}:{password}@' if password else ''}{host}{path}{query}"

    secrets = store.credentials(environ)
    if parts.primary is None and not parts.cluster:
        return url("".join(parts.hosts), secrets, parts.path)

    def url_of(host: str, port: int) -> str:
        named = parts._replace(hosts=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}",))
        if not (store.insecure or named.private):
            kind, names = ("sentinel", "sentinels name")
            if parts.cluster:
                kind, names = ("cluster", "cluster names")
            said = (
                f"the {names} {host}, which would be sent everything over the network as plain "
                f"text: use rediss+{kind}://, or set store.insecure"
            )
            raise StoreError(said)
        return url(named.hosts[0], secrets, parts.path)

    port = SERVER_PORT if parts.cluster else SENTINEL_PORT
    hosts = [host if re.search(r":\d+$", host) else f"{host}:{port}" for host in parts.hosts]
    if parts.primary is None:
        return Cluster([url(host, secrets, "") for host in hosts], url_of)
    of_sentinels = store.sentinel_credentials(environ)
    return Sentinels([url(host, of_sentinels, "") for host in hosts], parts.primary, url_of)

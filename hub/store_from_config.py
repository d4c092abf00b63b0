"""The store that several hubs share, as configured; imports the Redis client."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
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
    """The rules that the ACL of the server lacks for its user to do all that a hub does.

    Raises:
        ConfigError: the user or the password cannot be read.
        StoreError: the server cannot be asked.
    """
    server = server_of(config, environ)
    url = server if isinstance(server, str) else await _primary(server)
    return await permissions.lacking(url, Keys(config.store.prefix), config.store.acknowledge)


async def _primary(sentinels: Sentinels) -> str:
    watch = PrimaryWatch(sentinels)
    watch.open()
    try:
        return await watch.primary()
    finally:
        await watch.close()


def server_of(config: Config, environ: Mapping[str, str]) -> str | Sentinels:
    """The URL for the client, with the secrets that the configuration only names; or sentinels.

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
    if parts.primary is None:
        return url("".join(parts.hosts), secrets, parts.path)

    def url_of(host: str, port: int) -> str:
        named = parts._replace(hosts=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}",))
        if not (store.insecure or named.private):
            said = (
                f"the sentinels name {host}, which would be sent everything over the network as "
                "plain text: use rediss+sentinel://, or set store.insecure"
            )
            raise StoreError(said)
        return url(named.hosts[0], secrets, parts.path)

    of_sentinels = store.sentinel_credentials(environ)
    hosts = [
        host if re.search(r":\d+$", host) else f"{host}:{SENTINEL_PORT}" for host in parts.hosts
    ]
    return Sentinels([url(host, of_sentinels, "") for host in hosts], parts.primary, url_of)

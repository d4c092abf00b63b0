"""The store that several hubs share, as configured; imports the Redis client."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote, urlsplit

from hub.backends import SharedStore
from hub.config.schema import Config
from hub.domain.errors import ConfigError
from hub.stores import Credentials
from hub.stores.shared import SharedEngine

try:
    from hub.stores.redis.credentials import RedisCredentials
    from hub.stores.redis.engine import RedisEngine
except ImportError as error:
    raise ConfigError(
        f'store.url needs the package "{error.name}": pip install "streamhub[redis]"',
        code="package_missing",
    ) from None

from hub.stores.redis.keys import Keys

__all__ = ["server_url", "shared_store_of"]

NAME_LENGTH: Final = 64
"""Characters of a hub's name, which is part of keys."""


def shared_store_of(config: Config, environ: Mapping[str, str]) -> SharedStore:
    """The store of a configuration with a ``redis://`` URL.

    Raises:
        ConfigError: the user or the password cannot be read.
    """
    url, keys = server_url(config, environ), Keys(config.store.prefix)
    streams = config.streams

    def connect(known: Mapping[int, int]) -> SharedEngine:
        return RedisEngine(
            url,
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


def server_url(config: Config, environ: Mapping[str, str]) -> str:
    """The URL for the client, with the secrets that the configuration only names.

    Raises:
        ConfigError: they cannot be read.
    """
    user, password = config.store.credentials(environ)
    parts = urlsplit(config.store.url)
    netloc = parts.netloc
    if password is not None:
        netloc = f"{quote(user or '', safe='')}:{quote(password, safe='')}@{netloc}"
    ca_file, query = config.store.ca_file, ""
    if ca_file is not None:
        query = f"?ssl_ca_certs={quote(str(Path(ca_file).expanduser()), safe='')}"
    return f"{parts.scheme}://{netloc}{parts.path}{query}"

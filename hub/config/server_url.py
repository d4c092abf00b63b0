"""The URL of what several hubs share: where a server is, which sentinels say so, or a cluster."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from hub.domain.addresses import is_local

__all__ = ["ServerURL"]

SCHEMES: Final = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel"),
    *("redis+cluster", "rediss+cluster"),
)


class ServerURL(NamedTuple):
    """A URL like ``rediss+sentinel://a,b:26380,c/main/1``, in its parts."""

    scheme: str
    """``redis``, ``rediss`` or ``unix``: how all connections are made."""
    hosts: tuple[str, ...]
    """The server, sentinels, or some of a cluster, each perhaps with a port; none for a socket."""
    primary: str | None
    """What sentinels call the primary that is asked for; ``None`` without sentinels."""
    path: str
    """The rest: empty or ``/`` and the number of a database, or the path of a socket."""
    cluster: bool = False

    @staticmethod
    def names(url: str) -> bool:
        """Whether a store's URL is of such a server, perhaps one with mistakes."""
        return url.partition(":")[0] in SCHEMES

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL without user and password to pieces.

        Raises:
            ValueError: it cannot be used.
        """
        scheme, _, rest = url.partition(":")
        if scheme not in SCHEMES:
            raise ValueError(f"not one of {', '.join(SCHEMES)}")
        if scheme == "unix":
            path = rest.removeprefix("//")
            if not path.startswith("/") or not path.strip("/"):
                raise ValueError("not the path of a socket")
            return cls(scheme, (), None, path)
        netloc, slash, path = rest.removeprefix("//").partition("/")
        hosts, primary = [netloc], None
        kind, _, found_by = scheme.partition("+")
        if found_by:
            hosts = netloc.split(",")
        if found_by == "sentinel":
            primary, slash, path = path.partition("/")
            if not re.fullmatch(r"[A-Za-z0-9._-]+", primary):
                raise ValueError("no name of a primary")
        if not rest.startswith("//") or not all(map(_is_host, hosts)):
            raise ValueError("no server")
        cluster = found_by == "cluster"
        # A cluster has no other database than 0.
        if not re.fullmatch(r"0?" if cluster else r"(\d{1,5})?", path):
            raise ValueError("not the number of a database")
        return cls(kind, tuple(hosts), primary, "" if cluster else slash + path, cluster)

    @property
    def private(self) -> bool:
        """Whether nothing leaves this machine as plain text."""
        names = [urlsplit(f"//{host}").hostname or "" for host in self.hosts]
        return self.scheme != "redis" or all(map(is_local, names))


def _is_host(host: str) -> bool:
    parts = urlsplit(f"//{host}")
    return bool(parts.hostname) and parts.port != 0 and not parts.path

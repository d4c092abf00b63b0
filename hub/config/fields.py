"""Types of configuration values, with their validation and error messages."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from hub.config.server_url import ServerURL
from hub.domain.addresses import parse_network

__all__ = [
    "URL",
    "Ancestor",
    "Count",
    "Header",
    "Headers",
    "Host",
    "Line",
    "Origin",
    "Prefix",
    "Proxy",
    "Seconds",
    "StoreURL",
    "Variable",
    "Wait",
]


# The upper bounds keep a typo from overflowing a timer or a buffer.
Count = Annotated[int, Field(ge=1, le=2**40)]
Seconds = Annotated[float, Field(gt=0, le=10**9)]
Wait = Annotated[float, Field(ge=0, le=10**9)]


def _line(value: str) -> str:
    if not value or not value.isprintable():
        raise PydanticCustomError("hub", "must be one line of text and not empty")
    return value


def _host(value: str) -> str:
    if value != "*" and not re.fullmatch(r"[^\s/?#@*:\[\]]+", value):
        wanted = 'must be a host name without scheme and port, such as "chat.example.org"'
        raise PydanticCustomError("hub", wanted)
    return value.lower()


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[^\s/?#@*]+", value):
        raise PydanticCustomError("hub", 'must be an origin, such as "https://chat.example.org"')
    return value.lower()


def _ancestor(value: str) -> str:
    if value in ("self", "'self'"):
        return "'self'"
    # It becomes part of a header with other sources, so it must not contain more than one.
    if not re.fullmatch(r"https?://[^\s/?#@;,'\"]+", value):
        wanted = 'must be "self" or an origin, such as "https://www.example.org"'
        raise PydanticCustomError("hub", wanted)
    return value.lower()


def _proxy(value: str) -> str:
    if value != "unix":
        try:
            parse_network(value)
        except ValueError as error:
            raise PydanticCustomError("hub", "{said}", {"said": str(error)}) from None
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isprintable() or " " in value:
        raise PydanticCustomError("hub", "must be an http:// or https:// URL")
    if "@" in parts.netloc:
        raise PydanticCustomError("hub", "must not contain a user or password: use api_key_env")
    if "?" in value or "#" in value:
        raise PydanticCustomError("hub", "must not contain ? or #: use query or api_key_env")
    return value


def _store(value: str) -> str:
    if ServerURL.names(value):
        return _server(value)
    kind, colon, path = value.partition(":")
    if value != "memory:" and not (kind == "sqlite" and colon and path):
        wanted = 'must be "sqlite:" with the path of a file, "memory:", or a redis:// URL'
        raise PydanticCustomError("hub", wanted)
    if path.startswith("//"):
        # Other programs write two or three more slashes, which have no meaning here.
        wanted = 'must be a plain path after "sqlite:", as in "sqlite:data/streamhub.db"'
        raise PydanticCustomError("hub", wanted)
    return _line(value)


def _server(value: str) -> str:
    if "?" in value:
        raise PydanticCustomError("hub", "must not contain ?")
    try:
        parts = ServerURL.parse(value)
        usable = value.isprintable() and not re.search(r"[ #]", value)
    except ValueError:
        usable = False
    if not usable:
        wanted = (
            'must be like "redis://127.0.0.1:6379", "rediss://redis.example.org:6380/1", '
            '"unix:///run/redis/redis.sock", "redis+sentinel://a,b:26379,c/main" or '
            '"redis+cluster://a:6379,b:6379"'
        )
        raise PydanticCustomError("hub", wanted)
    if any("@" in host for host in parts.hosts):
        wanted = "must not contain a user or password: use user_env and password_env"
        raise PydanticCustomError("hub", wanted)
    return value


def _prefix(value: str) -> str:
    # Braces decide which server of a cluster has a key.
    if not re.fullmatch(r"[A-Za-z0-9:._-]{1,64}", value):
        wanted = "must be 1 to 64 letters, digits and : . _ -"
        raise PydanticCustomError("hub", wanted)
    return value


def _variable(value: str) -> str:
    # Lower case is refused because people paste the key itself here by mistake, and messages show
    # this value.
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", value):
        wanted = "must be the name of an environment variable in capitals, not the key itself"
        raise PydanticCustomError("hub", wanted)
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise PydanticCustomError("hub", "has a name that is not a valid HTTP header name")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        _header(name)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
            raise PydanticCustomError("hub", "has a value with a line break or control character")
    return value


Ancestor = Annotated[str, AfterValidator(_ancestor)]
Header = Annotated[str, AfterValidator(_header)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Host = Annotated[str, AfterValidator(_host)]
Line = Annotated[str, AfterValidator(_line)]
Origin = Annotated[str, AfterValidator(_origin)]
Proxy = Annotated[str, AfterValidator(_proxy)]
Prefix = Annotated[str, AfterValidator(_prefix)]
StoreURL = Annotated[str, AfterValidator(_store)]
URL = Annotated[str, AfterValidator(_url)]
Variable = Annotated[str, AfterValidator(_variable)]

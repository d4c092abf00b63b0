"""The typed ``config.toml``: every table, with defaults and ranges.

Values come from the defaults below, the file and the environment (``STREAMHUB_SERVER__PORT``, see
`hub.config.source`), in increasing priority. All mistakes are reported together, one line each,
with the file and line or the variable::

    config.toml:3: server.prot: unknown key; did you mean "port"?

The commented ``config.toml`` beside the package explains each key. Sizes are in bytes and times in
seconds.

The configuration never contains an API key: a table names a variable or a file, which
`UpstreamTable.api_key` reads when it is needed. Other values that may contain a secret (headers,
options, a store's URL) are left out of ``repr`` and masked by `Config.shown`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from hub.config.auth import Auth
from hub.config.fields import (
    URL,
    Ancestor,
    Count,
    Header,
    Headers,
    Host,
    Line,
    Origin,
    Prefix,
    Proxy,
    Seconds,
    StoreURL,
    Variable,
    Wait,
)
from hub.config.server_url import ServerURL
from hub.config.source import Source
from hub.config.table import Table, refuse
from hub.domain import defaults
from hub.domain.defaults import KIB, MIB
from hub.domain.errors import ConfigError

__all__ = [
    "CheckUpstream",
    "Config",
    "Fanout",
    "Limits",
    "Node",
    "Server",
    "Store",
    "Streams",
    "Tutorial",
    "UpstreamTable",
]

logger = logging.getLogger(__name__)

MASK: Final = "***"


class Server(Table):
    """Where the hub listens, and how it shuts down."""

    host: Line = "127.0.0.1"
    port: int = Field(default=7000, ge=0, le=65535)
    hosts: list[Host] = Field(default=[])
    origins: list[Origin] = Field(default=[])
    frame_ancestors: list[Ancestor] = Field(default=[])
    unix_socket: Line | None = None
    workers: int = Field(default=1, ge=1, le=64)
    trusted_proxies: list[Proxy] = Field(default=[])
    proxy_headers: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    list_streams: bool = False
    drain_seconds: Wait = 10.0
    idle_seconds: Seconds = 75.0
    access_log: bool = False
    beat_seconds: Seconds = defaults.BEAT
    grace_seconds: Wait = defaults.GRACE
    ws_beat_seconds: Seconds = defaults.WS_BEAT
    on_disconnect: Literal["continue", "cancel"] = "continue"


class Store(Table):
    """Where streams are stored."""

    url: StoreURL = Field(default="sqlite:data/streamhub.db", repr=False)
    sync: Literal["full", "normal"] = "full"
    lock_seconds: Wait = 15.0
    user_env: Variable | None = None
    password_env: Variable | None = None
    sentinel_user_env: Variable | None = None
    sentinel_password_env: Variable | None = None
    ca_file: Line | None = None
    prefix: Prefix = "sh:"
    insecure: bool = False
    acknowledge: Literal["memory", "replica", "disk"] = "memory"

    @property
    def shared(self) -> bool:
        """Whether several hubs may use it at once."""
        return ServerURL.names(self.url)

    @property
    def server(self) -> ServerURL:
        """Where the server is that several hubs share; only if it is `shared`."""
        return ServerURL.parse(self.url)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        server = self.server if self.shared else None
        wrong = [
            ((key,), "is only for a redis:// url")
            for key in ("user_env", "password_env")
            if getattr(self, key) is not None and not self.shared
        ]
        wrong += [
            ((key,), "is only for a redis+sentinel:// url")
            for key in ("sentinel_user_env", "sentinel_password_env")
            if getattr(self, key) is not None and (server is None or server.primary is None)
        ]
        if self.acknowledge != "memory" and not self.shared:
            wrong.append((("acknowledge",), "is only for a redis:// url"))
        for user in ("user_env", "sentinel_user_env"):
            password = user.replace("user", "password")
            if getattr(self, user) is not None and getattr(self, password) is None:
                wrong.append(((user,), f"needs {password}"))
        if self.ca_file is not None and (server is None or server.scheme != "rediss"):
            wrong.append((("ca_file",), "is only for a rediss:// url"))
        if server is not None and not (self.insecure or server.private):
            said = (
                "would send everything over the network as plain text: use rediss://, or set "
                "insecure = true if nobody else can read that network"
            )
            wrong.append((("url",), said))
        refuse(wrong)
        return self

    def credentials(self, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
        """The user and the password for the server.

        Raises:
            ConfigError: ``store_password_missing``: a variable is not set.
        """
        return self._secrets(environ, self.user_env, self.password_env)

    def sentinel_credentials(self, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
        """The user and the password for the sentinels; raises what `credentials` does."""
        return self._secrets(environ, self.sentinel_user_env, self.sentinel_password_env)

    @staticmethod
    def _secrets(
        environ: Mapping[str, str], *variables: str | None
    ) -> tuple[str | None, str | None]:
        found = []
        for variable in variables:
            if variable is not None and not environ.get(variable):
                said = f"set the environment variable {variable}, which [store] names"
                raise ConfigError(said, code="store_password_missing")
            found.append(None if variable is None else environ[variable])
        return found[0], found[1]


class Node(Table):
    """This hub among several that use one store."""

    name: Line | None = None
    lease_seconds: float = Field(default=defaults.LEASE, ge=0.5, le=60.0)
    settle_seconds: float = Field(default=defaults.SETTLE, ge=0.1, le=60.0)


class Streams(Table):
    """How much of each stream is kept, and for how long."""

    max_records: Count = defaults.MAX_RECORDS
    max_bytes: Count = defaults.MAX_BYTES
    warm_bytes: Count = defaults.WARM_BYTES
    max_producers: Count = defaults.MAX_PRODUCERS
    foreign_generations: bool = defaults.FOREIGN_GENERATIONS
    keep_closed_seconds: Wait = defaults.KEEP_FOREVER
    keep_idle_seconds: Wait = defaults.KEEP_FOREVER
    long_poll_seconds: Seconds = defaults.LONG_POLL
    sse_rotate_seconds: Seconds = defaults.SSE_ROTATE


class Fanout(Table):
    """How records are sent to connections."""

    slice: Count = defaults.SLICE
    slow_client_timeout: Seconds = defaults.SLOW_CLIENT
    deliver: Literal["at_once", "committed"] = defaults.DELIVER
    catch_up_bytes: Count = defaults.CATCH_UP_BYTES
    write_buffer_bytes: Count = defaults.WRITE_BUFFER_BYTES
    notsent_lowat: Count = 16 * KIB


class Limits(Table):
    """Upper bounds."""

    sockets: Count = 20_000
    connections: Count = defaults.CONNECTIONS
    subscriptions: Count = defaults.SUBSCRIPTIONS
    presence: int = Field(default=defaults.PRESENCE, ge=0, le=1000)
    presence_bytes: Count = defaults.PRESENCE_BYTES
    streams: Count = defaults.STREAMS
    stream_bytes_total: Count = defaults.STREAM_BYTES_TOTAL
    body_bytes: Count = defaults.BODY_BYTES
    bodies_bytes: Count = defaults.BODIES_BYTES
    body_seconds: Seconds = 30.0
    frame_bytes: Count = MIB
    event_bytes: Count = defaults.EVENT_BYTES
    name_length: Count = defaults.NAME_LENGTH
    prompt_bytes: Count = defaults.PROMPT_BYTES
    prompt_messages: Count = defaults.PROMPT_MESSAGES
    generations: Count = defaults.GENERATIONS
    generation_seconds: Seconds = defaults.GENERATION
    idempotency_keys: Count = defaults.IDEMPOTENCY_KEYS
    queued_prompts: Count = defaults.QUEUED_PROMPTS
    queued_bytes: Count = defaults.QUEUED_BYTES


class UpstreamTable(Table):
    """An LLM endpoint, ``[upstreams.NAME]``; its dialect checks the ``options``."""

    dialect: Line
    url: URL | None = None
    model: Line | None = None
    api_key_env: Variable | None = None
    api_key_file: Line | None = None
    api_key_header: Header | None = None
    headers: Headers = Field(default={}, repr=False)
    query: dict[str, str] = Field(default={}, repr=False)
    connect_timeout: Seconds = defaults.CONNECT
    stall_timeout: Seconds = defaults.STALL
    content_timeout: Seconds = defaults.CONTENT
    retries: int = Field(default=defaults.RETRIES, ge=0, le=100)
    max_retry_wait: Wait = defaults.MAX_RETRY_WAIT
    chunk_bytes: Count = defaults.CHUNK_BYTES
    fallback: list[str] = Field(default=[])
    options: dict[str, Any] = Field(default={}, repr=False)

    _name: str = PrivateAttr("")

    @model_validator(mode="after")
    def _agrees(self, info: ValidationInfo) -> Self:
        wrong: list[tuple[tuple[str, ...], str]] = []
        if self.api_key_env is not None and self.api_key_file is not None:
            wrong.append((("api_key_file",), "set either this or api_key_env, not both"))
        check: CheckUpstream | None = (info.context or {}).get("check")
        if check is not None:
            wrong += [((key,), text) for key, text in check(self)]
        refuse(wrong)
        return self

    def api_key(self, environ: Mapping[str, str]) -> str | None:
        """Read the API key of this upstream; ``None`` if it has none.

        Raises:
            ConfigError: the variable is not set, or the file cannot be read, is empty or has more
                than one line.
        """
        if self.api_key_env is not None:
            key = environ.get(self.api_key_env, "").strip()
            where = f"the environment variable {self.api_key_env}"
            missing = f"set {where} to the API key of {self._shown_name}"
        elif self.api_key_file is not None:
            key = self._key_in_file(Path(self.api_key_file).expanduser())
            where = f"the file {self.api_key_file}"
            missing = f"{where} is empty: write the API key of {self._shown_name} into it"
        else:
            return None
        if not key:
            raise ConfigError(missing, code="api_key_missing")
        if not (key.isascii() and key.isprintable()):
            message = f"{where} must contain only the API key of {self._shown_name}"
            raise ConfigError(message, code="api_key_invalid")
        return key

    def _key_in_file(self, path: Path) -> str:
        try:
            key = path.read_text("utf-8").strip()
            open_to_all = path.stat().st_mode & 0o004
        except (OSError, UnicodeError) as error:
            why = (isinstance(error, OSError) and error.strerror) or "it is not text"
            message = f"cannot read the API key of {self._shown_name} from {path}: {why}"
            raise ConfigError(message, code="api_key_missing") from None
        if open_to_all:
            logger.warning(
                "every user of this machine can read the API key in %s: run chmod 600 on it", path
            )
        return key

    @property
    def _shown_name(self) -> str:
        return f'the upstream "{self._name}"'


# Reports a dialect's complaints about a table as pairs of a key and a sentence. Dialects are in a
# higher layer, so whoever loads a configuration passes this in.
CheckUpstream = Callable[[UpstreamTable], Iterable[tuple[str, str]]]


class Tutorial(Table):
    """Settings of the tutorial's routes; an upstream of ``None`` is the default one."""

    llm: str | None = None
    faq: str | None = None
    file: Line | None = None
    pace: Wait = 0.1


class Config(Table):
    """The whole ``config.toml``; ``Config()`` is a working default."""

    server: Server = Server()
    store: Store = Store()
    node: Node = Node()
    streams: Streams = Streams()
    fanout: Fanout = Fanout()
    limits: Limits = Limits()
    auth: Auth = Auth()
    default_upstream: str = "demo"
    upstreams: dict[Line, UpstreamTable] = Field(default={"demo": UpstreamTable(dialect="demo")})
    tutorial: Tutorial = Tutorial()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, table in self.upstreams.items():
            table._name = name  # a table does not know its own key
        named = {
            ("default_upstream",): self.default_upstream,
            ("tutorial", "llm"): self.tutorial.llm,
            ("tutorial", "faq"): self.tutorial.faq,
        }
        if self.store.shared:
            refuse(self._not_shared("a redis:// store", "one hub"))
        if self.server.workers > 1:
            refuse(self._not_with_workers())
        if self.auth.header is not None and not self.server.trusted_proxies:
            wanted = 'only counts from server.trusted_proxies: name the proxy there, or "unix"'
            refuse([(("auth", "header"), wanted)])
        refuse(
            [
                (key, self._unknown_upstream(name))
                for key, name in named.items()
                if name is not None and name not in self.upstreams
            ]
            + [
                (("upstreams", name, "fallback"), mistake)
                for name, table in self.upstreams.items()
                for mistake in self._fallback_mistakes(name, table.fallback)
            ]
        )
        return self

    def _not_with_workers(self) -> Iterable[tuple[tuple[str, ...], str]]:
        """What cannot be had with several workers, or not yet."""
        if self.store.url.partition(":")[0] != "sqlite":
            said = 'are for a store in a file ("sqlite:"); with a redis:// store, start more hubs'
            yield ("server", "workers"), said
        else:
            yield from self._not_shared("several workers", "one")

    def _not_shared(self, where: str, one: str) -> Iterable[tuple[tuple[str, ...], str]]:
        """What cannot be had where several hubs use one store, or not yet."""
        fanout, streams = self.fanout, self.streams
        if fanout.deliver == "at_once" and "deliver" in fanout.model_fields_set:
            said = (
                f'is always "committed" with {where}, because what {one} shows, all have: set it '
                "to that, or leave it out"
            )
            yield ("fanout", "deliver"), said
        for key in ("keep_closed_seconds", "keep_idle_seconds"):
            if getattr(streams, key):
                said = f"cannot be used with {where} yet: give streams a Stream-TTL"
                yield ("streams", key), said

    def _unknown_upstream(self, name: str) -> str:
        known = ", ".join(self.upstreams) or "none"
        return f'no upstream is named "{name}"; there are: {known}'

    def _fallback_mistakes(self, name: str, fallback: list[str]) -> Iterable[str]:
        for place, other in enumerate(fallback):
            if other not in self.upstreams:
                yield self._unknown_upstream(other)
            elif other == name:
                yield "an upstream cannot be its own fallback"
            elif other in fallback[:place]:
                yield f'"{other}" is listed twice'

    @classmethod
    def load(
        cls, path: Path | None, environ: Mapping[str, str], *, check: CheckUpstream | None = None
    ) -> Config:
        """Read the file, override it with the environment, and validate the result.

        Without a ``path`` there are only the defaults and the environment. ``check`` is called for
        each upstream.

        Raises:
            ConfigError: the file cannot be read, or it or the environment has mistakes; the message
                has one line for each.
        """
        source = Source.read(cls, path, environ)
        try:
            config = cls.model_validate(source.values, context={"check": check})
        except ValidationError as error:
            source.check(error)
            raise  # not reached: a ValidationError has at least one mistake
        source.check()
        return config

    def with_server(self, given: Mapping[str, Any]) -> Config:
        """The configuration with other, valid values in ``[server]``.

        Raises:
            ConfigError: they do not agree with the rest.
        """
        server = self.server.model_copy(update=given)
        changed = self.model_copy(update={"server": server})
        wrong = changed._not_with_workers() if server.workers > 1 else ()
        lines = [f"{'.'.join(key)}: {said}" for key, said in wrong]
        if lines:
            raise ConfigError("\n".join(lines))
        return changed

    def shown(self) -> dict[str, Any]:
        """The configuration as TOML values, with secrets masked; unset keys are ``None``."""
        shown = self.model_dump()
        parts = urlsplit(shown["store"]["url"])
        if "@" in parts.netloc:
            masked = parts._replace(netloc=f"{MASK}@{parts.netloc.rpartition('@')[2]}")
            shown["store"]["url"] = urlunsplit(masked)
        for table in shown["upstreams"].values():
            table["headers"] = dict.fromkeys(table["headers"], MASK)
            table["query"] = _masked(table["query"])
            table["options"] = _masked(table["options"])
        # TOML has no null in a list of tables, which is where these stand.
        shown["auth"]["grants"] = [
            {key: value for key, value in grant.items() if value is not None}
            for grant in shown["auth"]["grants"]
        ]
        return shown


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, name) for inner in value]
    secret = re.search(r"key|secret|token|passw|auth|credential", name, re.IGNORECASE)
    return MASK if secret and isinstance(value, str) else value

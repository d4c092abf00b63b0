"""Upstreams: a prompt goes out, the bytes of a reply come back as they are read.

::

    upstream = Upstream("local", make_dialect, dialer, url="http://127.0.0.1:11434/v1")
    dialect = upstream.dialect()                      # one for each reply
    async with upstream.open(dialect, prompt) as body:
        async for piece in body: ...

`hub.upstreams.http_client` says what leaving the context does, which clocks run and what errors
contain. A local dialect makes its bytes itself and uses no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from multidict import CIMultiDict
from yarl import URL

from hub.dialects import BEARER, Call, Dialect, HasItems, KeyHeader, Knowing, Local, MakeDialect
from hub.domain import defaults
from hub.domain.errors import ConfigError, RequestError
from hub.domain.events import NOTHING, Failed, Terminal
from hub.domain.failures import masked
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import own_messages
from hub.upstreams.field_negotiation import FieldNegotiation, LearnedFields
from hub.upstreams.http_body import Body
from hub.upstreams.http_client import Dialer
from hub.upstreams.http_request import Request

__all__ = ["Body", "Dialer", "Upstream"]

SECRET: Final = 8
"""Characters from which a value may be a secret; masking shorter ones would mask ordinary words."""


class Upstream:
    """One configured LLM endpoint; its arguments are the keys of an ``[upstreams.NAME]`` table.

    ``options`` go to the dialect. ``headers`` replace all others of their names, ``api_key_header``
    replaces the dialect's header for the key, and ``query`` is added to every URL.

    Raises:
        ConfigError: the dialect refuses the options, or it needs a ``url`` and there is no usable
            one.
    """

    def __init__(
        self,
        name: str,
        make_dialect: MakeDialect,
        dialer: Dialer,
        *,
        url: str | None = None,
        model: str | None = None,
        api_key: str | None = None,
        api_key_header: str | None = None,
        headers: Mapping[str, str] = NOTHING,
        query: Mapping[str, str] = NOTHING,
        options: Mapping[str, Any] = NOTHING,
        connect_timeout: float = defaults.CONNECT,
        stall_timeout: float = defaults.STALL,
        content_timeout: float = defaults.CONTENT,
        retries: int = defaults.RETRIES,
        max_retry_wait: float = defaults.MAX_RETRY_WAIT,
        chunk_limit: int = defaults.CHUNK_BYTES,
    ) -> None:
        self.name = name
        self.model = model
        self.stall_timeout = stall_timeout
        self.content_timeout = content_timeout
        self.retries = retries
        self.max_retry_wait = max_retry_wait
        self.chunk_limit = chunk_limit
        self.fallback: tuple[Upstream, ...] = ()
        """Upstreams to ask in turn if this one gives no answer, but not their own fallbacks."""
        self._learned = LearnedFields()
        self._make_dialect = make_dialect
        self._dialer = dialer
        self._api_key = api_key
        self._key_header = None if api_key_header is None else KeyHeader(api_key_header)
        if api_key_header is not None and api_key_header.lower() == BEARER.name.lower():
            self._key_header = BEARER
        self._headers = headers
        self._query = query
        self._options = options
        self._connect_timeout = connect_timeout
        held = (api_key or "", *headers.values(), *query.values())
        self._secrets = tuple(value for value in held if len(value) >= SECRET)
        self._url = "" if isinstance(self.dialect(), Local) else _address(name, url)

    def __repr__(self) -> str:
        return f"Upstream({self.name!r})"

    def dialect(self) -> Dialect:
        return self._make_dialect(self._options)

    def negotiation(self, prompt: Prompt) -> FieldNegotiation:
        """The negotiation of the request's fields, for one reply."""
        return self._learned.negotiation(prompt.model or self.model)

    def open(
        self, dialect: Dialect, prompt: Prompt, fields: FieldNegotiation | None = None
    ) -> AbstractAsyncContextManager[Body]:
        """Send the request; gives the bytes of the reply.

        Raises:
            RequestError: the dialect cannot put the prompt into a request.
            UpstreamError: on entering, there is no reply.
            Draining: on entering, the dialer is closed.
        """
        asked = self._own_prompt(prompt)
        # `isinstance` costs more than all else here, and only local dialects have no address.
        if not self._url and isinstance(dialect, Local):
            return _local_body(dialect.script(asked))
        call = dialect.call(asked)
        body = (fields or self.negotiation(asked)).body(call.body)
        return self._dialer.open(self._request(call, body))

    def discreet(self, terminal: Terminal) -> Terminal:
        """The end of a reply, without the secrets that some servers repeat in their errors."""
        return masked(terminal, self._masked) if isinstance(terminal, Failed) else terminal

    def _masked(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "...")
        return said

    def check(self, prompt: Prompt) -> None:
        """Check that this upstream can be asked the prompt.

        Raises:
            RequestError: the dialect cannot put it into a request.
        """
        dialect = self.dialect()
        if not isinstance(dialect, Local):
            dialect.call(self._own_prompt(prompt))

    def knows(self, model: str | None) -> bool:
        """Whether there may be a model of this name; most upstreams must be asked to know."""
        dialect = self.dialect()
        if model is None or not isinstance(dialect, Knowing):
            return True
        return model in (self.name, self.model, *dialect.models)

    @property
    def native_items(self) -> bool:
        """Whether it takes tools and items of OpenAI's Responses unchanged."""
        dialect = self.dialect()
        return isinstance(dialect, HasItems) and dialect.native_items

    def _own_prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with a model, and without fields that belong to other upstreams."""
        messages = own_messages(prompt.messages, self.name)
        if prompt.model and messages is prompt.messages:
            return prompt
        return replace(prompt, model=prompt.model or self.model, messages=tuple(messages))

    def _request(self, call: Call, body: Mapping[str, Any]) -> Request:
        headers = CIMultiDict({"Content-Type": "application/json"})
        headers.update(call.headers)
        if self._api_key is not None:
            header = self._key_header or call.key
            headers[header.name] = header.prefix + self._api_key
        headers.update(self._headers)
        url = self._url.rstrip("/") + call.path if call.path else self._url
        if self._query:
            url += f"{'&' if '?' in url else '?'}{urlencode(self._query)}"
        try:
            content = orjson.dumps(body)
        except TypeError as error:
            raise RequestError(f"the prompt cannot be written as JSON: {error}") from None
        timeouts = self._connect_timeout, self.stall_timeout
        return Request(self.name, url, headers, content, *timeouts, self._secrets)


def _address(name: str, url: str | None) -> str:
    where = f"url in [upstreams.{name}]"
    if url is None:
        raise ConfigError(f"{where} is missing: its dialect asks a server")
    parsed = URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{where} must begin with http:// or https:// and name a host")
    if parsed.user is not None or parsed.password is not None:
        raise ConfigError(f"{where} must have no user and no password: use api_key_env")
    return url


@asynccontextmanager
async def _local_body(script: Iterable[tuple[float, bytes]]) -> AsyncIterator[Body]:
    async with aclosing(_played(script)) as pieces:
        yield Body(pieces, delimited=False)


async def _played(script: Iterable[tuple[float, bytes]]) -> AsyncGenerator[bytes, None]:
    for delay, piece in script:
        await asyncio.sleep(delay)
        yield piece

"""Upstreams: a prompt goes out, the bytes of a reply come back exactly as they are read.

::

    upstream = Upstream("local", make_dialect, dialer, url="http://127.0.0.1:11434/v1")
    dialect = upstream.dialect()                      # one for each reply
    async with upstream.open(dialect, prompt) as body:
        async for piece in body: ...

What leaving the context does, which clocks run and what an error says stands in
`hub.upstreams.http_client`. A local dialect makes its bytes itself and never comes near a socket.
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

from hub.dialects import BEARER, Call, Dialect, KeyHeader, Knowing, Local, MakeDialect
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
"""Characters from which a header's value may be a secret; to mask a shorter one would
mask ordinary words."""


class Upstream:
    """One configured LLM endpoint.

    The plain attributes are what a relay needs to know of it: how long it may be silent and how
    long without content (seconds), how often and after what wait (seconds) to try again, and how
    many bytes a chunk may have. ``options`` go to the dialect. ``headers`` win over all others,
    and ``api_key_header`` over the one in which the dialect shows the key. ``query`` is added to
    every URL.

    Raises:
        ConfigError: the dialect does not take the options, or needs a ``url`` and there
            is none that can be used.
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
        """Who is asked in turn where this one gives no answer; their own are not."""
        self._manners = LearnedFields()
        self._make_dialect = make_dialect
        self._dialer = dialer
        self._api_key = api_key
        self._key_header = None if api_key_header is None else _key_header(api_key_header)
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
        """A fresh dialect, for one reply."""
        return self._make_dialect(self._options)

    def manner(self, prompt: Prompt) -> FieldNegotiation:
        """How to ask for the reply to a prompt."""
        return self._manners.of(self._own(prompt).model)

    def open(
        self, dialect: Dialect, prompt: Prompt, manner: FieldNegotiation | None = None
    ) -> AbstractAsyncContextManager[Body]:
        """Ask, and give the bytes of the reply.

        Raises:
            RequestError: the dialect cannot put the prompt into a request.
            UpstreamError: on entering, there is no reply.
            Draining: on entering, the dialer is closed.
        """
        asked = self._told(prompt)
        # A local one has no address; to look for its power costs more than all else here.
        if not self._url and isinstance(dialect, Local):
            return _performance(dialect.script(asked))
        call = dialect.call(asked)
        body = (manner or self.manner(asked)).body(call.body)
        return self._dialer.open(self._request(call, body))

    def discreet(self, terminal: Terminal) -> Terminal:
        """How a reply ended, without the secrets that some servers repeat when they complain."""
        if not isinstance(terminal, Failed):
            return terminal
        return masked(terminal, self._masked)

    def _masked(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "...")
        return said

    def check(self, prompt: Prompt) -> None:
        """See whether the prompt can be asked here.

        Raises:
            RequestError: the dialect cannot put it into a request.
        """
        dialect = self.dialect()
        if not isinstance(dialect, Local):
            dialect.call(self._told(prompt))

    def knows(self, model: str | None) -> bool:
        """Whether it may have a model of this name: most only say so when they are asked."""
        dialect = self.dialect()
        if model is None or not isinstance(dialect, Knowing):
            return True
        return model in (self.name, self.model, *dialect.models)

    def _told(self, prompt: Prompt) -> Prompt:
        """The prompt without what is for other upstreams."""
        prompt, messages = self._own(prompt), own_messages(prompt.messages, self.name)
        return prompt if messages is prompt.messages else replace(prompt, messages=tuple(messages))

    def _own(self, prompt: Prompt) -> Prompt:
        return prompt if prompt.model else replace(prompt, model=self.model)

    def _target(self, path: str) -> str:
        target = self._url.rstrip("/") + path if path else self._url
        if not self._query:
            return target
        return f"{target}{'&' if '?' in target else '?'}{urlencode(self._query)}"

    def _request(self, call: Call, body: Mapping[str, Any]) -> Request:
        headers = CIMultiDict({"Content-Type": "application/json"})
        headers.update(call.headers)
        if self._api_key is not None:
            shown = self._key_header or call.key
            headers[shown.name] = shown.prefix + self._api_key
        headers.update(self._headers)
        return Request(
            self.name,
            self._target(call.path),
            headers,
            _encoded(body),
            self._connect_timeout,
            self.stall_timeout,
            self._secrets,
        )


def _key_header(name: str) -> KeyHeader:
    return BEARER if name.lower() == BEARER.name.lower() else KeyHeader(name)


def _address(name: str, url: str | None) -> str:
    where = f"url in [upstreams.{name}]"
    if url is None:
        raise ConfigError(f"{where} is missing: its dialect asks a server")
    parsed = URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{where} must begin with http:// or https:// and name a host")
    if parsed.user is not None or parsed.password is not None:
        raise ConfigError(f"{where} must hold no user and no password: use api_key_env")
    return url


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise RequestError(f"the prompt cannot be written as JSON: {error}") from None


@asynccontextmanager
async def _performance(script: Iterable[tuple[float, bytes]]) -> AsyncIterator[Body]:
    async with aclosing(_played(script)) as pieces:
        yield Body(pieces, delimited=False)


async def _played(script: Iterable[tuple[float, bytes]]) -> AsyncGenerator[bytes, None]:
    for delay, piece in script:
        await asyncio.sleep(delay)
        yield piece

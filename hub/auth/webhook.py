"""Asks an application over HTTP who somebody is, and what they may do: ``[auth.webhook]``.

Each question is a POST with a JSON object, signed as Standard Webhooks are
(https://www.standardwebhooks.com: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``)::

    {"event": "connect", "token": "…"}
    {"event": "refresh", "user": "ann", "tenant": null, "id": "…"}
    {"event": "subscribe", "user": "ann", "tenant": null, "id": "…", "stream": "chat/7"}
    {"event": "generate", …, "stream": "chat/7", "upstream": "mini", "model": "gpt-4o-mini"}

and is answered with status 200 and one of::

    {"allow": true, "ttl": 60}
    {"allow": true, "ttl": 60, "user": "ann", "tenant": "acme", "grants": […], "id": "session 7"}
    {"allow": false, "ttl": 10}

An answer holds for ``ttl`` seconds, and the same question is not asked again before. There is one
request at a time for the same question. Nothing is tried again: without an answer the question is
refused, so that an application that is down lets nobody in.

Nobody keeps the application from being asked about others. It is asked a bounded number of
questions about one address (``connect``) or subject (the rest) at a time. Each event has
connections of its own, so that no flood of subscriptions holds up a ``connect`` or a ``refresh``,
and how long a question waits for one is not the application's time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, get_args

import aiohttp
import orjson

from hub.access.hooks import Hooks
from hub.auth.admit import Admit, Turns, always
from hub.auth.stored_keys import read_grants
from hub.domain.errors import ConfigError, Forbidden, Unauthorized, Unavailable
from hub.domain.grant_rules import Identity, Rules, filled
from hub.domain.one_line import USER_LENGTH, is_user
from hub.domain.owned_cache import OwnedCache
from hub.domain.permissions import Grant
from hub.domain.principal import Principal

__all__ = ["EVENTS", "Event", "Webhook", "secret_of"]

log = logging.getLogger("hub.auth")

Event = Literal["connect", "subscribe", "generate", "refresh"]

EVENTS: Final[tuple[Event, ...]] = get_args(Event)

ANSWER_BYTES: Final = 65_536
TOKEN_BYTES: Final = 16_384
LONGEST: Final = 86_400.0
"""The most seconds that an answer may hold."""

REMEMBERED: Final = 10_000
"""Answers at one time about tokens, and about what subjects may do."""

OF_ONE: Final = 500
"""Answers about one subject; the one that was used least recently is forgotten first."""

AT_A_TIME: Final = 50
"""Requests at a time for the questions of one event; the others wait."""

WAITING: Final = 1_000
"""Questions of one event that are asked or wait; more are refused at once."""

WAIT_SECONDS: Final = 30.0
"""How long a question waits for others."""

_PREFIX: Final = "whsec_"
_OWN: Final = "webhook:"
"""What credentials are called that the application has accepted, before their id."""
_FIELDS: Final = frozenset({"allow", "ttl", "user", "tenant", "grants", "id"})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the application has answered; ``until`` is when it holds no more."""

    allow: bool
    until: float
    user: str | None = None
    tenant: str | None = None
    grants: tuple[Grant, ...] | None = None
    id: str | None = None


_Answers = OwnedCache[bytes, tuple[_Answer, float]]
"""Answers by a hash of their question, each with the time of it."""


class _Room:
    """The connections of one event, and how many questions have one or wait for it."""

    def __init__(self) -> None:
        self.asked = 0
        self._free = asyncio.Semaphore(AT_A_TIME)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Wait for a connection, which is given back afterwards.

        Raises:
            TimeoutError: none was free within `WAIT_SECONDS`.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()


def secret_of(text: str, where: str) -> bytes:
    """The secret that questions are signed with, from its text in the variable ``where``.

    Raises:
        ConfigError: it is not one.
    """
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(_PREFIX) or not 24 <= len(secret) <= 64:
        raise ConfigError(
            f"set the environment variable {where} to the secret of the webhook: {_PREFIX} and 24 "
            f'to 64 bytes in base64, as from: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return secret


class Webhook(Hooks):
    """One application, asked at ``url`` for the events ``on``; ``seconds`` is how long it may take.

    ``clock`` counts seconds since 1970.
    """

    def __init__(
        self,
        url: str,
        secret: bytes,
        rules: Rules,
        *,
        on: Iterable[Event] = EVENTS,
        seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
        remembered: int = REMEMBERED,
    ) -> None:
        self._url = url
        self._secret = secret
        self._rules = rules
        self._on = frozenset(on)
        self._seconds = seconds
        self._clock = clock
        self._rooms = {event: _Room() for event in EVENTS}
        self._turns = Turns()
        self._about_tokens = _Answers(remembered, remembered)
        self._about_subjects = _Answers(remembered, OF_ONE)
        self._asking: dict[bytes, asyncio.Task[_Answer]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._failing = False

    def __len__(self) -> int:
        """Answers that are remembered now."""
        return len(self._about_tokens) + len(self._about_subjects)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether it says who presents a token."""
        return "connect" in self._on

    async def close(self) -> None:
        """End the questions that are still asked."""
        self._closed = True
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)
        if self._session is not None:
            await self._session.close()

    async def principal(self, token: str, admit: Admit = always) -> Principal:
        """Who presents a token; ``admit`` is called before the application is asked.

        Raises:
            RateLimited: as ``admit``.
            Unauthorized: ``invalid_token``: the application does not let them in.
            Unavailable: ``webhook_unavailable``.
        """
        if len(token) > TOKEN_BYTES:
            raise Unauthorized(f"a token has at most {TOKEN_BYTES} bytes", code="invalid_token")
        question = {"event": "connect", "token": token}
        answer = await self._answer(question, "", self._about_tokens, admit)
        shown = answer.id or hashlib.sha256(token.encode()).hexdigest()[:32]
        return self._principal(answer, f"{_OWN}{shown}")

    async def refresh(self, by: Principal) -> Principal:
        """Who goes on as the principal.

        Raises:
            Unauthorized, Unavailable: as `principal`.
        """
        if "refresh" not in self._on or by.credential is None:
            return by
        # Not refused: the hub asks it for all connections of a credential together, and about so
        # many credentials of a user at a time (`hub.hub`). Whoever is refused could not come back.
        question = {"event": "refresh", **_identity(by)}
        answer = await self._answer(question, _owner(by), self._about_subjects)
        if answer.user is None and answer.tenant is None:
            answer = replace(answer, user=by.user, tenant=by.tenant)
        return self._principal(answer, by.credential)

    async def subscribe(self, by: Principal, stream: str) -> None:
        """Return if a principal may follow a stream.

        Raises:
            Forbidden, Unauthorized: it may not; the latter if it has shown no credential.
            RateLimited: too much about it is asked already.
            Unavailable: ``webhook_unavailable``.
        """
        await self._check("subscribe", by, stream=stream)

    async def generate(
        self, by: Principal, stream: str | None, upstream: str, model: str | None
    ) -> None:
        """Return if a principal may generate.

        Raises:
            Forbidden, Unauthorized, RateLimited, Unavailable: as `subscribe`.
        """
        await self._check("generate", by, stream=stream, upstream=upstream, model=model)

    async def _check(self, event: Event, by: Principal, **more: str | None) -> None:
        if event not in self._on:
            return
        owner = _owner(by)
        asked = {"event": event, **_identity(by), **more}
        take = partial(self._turns.take, f"{event} {owner}")
        answer = await self._answer(asked, owner, self._about_subjects, take)
        if answer.allow:
            return
        if by.credential is None and by.subject is None:
            raise Unauthorized("this needs a credential")
        raise Forbidden("your application does not allow this", code="not_permitted")

    def _principal(self, answer: _Answer, credential: str) -> Principal:
        if not answer.allow:
            raise Unauthorized("your application does not accept this token", code="invalid_token")
        one = Identity(answer.user, answer.tenant)
        lasts = "refresh" in self._on
        return Principal(
            answer.user,
            answer.tenant,
            grants=self._rules.grants(one) if answer.grants is None else filled(answer.grants, one),
            # Who cannot be refreshed has to come back.
            expires=None if lasts else answer.until,
            refresh=answer.until if lasts else None,
            credential=credential,
        )

    async def _answer(
        self, question: Mapping[str, Any], owner: str, answers: _Answers, admit: Admit = always
    ) -> _Answer:
        """The answer to a question about ``owner``, from the application or from memory.

        Raises:
            RateLimited: as ``admit``.
            Unavailable: ``webhook_unavailable``.
        """
        body = orjson.dumps(question, option=orjson.OPT_SORT_KEYS)
        # By a hash: how long that takes tells nothing about tokens that hold.
        name = hashlib.sha256(body).digest()
        now = self._clock()
        if (kept := answers.get(name)) is not None:
            answer, since = kept
            if since <= now < answer.until:  # a clock may be set back
                return answer
            answers.pop(name)
        asking = self._asking.get(name)
        if asking is None:
            event = question["event"]
            room = self._rooms[event]
            if self._closed or room.asked >= WAITING:
                raise _unavailable()
            answered = admit()
            room.asked += 1
            # Whoever asks first may leave; the others still wait for the answer.
            asking = asyncio.create_task(self._ask(event, body), name="webhook")
            self._asking[name] = asking

            def done(task: asyncio.Task[_Answer]) -> None:
                del self._asking[name]
                room.asked -= 1
                answered()
                # Nobody may be left to see an exception.
                if not task.cancelled() and task.exception() is None:
                    answer, now = task.result(), self._clock()
                    if now < answer.until:
                        answers.put(owner, name, (answer, now))

            asking.add_done_callback(done)
        await asyncio.wait((asking,))
        if asking.cancelled() or asking.exception() is not None:
            raise _unavailable()
        return asking.result()

    async def _ask(self, event: Event, body: bytes) -> _Answer:
        try:
            async with self._rooms[event].connection():
                answer = self._read(event, await self._post(body))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if not self._failing:
                log.warning("the webhook cannot be asked, and lets nobody in: %s", _shown(error))
            self._failing = True
            raise
        if self._failing:
            log.warning("the webhook answers again")
        self._failing = False
        return answer

    async def _post(self, body: bytes) -> Any:
        if self._session is None:
            # Without cookies: no user's question affects another's. Rooms bound the connections.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        async with self._session.post(
            self._url,
            data=body,
            headers=self._signed(body),
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            allow_redirects=False,
        ) as found:
            if found.status != 200:
                raise ValueError(f"the answer has the status {found.status}")
            held = bytearray()  # aiohttp unpacks what is compressed piece by piece
            async for piece in found.content.iter_chunked(16_384):
                held += piece
                if len(held) > ANSWER_BYTES:
                    raise ValueError(f"the answer has more than {ANSWER_BYTES} bytes")
        return orjson.loads(bytes(held))

    def _signed(self, body: bytes) -> dict[str, str]:
        id_, at = f"msg_{secrets.token_hex(16)}", str(int(self._clock()))
        signature = hmac.digest(
            self._secret, b".".join((id_.encode(), at.encode(), body)), "sha256"
        )
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }

    def _read(self, event: Event, held: Any) -> _Answer:
        """An answer from its JSON.

        Raises:
            ValueError: it has another form; what is not known here may be meant as a limit.
        """
        if not isinstance(held, dict) or not held.keys() <= _FIELDS:
            raise ValueError("the answer is not an object with the fields that this hub knows")
        allow, ttl = held.get("allow"), held.get("ttl", 0)
        if not isinstance(allow, bool):
            raise ValueError('"allow" of the answer is not true or false')
        identifies = event in ("connect", "refresh")
        if not isinstance(ttl, int | float) or ttl is True or not 0 <= ttl <= LONGEST:
            raise ValueError(f'"ttl" of the answer is not a number from 0 to {LONGEST:.0f}')
        if identifies and allow and ttl < 1:
            raise ValueError('"ttl" of an answer that says who somebody is must be 1 or more')
        if not identifies and not held.keys() <= {"allow", "ttl"}:
            raise ValueError(f'an answer to "{event}" has only "allow" and "ttl"')
        grants = held.get("grants")
        return _Answer(
            allow,
            self._clock() + ttl,
            _text(held, "user"),
            _text(held, "tenant"),
            grants=None if grants is None else read_grants(grants),
            id=_text(held, "id"),
        )


def _owner(by: Principal) -> str:
    """By whom questions are counted and answers remembered."""
    return by.counted_as or ""


def _identity(by: Principal) -> dict[str, str | None]:
    """How a principal is named to the application."""
    shown = None if by.credential is None else by.credential.removeprefix(_OWN)
    return {"user": by.user, "tenant": by.tenant, "id": shown}


def _text(held: Mapping[str, Any], field: str) -> str | None:
    value = held.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not is_user(value):
        raise ValueError(
            f'"{field}" of the answer is not one line of 1 to {USER_LENGTH} characters'
        )
    return value


def _unavailable() -> Unavailable:
    return Unavailable(
        "the application that decides on this gives no answer just now: try again",
        code="webhook_unavailable",
    )


def _shown(error: BaseException) -> str:
    """What went wrong, for the log, in one line."""
    said = str(error)
    return said if said and said.isprintable() else type(error).__name__

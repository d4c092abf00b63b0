"""Tickets: ``st_…``, for clients that can send a credential only in a URL, such as an EventSource.

A ticket stands for another credential and allows less: to read one stream, until a time. It is
that credential, sealed with a key of the hub (AES-GCM, RFC 5116), so nothing is stored for it, and
it is checked anew each time: what its principal loses, the ticket loses, too. API keys, sessions
and share links are in it by their ids, because whoever has both a log with tickets and a copy of
the store could open them; tokens, which live shorter, as they are.

The key is in the store, among the credentials. So tickets survive a restart.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.domain.errors import Conflict, RequestError, Unauthorized
from hub.stores import Credential, Credentials

__all__ = ["Of", "Ticket", "Tickets"]

KIND: Final = "secret"
"""The kind of credential that a secret of the hub itself is: its ``grants`` hold it."""
ID: Final = "tickets"

TOKEN_LENGTH: Final = 4096
"""The longest token that a ticket is made of: it has to go into a URL."""

NONCE_BYTES: Final = 12

Of = Literal["key", "session", "share", "token"]
"""What a ticket stands for: an API key, a session or a share link, by its id, or a token."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is in a ticket; ``expires`` is in seconds since 1970."""

    stream: str
    expires: float
    of: Of
    name: str


class Tickets:
    """Makes and opens the tickets of a hub; ``clock`` counts seconds since 1970."""

    def __init__(self, credentials: Credentials, *, clock: Callable[[], float] = time.time) -> None:
        self._credentials = credentials
        self._clock = clock
        self._cipher: AESGCM | None = None

    async def make(self, ticket: Ticket) -> str:
        """The text of a ticket.

        Raises:
            RequestError: ``token_too_long``.
            StoreError: the key cannot be read, or not be stored.
        """
        if len(ticket.name) > TOKEN_LENGTH:
            raise RequestError(
                f"your token has more than {TOKEN_LENGTH} characters, too many for a URL: send it "
                "in a header",
                code="token_too_long",
            )
        held = orjson.dumps([ticket.stream, ticket.expires, ticket.of, ticket.name])
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + (await self._get_cipher()).encrypt(nonce, held, None)
        return "st_" + urlsafe_b64encode(sealed).rstrip(b"=").decode()

    async def open(self, text: str) -> Ticket:
        """What is in a ticket, if it still holds.

        Raises:
            Unauthorized: ``invalid_ticket``: this hub did not make it; ``token_expired``: it has
                expired.
            StoreError: the key cannot be read, or not be stored.
        """
        cipher = await self._get_cipher()
        coded = text.removeprefix("st_")
        try:
            sealed = urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
            held = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except (ValueError, InvalidTag):
            raise Unauthorized(
                "this is not a ticket of this hub: get one with POST /v1/tickets",
                code="invalid_ticket",
            ) from None
        ticket = _read(orjson.loads(held))
        if ticket is None:
            raise Unauthorized("this ticket is from another version", code="invalid_ticket")
        if ticket.expires <= self._clock():
            raise Unauthorized("this ticket has expired: get a new one", code="token_expired")
        return ticket

    async def _get_cipher(self) -> AESGCM:
        if self._cipher is None:
            row = await self._credentials.find(KIND, ID) or await self._begin()
            self._cipher = AESGCM(bytes.fromhex(orjson.loads(row.grants or "")))
        return self._cipher

    async def _begin(self) -> Credential:
        """Store a new key, unless somebody else has just done so."""
        secret = secrets.token_bytes(32)
        kept = orjson.dumps(secret.hex()).decode()
        digest = hashlib.sha256(secret).digest()
        row = Credential(KIND, ID, digest, grants=kept, created=self._clock())
        try:
            await self._credentials.add(row)
        except Conflict:
            return await self._credentials.find(KIND, ID) or row
        return row


def _read(held: Any) -> Ticket | None:
    match held:
        case [
            str(stream),
            int() | float() as expires,
            ("key" | "session" | "share" | "token") as of,
            str(name),
        ]:
            return Ticket(stream, float(expires), of, name)
    return None

"""In whose name clients write: the author of a message is its principal's user.

A principal may write messages of the role ``user``. Other roles, and pieces of an answer, speak for
the assistant or the application, and need the permission ``speak``. Without authentication
everybody may write in any name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from hub.domain.errors import Forbidden
from hub.domain.events import Event, Message, Other, Queued
from hub.domain.principal import Principal
from hub.domain.records import Body
from hub.domain.stream_settings import StreamSettings
from hub.streams.write_permissions import GENERATION_EVENTS, object_of

__all__ = ["author_of", "authored", "authored_messages"]


def authored(
    settings: StreamSettings, bodies: Sequence[Body], by: Principal, stream: str
) -> Sequence[Body]:
    """Records as a principal may write them; messages without an author get one.

    Raises:
        Forbidden: ``author_not_permitted``.
    """
    if by.scope is None or not settings.is_json:
        return bodies
    speaks = by.may("speak", stream)
    return [_authored(body, event, by, speaks=speaks) for body, event in bodies]


def authored_messages(messages: Iterable[Message], by: Principal) -> tuple[Message, ...]:
    """Messages that a chat protocol has read from a client's conversation.

    The results of tools that ran at the client are among them, and need no permission of their own.

    Raises:
        Forbidden: ``author_not_permitted``.
    """
    if by.scope is None:
        return tuple(messages)
    found = []
    for message in messages:
        if message.role not in ("user", "tool"):
            raise _foreign_role()
        found.append(replace(message, author=author_of(message.author, by)))
    return tuple(found)


def author_of(given: Any, by: Principal) -> str | None:
    """The author of a principal's message.

    What is no text is refused, too: a reader may show ``["ann"]`` as ``ann``.

    Raises:
        Forbidden: ``author_not_permitted``: it names somebody else.
    """
    if by.scope is None or given == by.user:
        allowed: str | None = given
        return allowed
    if given is None:
        return by.user
    raise Forbidden(
        "your credential does not allow this author: leave it out",
        code="author_not_permitted",
        param="author",
    )


def _authored(body: bytes, event: Event | None, by: Principal, *, speaks: bool) -> Body:
    role, author = _role_and_author(body, event)
    if role is None:
        return body, event
    if role != "user" and not speaks:
        raise _foreign_role()
    right = author_of(author, by)
    if not isinstance(event, Message) or right == event.author:
        return body, event
    # The rest stays as it was written; of two members with a name the last one counts.
    whole = b'%b,"author":%b}' % (body.rstrip()[:-1], orjson.dumps(right))
    return whole, replace(event, author=right)


def _role_and_author(body: bytes, event: Event | None) -> tuple[str | None, Any]:
    """The role that a record speaks in, and its author; no role if it is nothing that is said.

    Also of an object with the type of an event that is not valid as one, as readers may be less
    strict.
    """
    if isinstance(event, Message):
        return event.role, event.author
    if event is not None and not isinstance(event, Other):
        return "assistant", event.author if isinstance(event, Queued) else None
    found = object_of(body) if event is None else event.object
    kind = found.get("type")
    if kind == "message":
        return str(found.get("role")), found.get("author")
    if not isinstance(kind, str) or kind not in GENERATION_EVENTS:
        return None, None
    return "assistant", found.get("author") if kind == "queued" else None


def _foreign_role() -> Forbidden:
    return Forbidden(
        'your credential only allows messages of the role "user"',
        code="author_not_permitted",
        param="role",
    )

"""What can be allowed, and to whom: permissions, patterns of stream names, grants.

A *grant* allows some permissions on the streams that a pattern matches::

    chat/{user}/**     read append generate cancel

A pattern is compared segment by segment: ``*`` stands for one segment, ``**`` for one or more,
at the end only. ``{user}``, ``{tenant}`` and ``{key}`` stand for one segment each, taken from the
principal. None of them can be a part of a segment. Whatever a user is called, the name is
filled in as one literal segment and never read as a pattern.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from hub.domain.stream_names import LISTS, RESERVED, is_name

__all__ = [
    "ALL",
    "PERMISSIONS",
    "Grant",
    "Permission",
    "StreamPattern",
    "segment",
]

Permission = Literal[
    "read",
    "append",
    "generate",
    "cancel",
    "fork",
    "close",
    "delete",
    "presence",
    "list",
    "share",
    "speak",
    "admin",
]
"""What can be allowed. A fork needs ``read`` and ``fork`` on its source, and ``append`` on the
stream that it begins. ``speak`` is to write messages in another role than ``user``; ``share`` is to
make links that others may read by; ``admin`` concerns the hub, not a stream."""

PERMISSIONS: Final[frozenset[Permission]] = frozenset(get_args(Permission))

VARIABLES: Final = ("{user}", "{tenant}", "{key}")

ONE: Final = "*"
REST: Final = "**"

SEGMENT_LENGTH: Final = 100
"""The longest name that is a segment as it is; a hash keeps a stream's name short enough."""


_ANY: Final = (REST,)


@dataclass(frozen=True, slots=True)
class StreamPattern:
    """A pattern of stream names, as its segments."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> StreamPattern:
        """Read a pattern from its text.

        Raises:
            ValueError: it is not a pattern; the message says why.
        """
        segments = tuple(text.split("/"))
        for place, one in enumerate(segments, start=1):
            if one == REST:
                if place < len(segments):
                    raise ValueError('"**" can only be the last segment')
            elif one != ONE and one not in VARIABLES and not is_name(one):
                raise ValueError(
                    f'"{one}" cannot be a segment of a pattern: use letters, digits and '
                    f"._~:@+-, or one of *, **, {', '.join(VARIABLES)} as the whole segment"
                )
        return cls(segments)

    @classmethod
    def literal(cls, name: str) -> StreamPattern:
        """The pattern that only matches one name."""
        return cls(tuple(name.split("/")))

    def fill(self, values: Mapping[str, str | None]) -> StreamPattern | None:
        """The pattern for one principal; ``None`` if a variable of it has no value."""
        filled = []
        for one in self.segments:
            if one not in VARIABLES:
                filled.append(one)
            elif (value := values.get(one[1:-1])) is not None:
                filled.append(segment(value))
            else:
                return None
        return StreamPattern(tuple(filled))

    @property
    def personal(self) -> bool:
        """Whether it depends on the user's name and not on its tenant."""
        return "{user}" in self.segments and "{tenant}" not in self.segments

    @property
    def matches_new(self) -> bool:
        """Whether it matches the name that the hub gives to a new stream: one segment, any text."""
        return self.segments in (_ANY, (ONE,))

    @property
    def beginning(self) -> str:
        """How all names begin that it matches."""
        plain: list[str] = []
        for one in self.segments:
            if one in (ONE, REST):
                return "".join(f"{part}/" for part in plain)
            plain.append(one)
        return "/".join(plain)

    def matches(self, name: str) -> bool:
        """Whether it matches a stream's name."""
        own = self.segments
        if own == _ANY:
            return True
        parts = name.split("/")
        if own[-1] == REST:
            if len(parts) < len(own):
                return False
            own = own[:-1]
        elif len(parts) != len(own):
            return False
        return all(one in (ONE, part) for one, part in zip(own, parts, strict=False))

    def __str__(self) -> str:
        return "/".join(self.segments)


def segment(value: str) -> str:
    """A user's name as one segment of a stream's name; hashed if it cannot be one as it is.

    Hashes begin with ``~``, and so does no name that is used as it is: nobody can call themselves
    what somebody else's name is hashed to.
    """
    plain = is_name(value) and "/" not in value and not value.startswith("~")
    if plain and len(value) <= SEGMENT_LENGTH and value not in (RESERVED, LISTS):
        return value
    return "~" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:32]


ANYWHERE: Final = StreamPattern(_ANY)


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions on the streams that a pattern matches.

    ``upstreams`` and ``models`` limit what may be asked for (``None``: any), ``max_tokens`` how
    long an answer may be. One that is ``personal`` was filled in with a user's name and not with
    its tenant, so it is not for streams of a user of another tenant.
    """

    can: frozenset[Permission]
    match: StreamPattern = ANYWHERE
    upstreams: frozenset[str] | None = None
    models: frozenset[str] | None = None
    max_tokens: int | None = None
    personal: bool = False

    def allows(self, permission: Permission, stream: str | None) -> bool:
        """Whether it allows this on a stream; with ``None``, on any stream at all."""
        return permission in self.can and (stream is None or self.match.matches(stream))

    def allows_new(self, permission: Permission) -> bool:
        """Whether it allows this on a new stream that the hub names."""
        return permission in self.can and self.match.matches_new

    def allows_model(self, upstream: str, model: str | None) -> bool:
        """Whether it allows this model of an upstream; a model without a name needs any."""
        if self.upstreams is not None and upstream not in self.upstreams:
            return False
        return self.models is None or model in self.models


ALL: Final = (Grant(PERMISSIONS),)
"""Everything, everywhere."""

"""To follow one more stream over a connection that carries many, and to be told where it begins."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hub.connections.connection import Connection
from hub.domain.errors import HubError, StreamNotFound
from hub.frames.messages import error_message
from hub.hub import Hub, parse_from

__all__ = ["SubscriptionAsked", "subscribe"]


class SubscriptionAsked(BaseModel):
    """A stream to follow, from ``start``, ``now`` or a position; with ``wait`` it need not exist
    yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    start: Annotated[str, Field(alias="from")] = "now"
    wait: bool = False


async def subscribe(
    hub: Hub, connection: Connection, asked: SubscriptionAsked, **named: str | int
) -> None:
    """Make a connection follow a stream, after an `ok` with these and the stream's fields.

    Raises:
        PositionError: as `hub.hub.parse_from`.
        Conflict, LimitExceeded: as `Connection.admit`.
        Conflict: ``not_json``: the stream holds no events.
        InvalidName, StreamNotFound, Gone, Unauthorized: as `StreamAccess.open` and `check_wait`.
    """
    name = asked.stream
    start = parse_from(asked.start)
    connection.admit(name)
    ok = {"type": "ok", **named, "stream": name}
    try:
        stream = await hub.streams.open(name, by=connection.by)
    except StreamNotFound:
        if not asked.wait:
            raise
        await hub.streams.check_wait(name, by=connection.by)
        await connection.tell({**ok, "position": None, "tail": None})
        # The stream may have begun while the reply had to wait.
        try:
            await hub.streams.expect(connection, name, start, by=connection.by)
        except HubError as error:
            # Not as a second reply to the command.
            await connection.tell(error_message(error, stream=name))
        return
    stream.expect_events()
    place = stream.place(start)
    # The reply comes before the first events, and the place does not move meanwhile.
    position, tail = str(stream.position_at(place.offset)), str(stream.position)
    await connection.tell({**ok, "position": position, "tail": tail})
    if not hub.streams.reads(stream, by=connection.by):
        # Its owner, or what the principal may do, changed while the reply had to wait.
        await connection.tell(error_message(StreamNotFound.named(name), stream=name))
        return
    connection.subscribe(stream, place)

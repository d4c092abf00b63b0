"""``streamhub publish``: what comes on standard input goes into a stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Annotated, Final, NoReturn

import orjson
import typer

from hub.cli.output import Progress
from hub.cli.remote import DEFAULT_URL, Url
from hub.cli.standard_input import read_pieces
from hub.client.socket import Socket
from hub.domain.errors import FramingError, HubError, RequestError, TooLarge
from hub.domain.events import Delta, Message, decode, encode
from hub.framing import DEFAULT_LIMIT, NDJSON, Chunk, Framing, Text

__all__ = ["publish"]

# Events on their way that the hub has not confirmed: enough to keep a slow line busy.
WINDOW: Final = 64


def publish(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Begun if there is none.")],
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Lines are events, in JSON.")] = False,
    chunks: Annotated[bool, typer.Option("--chunks", help="No lines: text as it is read.")] = False,
) -> None:
    """Append standard input to a stream, each line as a message of a user.

    With --json each line is an event; those of a generation ("started", "delta", "finished" and
    so on, with a "generation") the hub takes only with streams.foreign_generations = true. With
    --chunks what each read brings is added to the text of an answer.
    """
    if as_json and chunks:
        raise typer.BadParameter("give --json or --chunks, not both")
    how = _Given() if as_json else _Typed() if chunks else _Said()
    asyncio.run(_publish(url, stream, how))


class _Said:
    """A line is what a user said."""

    def __init__(self) -> None:
        self.framing: Framing = NDJSON()

    def event(self, chunk: Chunk) -> bytes:
        return encode(Message("user", chunk.data.decode(errors="replace")))


class _Typed:
    """Each read is more text of an answer."""

    def __init__(self) -> None:
        self.framing: Framing = Text()

    def event(self, chunk: Chunk) -> bytes:
        return encode(Delta(text=chunk.data.decode()))


class _Given:
    """A line is an event; the lines are counted without the blank ones."""

    def __init__(self) -> None:
        self.framing: Framing = NDJSON()
        self._line = 0

    def event(self, chunk: Chunk) -> bytes:
        self._line += 1
        try:
            decode(chunk.data)
            return chunk.data  # as it was written: the hub says what is wrong with the rest
        except RequestError as error:
            raise RequestError(f"event {self._line}: {error.message}", code=error.code) from None


_How = _Said | _Typed | _Given


async def _publish(url: str, stream: str, how: _How) -> None:
    with Progress() as progress:
        async with Socket(url) as socket:
            sending = _Sending(socket, stream, how, progress)
            try:
                await sending.run()
            except HubError as error:
                raise HubError(f"{error.message}; {sending.told()}", code=error.code) from None


class _Sending:
    """Events go out without waiting for each other; confirmations come back in order."""

    def __init__(self, socket: Socket, stream: str, how: _How, progress: Progress) -> None:
        self._socket = socket
        self._stream = stream
        self._how = how
        self._progress = progress
        self._typed = sys.stdin.isatty()
        self._window = asyncio.Semaphore(WINDOW)
        self._sent = 0
        self._confirmed = 0

    async def run(self) -> None:
        """Send all of standard input; back when the hub has confirmed all of it.

        Raises:
            HubError: the hub refuses an event or goes away, or a line cannot be sent.
        """
        send, confirm = asyncio.create_task(self._send()), asyncio.create_task(self._confirm())
        try:
            await asyncio.wait({send, confirm}, return_when=asyncio.FIRST_COMPLETED)
            if confirm.done():
                confirm.result()  # it ends only by an error
            send.result()
        finally:
            send.cancel()
            confirm.cancel()
            await asyncio.wait({send, confirm})

    def told(self) -> str:
        """What became of the events so far."""
        said = f"published until then: {self._confirmed}"
        unsure = self._sent - self._confirmed
        return f"{said}, perhaps up to {unsure} more" if unsure else said

    async def _send(self) -> None:
        framing = self._how.framing
        try:
            async for piece in read_pieces():
                await self._append(framing.feed(piece))
            await self._append(framing.flush())
        except FramingError:
            await self._settle()
            raise TooLarge(f"a line may have at most {DEFAULT_LIMIT} bytes") from None
        except RequestError:
            await self._settle()
            raise
        await self._settle()

    async def _settle(self) -> None:
        """Wait until nothing is on its way: when the whole window is free again."""
        for _ in range(WINDOW):
            await self._window.acquire()

    async def _append(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            event = self._how.event(chunk)
            await self._window.acquire()
            self._sent += 1
            await self._socket.send_text(
                b'{"type":"append","id":%d,"stream":%b,"event":%b}'
                % (self._sent, orjson.dumps(self._stream), event)
            )

    async def _confirm(self) -> NoReturn:
        while True:
            reply = await self._socket.receive()
            if reply.get("type") == "error":
                raise HubError(str(reply.get("message")), code=str(reply.get("code")))
            if reply.get("type") == "ok":
                self._confirmed += 1
                self._window.release()
                if not self._typed:  # it would get in the way of the typing
                    self._progress.show(f"{self._confirmed} events published")

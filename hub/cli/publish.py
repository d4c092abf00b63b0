"""``streamhub publish``: append standard input to a stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Final, NoReturn

import orjson
import typer

from hub.cli.output import Progress
from hub.cli.remote import DEFAULT_URL, TokenFile, Url, credential
from hub.cli.standard_input import read_pieces
from hub.client.errors import replied
from hub.client.socket import Socket
from hub.client.tokens import Token
from hub.domain.errors import FramingError, HubError, RequestError, TooLarge
from hub.domain.events import Delta, Message, decode, encode
from hub.framing import DEFAULT_LIMIT, NDJSON, Chunk, Framing, Text

__all__ = ["publish"]

# Unconfirmed events: enough to keep a slow connection busy.
WINDOW: Final = 64


def publish(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Created if it does not exist.")],
    url: Url = DEFAULT_URL,
    token_file: TokenFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each line is an event in JSON.")] = False,
    chunks: Annotated[
        bool, typer.Option("--chunks", help="Text as it is read, without lines.")
    ] = False,
) -> None:
    """Append standard input to a stream, each line as a user's message.

    With --json each line is an event. Events with a "generation" ("started", "delta", "finished"
    and so on) need streams.foreign_generations = true in the hub's configuration. With --chunks
    the text of each read is added to an answer.
    """
    if as_json and chunks:
        raise typer.BadParameter("give --json or --chunks, not both")
    framing: Framing = Text() if chunks else NDJSON()
    encode_chunk = _event if as_json else _delta if chunks else _message
    given = credential(token_file)
    with given.explained():
        asyncio.run(_publish(url, given.token, stream, framing, encode_chunk))


def _message(chunk: Chunk, number: int) -> bytes:
    return encode(Message("user", chunk.data.decode(errors="replace")))


def _delta(chunk: Chunk, number: int) -> bytes:
    return encode(Delta(text=chunk.data.decode()))


def _event(chunk: Chunk, number: int) -> bytes:
    try:
        decode(chunk.data)
    except RequestError as error:
        raise RequestError(f"event {number}: {error.message}", code=error.code) from None
    return chunk.data  # unchanged; the hub checks the rest


_Encode = Callable[[Chunk, int], bytes]
"""Makes an event from a chunk, whose number is for errors."""


async def _publish(
    url: str, token: Token | None, stream: str, framing: Framing, encode_chunk: _Encode
) -> None:
    with Progress() as progress:
        async with Socket(url, token) as socket:
            sending = _Sending(socket, stream, framing, encode_chunk, progress)
            try:
                await sending.run()
            except HubError as error:
                error.message = f"{error.message}; {sending.summary()}"
                raise


class _Sending:
    """Sends events without waiting for each confirmation; these arrive in order."""

    def __init__(
        self,
        socket: Socket,
        stream: str,
        framing: Framing,
        encode_chunk: _Encode,
        progress: Progress,
    ) -> None:
        self._socket = socket
        self._stream = stream
        self._framing = framing
        self._encode = encode_chunk
        self._progress = progress
        self._interactive = sys.stdin.isatty()
        self._window = asyncio.Semaphore(WINDOW)
        self._sent = 0
        self._confirmed = 0

    async def run(self) -> None:
        """Send all of standard input and wait until the hub has confirmed all of it.

        Raises:
            HubError: the hub refuses an event or goes away, or a line cannot be sent.
        """
        send, confirm = asyncio.create_task(self._send()), asyncio.create_task(self._confirm())
        try:
            await asyncio.wait({send, confirm}, return_when=asyncio.FIRST_COMPLETED)
            if confirm.done():
                confirm.result()  # it ends only with an error
            send.result()
        finally:
            send.cancel()
            confirm.cancel()
            await asyncio.wait({send, confirm})

    def summary(self) -> str:
        """How many events have been published so far."""
        confirmed = f"published until then: {self._confirmed}"
        unsure = self._sent - self._confirmed
        return f"{confirmed}, perhaps up to {unsure} more" if unsure else confirmed

    async def _send(self) -> None:
        error: HubError | None = None
        try:
            async for piece in read_pieces():
                await self._append(self._framing.feed(piece))
            await self._append(self._framing.flush())
        except FramingError:
            error = TooLarge(f"a line may have at most {DEFAULT_LIMIT} bytes")
        except RequestError as refused:
            error = refused
        for _ in range(WINDOW):  # wait until all that was sent is confirmed
            await self._window.acquire()
        if error is not None:
            raise error

    async def _append(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            event = self._encode(chunk, self._sent + 1)
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
                raise replied(reply)
            if reply.get("type") == "ok":
                self._confirmed += 1
                self._window.release()
                if not self._interactive:  # the line would disturb the typing
                    self._progress.show(f"{self._confirmed} events published")

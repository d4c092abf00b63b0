"""What the command line says: answers and data on standard output, the rest beside it.

What a model or a stranger wrote is untrusted: on a terminal its control characters are left
out, because a terminal obeys them. A pipe or a file gets the text as it is.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

if TYPE_CHECKING:
    from rich.status import Status

__all__ = [
    "Answer",
    "Progress",
    "ReaderGone",
    "hush",
    "say",
    "say_error",
    "say_reset",
    "while_read",
    "write",
    "write_bytes",
    "write_json",
    "write_others",
]

# C0 and C1 without the tab and the line feed, and the marks that turn text round.
_OBEYED: Final = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


class ReaderGone(Exception):
    """Nobody reads standard output any more."""


def write(text: str) -> None:
    """Write to standard output at once.

    Raises:
        ReaderGone: nobody reads it.
    """
    try:
        # Not by sys.stdout.write: a terminal or a pipe may have another encoding, and what
        # cannot be written in it must not end the answer.
        sys.stdout.write(text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        hush()
        raise ReaderGone from None


def write_others(text: str) -> None:
    """Write what a stranger may have written.

    Raises:
        ReaderGone: nobody reads it.
    """
    write(_tame(text, sys.stdout.isatty()))


def write_bytes(held: bytes) -> None:
    """Write a stranger's bytes as they are; on a terminal, what of them is text.

    Raises:
        ReaderGone: nobody reads it.
    """
    if sys.stdout.isatty():
        write_others(held.decode(errors="replace"))
        return
    try:
        sys.stdout.buffer.write(held)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        hush()
        raise ReaderGone from None


def write_json(held: Any) -> None:
    """Write a value as one line of JSON; bytes are JSON already.

    Raises:
        ReaderGone: nobody reads it.
    """
    encoded = held if isinstance(held, bytes) else orjson.dumps(held)
    write(f"{encoded.decode()}\n")


@asynccontextmanager
async def while_read() -> AsyncIterator[None]:
    """Leave the context when nobody reads standard output any more, also if nothing is written.

    A pipe tells (``| head -1``); a file or a terminal has no such end.

    Raises:
        ReaderGone: nobody reads it.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    output = sys.stdout.fileno()
    if task is None or not stat.S_ISFIFO(os.fstat(output).st_mode) or os.name == "nt":
        yield
        return
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(output)
        task.cancel()

    # The writing end of a pipe can be "read" only when its other end is closed.
    loop.add_reader(output, leave)
    try:
        yield
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:
            raise
        hush()
        raise ReaderGone from None
    finally:
        loop.remove_reader(output)


def hush() -> None:
    """Let what is still buffered for standard output go nowhere, without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """A line for the person, beside the output."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{_tame(line, sys.stderr.isatty())}\n")


def say_error(message: str, code: str) -> None:
    """An error, each line of its message as an error line."""
    for line in message.splitlines() or ["no more is known"]:
        say(f"error: {line} ({code})")


class Answer:
    """The text of replies as they come, and the thoughts before it, dim, on a terminal only.

    Leaving the context ends the line, wherever the text stopped.
    """

    def __init__(self) -> None:
        from rich.console import Console  # which most commands have no use for
        from rich.style import Style

        self._coloured = Console().color_system is not None
        self._dim = Style(dim=True)
        self._terminal = sys.stdout.isatty()
        self._before = ""  # what the last line is: "", "text" or "reasoning"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end()

    def event(self, event: object) -> None:
        """Show what an event adds to an answer; any other JSON value ends the line.

        Raises:
            ReaderGone: nobody reads standard output.
        """
        if isinstance(event, dict) and event.get("type") == "delta":
            self._show("text", event.get("text"))
            if self._terminal:
                self._show("reasoning", event.get("reasoning"))
        else:
            self.end()

    def end(self) -> None:
        """End the line, if one is begun."""
        if self._before:
            write("\n")
        self._before = ""

    def _show(self, kind: str, piece: object) -> None:
        if not isinstance(piece, str) or not piece:
            return
        if self._before not in ("", kind):
            write("\n\n")
        self._before = kind
        piece = _tame(piece, self._terminal)
        write(self._dim.render(piece) if kind == "reasoning" and self._coloured else piece)


def say_reset(answer: Answer) -> None:
    """Records that somebody may have seen were lost: never a silent hole."""
    answer.end()
    say("the hub has lost a part of the stream; some of it may come again")


class Progress:
    """One passing line on standard error, where that is a terminal; gone when it is left."""

    def __init__(self) -> None:
        from rich.console import Console  # which most commands have no use for

        self._console = Console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show this instead of what is there."""
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        self._status.update(text)

    def clear(self) -> None:
        """Show nothing, before something else is written."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _tame(text: str, terminal: bool) -> str:
    return text.translate(_OBEYED) if terminal else text

"""Output of the command line: answers and data on standard output, the rest on standard error.

What models and other users write is untrusted: on a terminal its control characters are left
out, because a terminal would obey them. Pipes and files get the text unchanged.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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

# C0 and C1 without tab and line feed, and the marks that change the direction of text.
_CONTROLS: Final = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


class ReaderGone(Exception):
    """Nobody reads standard output any more."""


def write(text: str) -> None:
    """Write to standard output at once.

    Raises:
        ReaderGone: nobody reads it.
    """
    # Characters that the output's encoding lacks must not end the answer.
    _write(text.encode(sys.stdout.encoding, "replace"))


def write_others(text: str) -> None:
    """Write untrusted text; raises as `write`."""
    write(_without_controls(text, sys.stdout.isatty()))


def write_bytes(data: bytes) -> None:
    """Write untrusted bytes unchanged, or on a terminal as text; raises as `write`."""
    if sys.stdout.isatty():
        write_others(data.decode(errors="replace"))
    else:
        _write(data)


def _write(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        hush()
        raise ReaderGone from None


def write_json(held: Any) -> None:
    """Write a value as one line of JSON; ``bytes`` are already encoded; raises as `write`."""
    encoded = held if isinstance(held, bytes) else orjson.dumps(held)
    write(f"{encoded.decode()}\n")


@asynccontextmanager
async def while_read() -> AsyncIterator[None]:
    """Leave the context when the reader of standard output goes away, even if nothing is written.

    Only a pipe has a reader (``| head -1``), not a file or a terminal.

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

    # The writing end of a pipe becomes readable when its other end is closed.
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
    """Discard what is still buffered for standard output, without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """Write a line to standard error."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{_without_controls(line, sys.stderr.isatty())}\n")


def say_error(message: str, code: str) -> None:
    """Write an error, each line of its message as an error line."""
    for line in message.splitlines() or ["unknown error"]:
        say(f"error: {line} ({code})")


class Answer:
    """Writes the text of answers as it comes, and on a terminal their reasoning, dimmed.

    Leaving the context ends the line.
    """

    def __init__(self) -> None:
        from rich.console import Console  # most commands do not need it
        from rich.style import Style

        self._coloured = Console().color_system is not None
        self._dim = Style(dim=True)
        self._terminal = sys.stdout.isatty()
        self._before = ""  # the kind of the last line: "", "text" or "reasoning"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def event(self, event: object) -> None:
        """Write what an event adds to an answer; any other JSON value ends the line.

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
        """End the line, if there is one."""
        if self._before:
            write("\n")
        self._before = ""

    def _show(self, kind: str, piece: object) -> None:
        if not isinstance(piece, str) or not piece:
            return
        if self._before not in ("", kind):
            write("\n\n")
        self._before = kind
        piece = _without_controls(piece, self._terminal)
        write(self._dim.render(piece) if kind == "reasoning" and self._coloured else piece)


def say_reset(answer: Answer) -> None:
    """Report that records were lost that may have been written already."""
    answer.end()
    say("the hub has lost part of the stream; some of it may come again")


class Progress:
    """A temporary line on standard error, if that is a terminal; removed on leaving the context."""

    def __init__(self) -> None:
        from rich.console import Console  # most commands do not need it

        self._console = Console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Replace the line."""
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        self._status.update(text)

    def clear(self) -> None:
        """Remove the line before something else is written."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _without_controls(text: str, terminal: bool) -> str:
    return text.translate(_CONTROLS) if terminal else text

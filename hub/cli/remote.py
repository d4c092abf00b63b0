"""What the commands that connect to a hub share.

The credential is no option of a command: other users of the machine can see a command line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from hub.cli.output import Progress
from hub.client import Hub
from hub.client.following import Heard, hear
from hub.client.tokens import Token
from hub.domain.errors import Forbidden, HubError, NotFound, RequestError, Unauthorized

__all__ = ["DEFAULT_URL", "Credential", "TokenFile", "Url", "credential", "shown"]

DEFAULT_URL: Final = "http://127.0.0.1:7000"
VARIABLE: Final = "STREAMHUB_TOKEN"
TOKEN_BYTES: Final = 64 * 1024

Url = Annotated[str, typer.Option("--url", help="The URL of the hub.")]

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help=f"A file with an API key or a token; by default ${VARIABLE} is the token.",
    ),
]


@dataclass(frozen=True, slots=True)
class Credential:
    """The token of a command, and what to call it in an error."""

    token: Token | None
    name: str

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add to a hub's refusals where the token is from, or how to give one."""
        try:
            yield
        except (Unauthorized, Forbidden, NotFound) as error:
            error.message = self._explained(error)
            raise

    def _explained(self, error: HubError) -> str:
        said = error.message
        if self.token is None:
            give = f"set {VARIABLE}, or give --token-file FILE"
            return f"the hub wants a token: {give}" if isinstance(error, Unauthorized) else said
        if isinstance(error, Unauthorized):
            return f"the hub refuses {self.name}: {said}"
        if isinstance(error, Forbidden):
            return f"{said}; it was asked with {self.name}"
        return f"{said}; or {self.name} may not read it"


def credential(file: Path | None) -> Credential:
    """The credential from a file or, without one, from the environment.

    Raises:
        RequestError: ``bad_token``: the file cannot be read, or holds no token.
    """
    if file is None:
        return Credential(os.environ.get(VARIABLE) or None, f"the token in {VARIABLE}")
    first = _read(file)

    async def read_again() -> str:
        return await asyncio.to_thread(_read, file)

    # What is piped in can be read only once. Other programs may replace the token in a file.
    return Credential(read_again if file.is_file() else first, f"the token in {file}")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            token = opened.read(TOKEN_BYTES).decode().strip()
    except OSError as error:
        said = f"cannot read the token in {file}: {error.strerror}"
        raise RequestError(said, code="bad_token") from None
    except UnicodeDecodeError:
        token = ""
    if not token:
        raise RequestError(f"there is no token in {file}", code="bad_token")
    return token


async def shown(
    hub: Hub, stream: str, start: str, progress: Progress
) -> AsyncGenerator[Heard, None]:
    """The events of a stream; ``progress`` shows the waits between connections.

    Raises:
        HubError: as `hub.client.following.hear`.
    """

    def waits(seconds: float) -> None:
        progress.show(f"the connection was lost; retrying in {seconds:.1f} s")

    async for heard in hear(hub.wire, stream, start, waits=waits):
        progress.clear()
        yield heard

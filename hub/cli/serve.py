"""``streamhub serve``: run a hub until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.config import ConfigFile, load
from hub.cli.output import say
from hub.cli.remote import DEFAULT_URL
from hub.http.log_format import LogFormatter

__all__ = ["serve"]


def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 for a free one.")] = None,
) -> None:
    """Run a hub until Ctrl-C or SIGTERM."""
    from hub.server.serve import serve as serve_app  # other commands do not need the whole hub

    lines = logging.StreamHandler()
    lines.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    loaded = load(config)
    given = {"host": host, "port": port}
    server = loaded.server.model_copy(update={k: v for k, v in given.items() if v is not None})
    loaded = loaded.model_copy(update={"server": server})
    _run(serve_app(loaded, announce=lambda where: say(_welcome(where))))


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        from uvloop import run
    except ImportError:  # not available on Windows
        asyncio.run(serving)
    else:
        run(serving)


def _welcome(where: str) -> str:
    """The first message; ``where`` is a URL, or ``unix:`` and a path."""
    if not where.startswith("http"):
        return f"Streamhub runs at {where} (Ctrl-C stops it)."
    # Browsers cannot open the address that stands for all of the machine's.
    where = where.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    command = _command()
    there = "" if where == DEFAULT_URL else f" --url {where}"
    return f"""\
Streamhub runs at {where} (Ctrl-C stops it). Try, each in a terminal of its own:

  {command} ask "Tell me a story" --stream first{there}
  {command} tail first{there}
  curl -N "{where}/v1/live/first?format=text"

or open {where}/ in a browser.
"""


def _command() -> str:
    """The command to type in another terminal in the same folder."""
    called = shutil.which(sys.argv[0])
    if called is None or shutil.which("streamhub") == called:
        return "streamhub"
    return os.path.relpath(called) if Path(called).is_relative_to(Path.cwd()) else called

"""``streamhub serve``: run a hub until it is told to stop."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.config import ConfigFile, load
from hub.cli.output import say
from hub.cli.remote import DEFAULT_URL
from hub.http.log_format import log_lines

__all__ = ["serve"]


def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 for a free one.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes (more than 1: experimental).")
    ] = None,
) -> None:
    """Run a hub until Ctrl-C or SIGTERM."""
    from hub.server.serve import run  # other commands do not need the whole hub
    from hub.server.serve import serve as serve_app

    log_lines()
    loaded = load(config)
    given = {"host": host, "port": port, "workers": workers}
    loaded = loaded.with_server({k: v for k, v in given.items() if v is not None})

    def announce(where: str) -> None:
        say(_welcome(where))

    if loaded.server.workers == 1:
        run(serve_app(loaded, announce=announce))
    else:
        from hub.server.workers import serve_workers

        run(serve_workers(loaded, announce=announce))


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

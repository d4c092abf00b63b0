"""The command ``streamhub``: run a hub, use it as a client, maintain its streams and keys.

Only answers and data go to standard output. Messages go to standard error; an error is one line
``error: message (code)``.

=====  =========================================================================
exit   meaning
=====  =========================================================================
0      done; for ``serve``, stopped by a signal
1      failed, for the reason in the error line; for ``doctor``, something is wrong
2      wrong usage: an unknown option, a missing argument
130    interrupted with Ctrl-C; ``ask`` has cancelled its generation
141    standard output was closed, as by ``| head``: not an error
=====  =========================================================================

Each command is a module, imported only when it is called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final, NoReturn

import typer

from hub.cli.output import ReaderGone, hush, say_error
from hub.domain.errors import HubError

__all__ = ["COMMANDS", "main"]

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
READER_GONE: Final = 141

# typer exports no other of the errors that it raises for a wrong command line.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]

COMMANDS: Final = (
    "serve",
    "ask",
    "tail",
    "publish",
    "streams",
    "token",
    "share",
    "doctor",
    "config",
)
"""Each is a module with a function of its name, or with its own commands in `app`."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamhub {version('streamhub')}")
        raise typer.Exit


def _streamhub(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Stream LLM answers live: one upstream read once, every chunk to every subscriber."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _app(called: str) -> typer.Typer:
    """The command line with the command that is called; without one, with all commands."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_streamhub)
    if called == "--version":
        return app
    for name in [called] if called in COMMANDS else COMMANDS:
        module = import_module(f"{__name__}.{name}")
        if isinstance(commands := getattr(module, "app", None), typer.Typer):
            app.add_typer(commands, name=name)
        else:
            app.command()(getattr(module, name))
    return app


def main() -> NoReturn:
    """Run the command line and exit; see the module for the exit codes."""
    sys.exit(_run())


def _run() -> int:
    try:
        app = _app(sys.argv[1] if len(sys.argv) > 1 else "")
        return int(app(prog_name="streamhub", standalone_mode=False) or 0)
    except _UsageError as error:
        say_error(_explained(error), "usage")
        return MISUSED
    except HubError as error:
        say_error(error.message, error.code)
        return FAILED
    except ReaderGone:
        return READER_GONE
    except OSError as error:
        say_error(error.strerror or str(error), "os_error")
        hush()
        return FAILED


def _explained(error: Any) -> str:
    message = str(error.format_message()).rstrip(".")
    hint = f"; see {error.ctx.command_path} --help" if error.ctx else ""
    return " ".join((message + hint).split())

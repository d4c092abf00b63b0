"""The command ``streamhub``: run a hub, ask it, follow it, feed it, look after its streams.

Answers and data go to standard output and nothing else does; what is said about them goes to
standard error, an error as one line ``error: message (code)``.

=====  =========================================================================
exit   means
=====  =========================================================================
0      done; for ``serve``, stopped as it was told to
1      it failed, and the error line says why; for ``doctor``, something is wrong
2      asked wrongly: an unknown option, a missing argument
130    interrupted with Ctrl-C; ``ask`` has cancelled its generation
141    whoever read the output went away, as after ``| head``: not an error
=====  =========================================================================

One file for each command, imported when it is the one that is called.
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

# typer exports only this one of the family of errors that a wrong command line raises.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]

COMMANDS: Final = ("serve", "ask", "tail", "publish", "streams", "doctor", "config")
"""Each is a module here, with a function of its name, or with commands of its own in `app`."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamhub {version('streamhub')}")
        raise typer.Exit


def _streamhub(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Stream LLM answers live: one upstream read once, every chunk to every subscriber."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _app(called: str) -> typer.Typer:
    """The command line, with the command that is called; with all of them to list or to look up."""
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
    """Run the command line of this process; see the top for how it exits."""
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

"""``streamhub serve``: why a hub does not start is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import Command, run

SERVE_MISTAKES = {
    "unknown key": (
        "[server]\n\nprot = 1",
        [],
        'error: config.toml:3: server.prot: unknown key; did you mean "port"? (config_invalid)\n',
    ),
    "no key": (
        '[upstreams.demo]\ndialect = "demo"\napi_key_env = "MY_MISSING_KEY"',
        ["--port", "0"],
        "error: set the environment variable MY_MISSING_KEY to the API key of the upstream "
        '"demo" (api_key_missing)\n',
    ),
    "no file": (
        "",
        ["--config", "none.toml"],
        "error: cannot read none.toml: No such file or directory (config_invalid)\n",
    ),
    "no such host": ("", ["--host", "host.invalid"], "(bad_host)\n"),
    "not an address of this machine": ("", ["--host", "192.0.2.1"], "(bad_host)\n"),
}


@pytest.mark.parametrize("name", SERVE_MISTAKES)
def test_serve_says_in_one_line_why_it_cannot(name: str, command: Command, here: Path) -> None:
    text, arguments, expected = SERVE_MISTAKES[name]
    (here / "config.toml").write_text(text)
    said = command("serve", *arguments)
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith(expected)
    assert said.err.count("\n") == 1


def test_a_port_in_use_is_named_by_the_real_command(url: str, tmp_path: Path) -> None:
    taken = url.rpartition(":")[2]
    said = run("serve", "--port", taken)
    assert (said.returncode, said.stdout) == (1, b"")
    assert said.stderr.startswith(f"error: port {taken} on 127.0.0.1 is in use".encode())
    assert said.stderr.endswith(b"(port_in_use)\n")
    assert said.stderr.count(b"\n") == 1

"""What tests of the command line share: one hub, and commands run in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.cli import main
from tests.support.processes import COMMAND, Command, Said, environ

CONFIG = """
[limits]
event_bytes = 262_144
[upstreams.demo]
dialect = "demo"
options = { pace = 100_000 }
[upstreams.slow]
dialect = "demo"
options = { pace = 200 }
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the hub runs: its store is there."""
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """Where a hub runs, started and stopped as a person does it."""
    (folder / "config.toml").write_text(CONFIG)
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], cwd=folder, stderr=subprocess.PIPE, env=environ()
    ) as serving:
        assert serving.stderr is not None
        line = serving.stderr.readline().decode()
        yield next(word for word in line.split() if word.startswith("http://"))
        serving.send_signal(signal.SIGTERM)
        said = serving.stderr.read().decode()
    assert serving.returncode == 0
    assert "Traceback" not in said


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and an environment without settings of ours."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("STREAMHUB_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def command(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run commands in this process, which is much cheaper than one for each."""
    standard_input = os.dup(0)

    def call(*arguments: str, given: bytes = b"") -> Said:
        given_file = here / "given"
        given_file.write_bytes(given)
        with given_file.open("rb") as opened:
            os.dup2(opened.fileno(), 0)
        monkeypatch.setattr(sys, "argv", ["streamhub", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        return Said(exited.value.code, *capfd.readouterr())

    yield call
    os.dup2(standard_input, 0)
    os.close(standard_input)

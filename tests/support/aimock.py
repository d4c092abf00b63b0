"""A real upstream that this project did not write: aimock, which speaks providers' formats.

::

    with aimock(reply("Tell me", "A long story", first=0.2, per_second=50)) as url:
        ...                                    # url + "/v1" is an OpenAI endpoint

It takes a second to start, so that a module's tests better share one.

It is an npm package, pinned in ``package-lock.json`` beside this file and installed at its
first use. Node is found as `web.node` finds it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.patience import PATIENCE
from web.node import find_node, install

__all__ = ["aimock", "reply"]

HERE: Final = Path(__file__).parents[1]
PACKAGE: Final = HERE / "node_modules" / "@copilotkit" / "aimock"
_LISTENING: Final = re.compile(r"listening on (http://\S+)\n")


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
    install(HERE)
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

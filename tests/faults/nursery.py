"""A process that has the hub imported and forks one at each line of its input.

To start a hub this way takes a twentieth of what a new interpreter needs, so that hundreds
of them can be killed in a test. Run as ``python -m tests.faults.nursery CONFIG``, with a
configuration in JSON; it answers each line with the number of the new process, and how the
one before ended (its exit code, or less than 0 for a signal). That one must be dead, or dying.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from typing import NoReturn

import uvloop

from hub.config.schema import Config
from hub.server.serve import serve


def main() -> None:
    config = Config.model_validate_json(sys.argv[1])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    gc.freeze()
    child = ended = 0
    for _ in sys.stdin:
        if child:
            _, status = os.waitpid(child, 0)
            ended = os.waitstatus_to_exitcode(status)
        child = os.fork()
        if not child:
            _be_a_hub(config)
        print(child, ended, flush=True)  # noqa: T201 - the answer
    if child:
        # Whoever wanted it has gone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _be_a_hub(config: Config) -> NoReturn:
    # What the parent reads and answers is not the hub's.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    uvloop.run(serve(config, announce=lambda _: None))
    os._exit(0)


if __name__ == "__main__":
    main()

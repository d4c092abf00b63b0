"""A process that has the hub imported and forks one at each line of its input.

To start a hub this way takes a twentieth of what a new interpreter needs, so that hundreds
of them can be killed in a test. Run as ``python -m tests.faults.nursery CONFIG``, with a
configuration in JSON; it answers each line with the number of the new process. The one
before must be dead, or dying.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import NoReturn

from hub.config import Config
from hub.serving import serve


def main() -> None:
    config = Config.model_validate_json(sys.argv[1])
    gc.freeze()
    child = 0
    for _ in sys.stdin:
        if child:
            os.waitpid(child, 0)
        child = os.fork()
        if not child:
            _be_a_hub(config)
        print(child, flush=True)  # noqa: T201 - the answer


def _be_a_hub(config: Config) -> NoReturn:
    # What the parent reads and answers is not the hub's.
    os.close(0)
    os.dup2(2, 1)
    asyncio.run(serve(config, announce=lambda _: None))
    os._exit(0)


if __name__ == "__main__":
    main()

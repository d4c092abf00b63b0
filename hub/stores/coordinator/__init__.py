"""An engine without a server of its own: one process decides, the others ask it over a socket.

The coordinator has the SQLite file and the order of all changes (`sequencer`, behind the socket of
`server`); each hub of the machine is a `client.CoordinatorEngine` to it.
"""

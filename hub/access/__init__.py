"""What a principal may do with a hub: its streams, its generations, and who is allowed what.

Protocols and embedding applications go through these operations, and each takes the principal
that it is done for (``by``; by default the application itself). What happens inside the hub on
its own account, such as ending a generation or forgetting an expired stream, does not.
"""

"""Operations on streams and generations, checked against the permissions of a principal.

Protocols and embedding applications use these operations. Each takes the principal that it is done
for (``by``; by default the application itself). What the hub does on its own, such as ending a
generation or deleting an expired stream, does not pass through here.
"""

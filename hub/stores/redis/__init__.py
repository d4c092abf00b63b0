"""Streams on Redis or Valkey, for several hubs at once.

`engine` is one connection to one server, or to a cluster (`hub.stores.shared.SharedEngine`). Each
write is a Lua script (`scripts`), which checks and writes in one step, whichever hub sends it, and
which tells all hubs what it changed. `incarnations` notices when a server has lost something;
`sentinels` and `cluster` know which servers are the primaries; `codec` is the form of what is kept
and sent, `keys` where it is, `client` how it is asked; `permissions` are what a hub needs there.
"""

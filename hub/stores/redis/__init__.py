"""Streams on Redis or Valkey, for several hubs at once. Not yet a store that can be configured.

`engine` is one connection to one server (`hub.stores.shared.SharedEngine`). Each write is a Lua
script (`scripts`), which checks and writes in one step, whichever hub sends it, and which tells all
hubs what it changed. `incarnations` notices when the server has lost something; `codec` is the form
of what is kept and sent, `keys` where it is, `client` how it is asked.
"""

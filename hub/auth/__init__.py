"""Who makes a request: credentials in, a `hub.domain.principal.Principal` out.

========================  ====================================================================
`credentials`             where a request carries its credential
`gate`                    the principal of a request, and how often it may come
`authenticator`           one credential to a principal, remembered until it expires
`api_keys`                ``sh_…`` keys: made once, kept as a hash
`stored_keys`             where they are kept: in the store and in the configuration
`issuers`, `key_sets`     JSON Web Tokens of others, and the keys that sign them
========================  ====================================================================

What a principal may do is decided elsewhere, once: `hub.access.permissions`.
"""

"""Who makes a request: credentials in, a `hub.domain.principal.Principal` out.

========================  ====================================================================
`credentials`             where a request carries its credential
`gate`                    the principal of a request, and how often it may come
`authenticator`           one credential to a principal, remembered until it expires
`api_keys`                ``sh_…`` keys: made once, kept as a hash
`stored_keys`             where they are kept: in the store and in the configuration
`sessions`                what a browser has in its cookie after a login
`cookies`                 that cookie, and which requests it counts in
`trusted_header`          users that a proxy names
`login_links`             links that begin one session
`login_methods`           what the sign-in page offers
`issuers`, `key_sets`     JSON Web Tokens of others, and the keys that sign them
`webhook`                 an application that is asked who somebody is and what they may do
`admit`                   whether it may be asked about one more credential
`fetched`                 documents of others, such as those keys
`oidc`                    logging in with an OpenID provider
========================  ====================================================================

What a principal may do is decided elsewhere, once: `hub.access.permissions`.
"""

"""Logging in with an OpenID provider (OpenID Connect Core 1.0): the hub is its client.

===============  ==============================================================================
`metadata`       what a provider says of itself (OpenID Connect Discovery 1.0)
`pending_login`  a login between leaving for the provider and coming back
`login_cookies`  where the browser keeps it
`provider`       the requests to it: a code for a token, a token for claims
===============  ==============================================================================

The authorization code flow with PKCE (RFC 7636), as RFC 9700 recommends. PyJWT checks the tokens;
what is left are two requests, for which no library is needed that brings an HTTP client with it.
"""

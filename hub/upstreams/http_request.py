"""A request to an upstream, and the errors for it, which never contain its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from hub.domain.errors import UpstreamError
from hub.domain.failures import masked_refusal

__all__ = ["Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """A POST request to the upstream ``name``; the times are in seconds.

    ``secrets`` are values that no error may contain.
    """

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    connect_timeout: float
    stall_timeout: float
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def error(self, said: str, code: str, *, retryable: bool = False) -> UpstreamError:
        """An error whose message says what this upstream did."""
        words = self._masked(f'upstream "{self.name}" {said}')
        return UpstreamError(words, code=code, retryable=retryable)

    def refused(self, error: UpstreamError) -> UpstreamError:
        """The error with the name of this upstream in it and without its secrets."""
        named = f'upstream "{self.name}" {error.message.removeprefix("the upstream ")}'
        refusal = error.refusal
        if refusal is not None:
            refusal = masked_refusal(refusal, self._masked)
        return UpstreamError(
            self._masked(named),
            code=error.code,
            retryable=error.retryable,
            retry_after=error.retry_after,
            refusal=refusal,
        )

    def _masked(self, words: str) -> str:
        # The bytes were masked before, but JSON can write the same text in other ways.
        return self.masked(words.encode()).decode()

    def masked(self, answer: bytes) -> bytes:
        """A response without the secrets, which some servers repeat."""
        for secret in self.secrets:
            answer = answer.replace(secret.encode(), b"...")
        return answer

    def unanswered(self, error: Exception) -> UpstreamError:
        """The error for a request that got no response."""
        check = f"`url` in [upstreams.{self.name}]"
        match error:
            case aiohttp.ConnectionTimeoutError():
                said = f"did not take the connection within {self.connect_timeout:g} s"
                return self.error(said, "upstream_timeout", retryable=True)
            case TimeoutError():
                said = f"did not begin to answer within {self.stall_timeout:g} s"
                return self.error(said, "upstream_stalled")
            case aiohttp.ClientConnectorDNSError() | aiohttp.InvalidURL() | UnicodeError():
                # UnicodeError: a name that no host can have, such as one with two dots in a row.
                said = f"was not found: its host name has no address; check {check}"
                return self.error(said, "upstream_dns", retryable=True)
            case aiohttp.ClientConnectorCertificateError():
                said = f"has a certificate that is not trusted here: check it, and {check}"
                return self.error(said, "upstream_tls")
            case aiohttp.ClientSSLError():
                said = f"does not speak TLS as it should: check {check}; should it be http://?"
                return self.error(said, "upstream_tls")
            case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
                said = f"refused the connection: check that its server runs, and {check}"
                return self.error(said, "upstream_refused", retryable=True)
            case aiohttp.ClientConnectorError():
                said = f"cannot be reached from here: check the network, and {check}"
                return self.error(said, "upstream_unreachable", retryable=True)
            case aiohttp.ClientConnectionError():
                said = "closed the connection without an answer"
                return self.error(said, "upstream_reset", retryable=True)
        cause = error.__cause__
        if cause is not None and isinstance(cause.__cause__, ContentEncodingError):
            said = f"compresses its answers though asked not to: {cause.__cause__.message}"
            return self.error(said, "upstream_unsupported")
        said = f"does not speak HTTP as it should: check {check}; should it be https://?"
        return self.error(said, "upstream_malformed")

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
        url = f"`url` in [upstreams.{self.name}]"
        code, retryable = "upstream_malformed", True
        match error:
            case aiohttp.ConnectionTimeoutError():
                code = "upstream_timeout"
                said = f"did not take the connection within {self.connect_timeout:g} s"
            case TimeoutError():
                code, retryable = "upstream_stalled", False
                said = f"did not begin to answer within {self.stall_timeout:g} s"
            case aiohttp.ClientConnectorDNSError() | aiohttp.InvalidURL() | UnicodeError():
                # UnicodeError: a name that no host can have, such as one with two dots in a row.
                code, said = (
                    "upstream_dns",
                    f"was not found: its host name has no address; check {url}",
                )
            case aiohttp.ClientConnectorCertificateError():
                code, retryable = "upstream_tls", False
                said = f"has a certificate that is not trusted here: check it, and {url}"
            case aiohttp.ClientSSLError():
                code, retryable = "upstream_tls", False
                said = f"does not speak TLS as it should: check {url}; should it be http://?"
            case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
                code = "upstream_refused"
                said = f"refused the connection: check that its server runs, and {url}"
            case aiohttp.ClientConnectorError():
                code = "upstream_unreachable"
                said = f"cannot be reached from here: check the network, and {url}"
            case aiohttp.ClientConnectionError():
                code, said = "upstream_reset", "closed the connection without an answer"
            case _:
                retryable = False
                said = f"does not speak HTTP as it should: check {url}; should it be https://?"
                cause = error.__cause__
                if cause is not None and isinstance(cause.__cause__, ContentEncodingError):
                    code = "upstream_unsupported"
                    said = f"compresses its answers though asked not to: {cause.__cause__.message}"
        return self.error(said, code, retryable=retryable)

"""The server side of HTTP: sockets, requests, streaming responses, errors."""

"""HTTP on the side of the server: sockets, requests, streaming responses, errors."""

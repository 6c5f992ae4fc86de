"""Who may ask: on this machine anybody, from elsewhere who has the token."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rlaif_fast.errors import RlaifFastError

TOKEN = "RLAIF_FAST_TOKEN"
OPEN = ("/health",)  # to anybody: whoever starts and stops servers has no token
_LOCAL = ("localhost", "127.0.0.1", "::1")


def bound(host: str, port: int, token: str | None) -> socket.socket:
    """A socket bound to an address, not listening yet.

    Raises:
        RlaifFastError: no such address or it is taken; one that other machines reach, without a token.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise RlaifFastError(f"--host {host}: no such address ({error.strerror})") from None
    family, kind, protocol, _, address = found[0]
    if token is None and not ipaddress.ip_address(address[0]).is_loopback:
        raise RlaifFastError(f"--host {host}: other machines reach this address; set a token in {TOKEN}")
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise RlaifFastError(f"--host {host} --port {port}: {error.strerror}; give another --port") from None
    return taken


class Access:
    """Lets through who may ask, and answers others with 401 or 403.

    With a token, it must be sent: as ``Authorization: Bearer TOKEN``, or as the password in the URL (Basic), for
    clients that cannot send a header. Without one, the request must name this machine as its host, and come from no
    web page of another: a page in a browser reaches loopback too.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            headers = Headers(scope=scope)
            refused = self._local(headers) if self._token is None else self._known(headers, self._token)
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _known(self, headers: Headers, token: bytes) -> JSONResponse | None:
        # Every comparison takes as long, whatever was sent.
        if any(secrets.compare_digest(given, token) for given in _given(headers.get("authorization", ""))):
            return None
        error = "a token is needed: send Authorization: Bearer TOKEN"
        return JSONResponse({"error": error}, 401, {"WWW-Authenticate": 'Bearer realm="rlaif-fast"'})

    def _local(self, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if _name(f"//{host}") not in _LOCAL:
            return JSONResponse({"error": f"host {host!r}: only this machine may ask without a token"}, 403)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return JSONResponse({"error": "a web page may not ask without a token"}, 403)
        return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _given(authorization: str) -> Sequence[bytes]:
    """What was sent as a token; one that is none where there is nothing."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip().encode()]
    if scheme.lower() == "basic":
        try:
            return [base64.b64decode(value, validate=True).partition(b":")[2]]
        except (binascii.Error, ValueError):
            pass
    return [b""]

"""Protects local servers from cross-site requests and DNS rebinding.

Our servers listen on this machine only, but a browser on it also runs foreign pages. Such a page
may request this address (detected by `Origin`) or point its own name here (detected by `Host`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from shared.errors import shortened
from shared.web.hosts import host_name, is_loopback, is_same_origin

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Refuses requests that name another host, or come from another site.

    Args:
        allowed_hosts: Names besides loopback ones, without ports.
        setting: Their configuration key, for the error; None if no name can be added.
        headers: Added to every response, errors included.
    """

    def __init__(
        self,
        allowed_hosts: Sequence[str] = (),
        *,
        setting: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._allowed = {host.lower() for host in allowed_hosts}
        self._remedy = (
            "ask for it by a loopback address"
            if setting is None
            else f"if it should, add the name to {setting}"
        )
        self._headers = dict(headers or {})

    def install(self, app: web.Application) -> None:
        """Check every request of an application, and add the headers to every response."""
        app.middlewares.append(self._middleware())
        app.on_response_prepare.append(self._add_headers)

    def refusal(self, request: web.Request) -> web.HTTPException | None:
        """Return the error for a request that is refused; None if it is allowed."""
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1:
            return web.HTTPBadRequest(text=f"expected one Host header, found {len(hosts)}")
        name = host_name(hosts[0])
        if name is None or not (is_loopback(name) or name in self._allowed):
            return web.HTTPMisdirectedRequest(
                text=f"this server does not go by the name {hosts[0][:80]!r}; {self._remedy}"
            )
        origins = request.headers.getall(hdrs.ORIGIN, [])
        if any(not is_same_origin(origin, hosts[0]) for origin in origins):
            return web.HTTPForbidden(text="asked from another site's page")
        # a link on another site may open the page, but nothing else
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        mode = request.headers.get("Sec-Fetch-Mode", "")
        if site in ("cross-site", "same-site") and mode != "navigate":
            return web.HTTPForbidden(text="asked from another site's page")
        return None

    def _middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Answer) -> web.StreamResponse:
            refusal = self.refusal(request)
            if refusal is not None:
                return problem(refusal)
            try:
                return await handler(request)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return problem(error, request)

        return guard

    async def _add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        for name, value in self._headers.items():
            response.headers[name] = value


def problem(error: web.HTTPException, request: web.Request | None = None) -> web.Response:
    """Return an error as a problem document (RFC 9457)."""
    detail = error.text or error.reason
    if request is not None and detail == f"{error.status}: {error.reason}":  # aiohttp's own
        detail = f"{request.method} {shortened(request.path)}: {error.reason}"
    body = {"title": error.reason, "status": error.status, "detail": detail}
    kept = {
        name: error.headers[name]
        for name in ("Retry-After", "Allow", "WWW-Authenticate")
        if name in error.headers
    }
    return web.Response(
        body=orjson.dumps(body),
        status=error.status,
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **kept},
    )

"""What the server answers without generating anything: pages, refusals, and how a request's body is read."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from profiler.engines.sim.dialects import Dialect, Page
from profiler.engines.sim.request import BadRequest

if TYPE_CHECKING:
    from profiler.engines.sim.scheduler import Scheduler

METRICS = "text/plain; version=0.0.4; charset=utf-8"
OPEN_TO_ALL = frozenset({"/health", "/ping", "/version", "/metrics"})


class Pages:
    """Those of one server."""

    def __init__(self, dialect: Dialect, scheduler: Scheduler, *, api_key: str | None, most_body_bytes: int) -> None:
        self._dialect = dialect
        self._scheduler = scheduler
        self._api_key = api_key
        self._most_body_bytes = most_body_bytes

    def denied(self, request: web.BaseRequest) -> web.Response | None:
        """The refusal of a request without the key; None if it may go on."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        key = self._api_key
        if key is None or request.path in OPEN_TO_ALL or hmac.compare_digest(given, f"Bearer {key}".encode()):
            return None
        return self.refused(request, self._dialect.unauthorised())

    async def other(self, request: web.BaseRequest) -> web.Response:
        """The answer to a request that asks for no generation."""
        query = self._dialect.query(request.path)
        page = self._page(request)
        if query is not None and request.method == "POST":
            return await self._answered(request, query)
        if page is not None and request.method in ("GET", "HEAD"):
            return _shown(page)
        if page is None and query is None and self._dialect.operation(request.path) is None:
            return self.refused(request, self._dialect.not_found(request.method, request.path))
        refusal = BadRequest("Method Not Allowed", status=405, type="MethodNotAllowed")
        return self.refused(request, refusal, {"Allow": "GET, HEAD" if page is not None else "POST"})

    def _page(self, request: web.BaseRequest) -> Page | None:
        if request.path != "/metrics":
            return self._dialect.page(request.path)
        metrics = self._dialect.gauges.page(self._scheduler, request.query.getall("name[]", []))
        return None if metrics is None else Page(metrics, METRICS)

    async def _answered(self, request: web.BaseRequest, query: Callable[[Any], bytes]) -> web.Response:
        try:
            return _shown(Page(query(await self.json_of(request))))
        except BadRequest as refusal:
            return self.refused(request, refusal)

    def refused(
        self, request: web.BaseRequest, refusal: BadRequest, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """An error in the dialect's words."""
        page = self._dialect.refusal(refusal, request.path)
        told = {"Content-Type": page.content_type, **(headers or {})}
        return web.Response(status=refusal.status, body=page.body, headers=told)

    async def json_of(self, request: web.BaseRequest, when_read: Callable[[], None] = lambda: None) -> Any:
        """The request's body; `when_read` is called as soon as its last byte is there.

        Raises:
            BadRequest: it is too long, not compressed as it says, or no JSON.
        """
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            content = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            limit = self._most_body_bytes
            raise BadRequest(f"the request has more than {limit} bytes, which no model takes", status=413) from error
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise BadRequest("the body cannot be decoded") from error
        when_read()
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise self._dialect.unreadable(request.path, str(error)) from error


def _shown(page: Page) -> web.Response:
    return web.Response(body=page.body, headers={"Content-Type": page.content_type}) if page.body else web.Response()

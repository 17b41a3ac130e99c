"""The trader's HTTP API: status, history and commands, with a token.

`/openapi.json` describes it. Current state comes from Redis, history from the trader's journal.
`kill`, `disable` and `flatten` work without Redis and without a trader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from actors.base import Actor, Context
from actors.trader_api.answers import CommandAnswer, CommandBody
from actors.trader_api.commands import CommandClient, CommandRefused, NotSent
from actors.trader_api.gate import RequestGate
from actors.trader_api.openapi import LARGEST_BODY, READS, VERBS, document
from actors.trader_api.readings import NotPublished, Readings
from actors.trader_api.requests import body_of, numbers_of
from actors.trader_api.timer import TraderTimer
from shared import codec, schema
from shared.api.address import AddressFile
from shared.api.token import make_token, token_path
from shared.config.sections import TraderApiSection
from shared.errors import (
    BusUnavailable,
    JournalUnavailable,
    PermanentError,
    TransientError,
    did_you_mean,
    shortened,
)
from shared.kill_switch import KillSwitch
from shared.messages.trading import WITH_SYMBOL, TraderVerb
from shared.web.guard import Answer, Guard
from shared.web.listening import listen

LOOK_S = 5.0
RETRY_S = "2"
OPEN = "/openapi.json"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "trader-api",
}


class TraderApi(Actor):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._settings = codec.from_plain(
            TraderApiSection, context.section["trader_api"], "config: trader_api"
        )
        self._symbols = dict.fromkeys(context.section["symbols"])
        timer_min: int | None = context.section["timer_min"]
        timer = None if timer_min is None else TraderTimer(60 * timer_min)
        self._readings = Readings(self.bus, self.clock, context.state_dir, timer)
        self._commands = CommandClient(
            self.bus, self.clock, context.state_dir, log=self.log, timer=timer
        )
        self._address = AddressFile(context.state_dir)
        self._document = orjson.dumps(document())
        self._gate: RequestGate
        self._port = 0
        self._requests = 0

    async def setup(self) -> None:
        """Create the token if there is none, and listen.

        Raises:
            ConfigError: The token's file is invalid.
            TransientError: The port is taken, or token or address cannot be written.
        """
        path = token_path(self.context.state_dir)
        try:
            self._gate = RequestGate(make_token(path), self.clock)
        except OSError as error:
            raise TransientError(f"{path}: cannot be written ({error.strerror})") from error
        if why := KillSwitch(self.context.state_dir).prepare():
            self.log.warning("%s", why)
        settings = self._settings
        app = web.Application(client_max_size=LARGEST_BODY)
        guard = Guard(
            [*settings.allowed_hosts, settings.host],
            setting="trader_api.allowed_hosts",
            headers=HEADERS,
        )
        guard.install(app)
        app.middlewares.append(self._checked())
        self._add_routes(app)
        runner = await listen(app, section="trader_api", host=settings.host, port=settings.port)
        self.resources.push_async_callback(runner.cleanup)
        self._port = runner.addresses[0][1]
        try:
            self._address.write(settings.host, self._port)
        except OSError as error:
            raise TransientError(f"api.url: cannot be written ({error.strerror})") from error
        self.resources.callback(self._address.remove)
        self.detail["port"] = self._port
        self.ready()

    async def step(self) -> float:
        """Report the number of requests, and the lock; write the address again if it was removed.

        Raises:
            TransientError: The address cannot be written.
        """
        if self._address.read() is None:
            try:
                self._address.write(self._settings.host, self._port)
            except OSError as error:
                raise TransientError(f"api.url: cannot be written ({error.strerror})") from error
        lock = await self._readings.lock()
        self.detail |= {
            "requests": self._requests,
            "refused": self._gate.refused,
            "lock": None if lock is None else lock.mode,
        }
        self.doing("no lock" if lock is None else f"{lock.mode} by {lock.who}: {lock.reason}")
        return LOOK_S

    # Requests

    def _checked(self) -> Middleware:
        @web.middleware
        async def check(request: web.Request, handler: Answer) -> web.StreamResponse:
            self._requests += 1
            if request.path != OPEN:
                refusal = self._gate.refusal(request)
                if refusal is not None:
                    raise refusal
            if (request.content_length or 0) > LARGEST_BODY:
                raise web.HTTPRequestEntityTooLarge(LARGEST_BODY, request.content_length or 0)
            try:
                return await handler(request)
            except web.HTTPException:
                raise
            except (BusUnavailable, JournalUnavailable, NotSent, NotPublished) as error:
                raise web.HTTPServiceUnavailable(
                    text=str(error), headers={"Retry-After": RETRY_S}
                ) from None
            except CommandRefused as error:
                raise web.HTTPConflict(text=str(error)) from None
            except PermanentError as error:
                self.log.error("%s cannot be answered: %s", request.path, error)
                raise web.HTTPInternalServerError(text=str(error)) from None
            except Exception:
                self.log.exception("%s %s failed", request.method, request.path)
                raise web.HTTPInternalServerError(text="a fault of ours; see the log") from None

        return check

    def _add_routes(self, app: web.Application) -> None:
        reads: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "/status": lambda _: self._readings.status(),
            "/config": lambda _: self._readings.published(schema.TRADER_CONFIG, "the trader"),
            "/positions": lambda _: self._readings.published(schema.POSITIONS, "account"),
            "/balance": lambda _: self._readings.published(schema.BALANCE, "account"),
            "/trades": lambda asked: self._readings.trades(**asked),
            "/events": lambda asked: self._readings.events(**asked),
            "/equity": lambda asked: self._readings.equity(**asked),
        }
        for path in READS:
            app.router.add_get(path, self._reading(path, reads[path]), allow_head=False)
        for verb in VERBS:
            tail = "/{symbol}" if verb in WITH_SYMBOL else ""
            app.router.add_post(f"/{verb}{tail}", self._commanding(verb))
        app.router.add_get(OPEN, self._describe, allow_head=False)

    def _reading(self, path: str, read: Callable[[dict[str, Any]], Awaitable[Any]]) -> Answer:
        async def serve(request: web.Request) -> web.Response:
            return _json(await read(numbers_of(request, READS[path][2])))

        return serve

    def _commanding(self, verb: TraderVerb) -> Answer:
        async def serve(request: web.Request) -> web.Response:
            numbers_of(request, ())
            body = await body_of(request)
            symbol = request.match_info.get("symbol")
            if symbol is not None and symbol not in (known := await self._known()):
                near = did_you_mean(symbol, known)
                raise web.HTTPNotFound(
                    text=f"{shortened(symbol)!r} is neither a coin of the configuration nor "
                    f"one with a position{near and f'; {near}'}"
                )
            return await self._command(verb, body, symbol, request.remote or "unknown")

        return serve

    async def _known(self) -> set[str]:
        return await self._readings.known_symbols(self._symbols)

    async def _command(
        self, verb: TraderVerb, body: CommandBody, symbol: str | None, peer: str
    ) -> web.Response:
        outcome = await self._commands.carry_out(
            verb, who=body.who or f"api, {peer}", reason=body.reason, symbol=symbol
        )
        self.wake()
        answer = CommandAnswer(
            id=outcome.id,
            command=verb,
            outcome="pending" if outcome.reply is None else "done",
            text=outcome.text,
            mode=None if outcome.reply is None else outcome.reply.mode,
            lock=await self._readings.lock(),
        )
        return _json(answer, 202 if outcome.reply is None else 200)

    async def _describe(self, request: web.Request) -> web.Response:
        numbers_of(request, ())
        return web.Response(body=self._document, content_type="application/json")


def _json(answer: Any, status: int = 200) -> web.Response:
    return web.Response(body=codec.encode(answer), status=status, content_type="application/json")

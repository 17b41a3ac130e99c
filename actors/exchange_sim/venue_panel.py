"""The simulated venue's control panel under `/sim/venue`: shows the account and changes it.

Changes look to the platform like those a person made at the venue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, get_args

import orjson
from aiohttp import web

from actors.exchange_sim.fault_panel import from_here, refused
from actors.exchange_sim.parameters import Parameters
from actors.exchange_sim.venue_wire import VenueWire
from shared.decimals import whole_of
from shared.exchanges.sim.errors import SimRefused, invalid
from shared.exchanges.venue import OPENS
from shared.messages.trading import TradeSide

_SHOWN = 1000
_Action = Callable[[Parameters], dict[str, Any]]


class VenuePanel:
    """`GET /sim/venue` and the `POST` actions below it."""

    def __init__(self, wire: VenueWire) -> None:
        self._wire = wire
        self._venue = wire.venue

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/sim/venue", from_here(self._show))
        actions: dict[str, _Action] = {
            "position": self._position,
            "close": self._close,
            "transfer": self._transfer,
            "untrigger": self._untrigger,
            "funding": self._funding,
        }
        for name, action in actions.items():
            app.router.add_post(f"/sim/venue/{name}", from_here(self._endpoint(action)))

    async def _show(self, request: web.Request) -> web.Response:
        last = whole_of(request.query.get("last", str(_SHOWN)))
        if last is None:
            return refused("last: expected a whole number")
        self._wire.pass_time()
        venue, account = self._venue, self._venue.account
        unrealized = account.unrealized(venue.marks())
        return _json(
            {
                "at_ms": venue.now_ms,
                "wallet": account.wallet,
                "available": venue.available,
                "margin": account.margin,
                "frozen": venue.state.orders.frozen,
                "unrealized_pnl": unrealized,
                "equity": account.wallet + unrealized,
                "totals": account.totals,
                "positions": [asdict(position) for position in account.positions.values()],
                "orders": [asdict(order) for order in venue.state.orders.pending],
                "over": [asdict(order) for order in _newest(venue.state.orders.over, last)],
                "ended": [asdict(ended) for ended in _newest(account.ended, last)],
                "deals": [asdict(deal) for deal in _newest(account.deals, last)],
                "ledger": [asdict(entry) for entry in _newest(account.ledger, last)],
                "requests": self._wire.counts,
                "codes": {str(code): count for code, count in self._wire.codes.items()},
                "unsaved": self._wire.unsaved,
            }
        )

    def _endpoint(self, action: _Action) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            if request.content_type != "application/json":
                return refused("expected content type application/json")
            body = await request.read()
            self._wire.pass_time()
            try:
                done = action(Parameters.of_body(body))
            except SimRefused as refusal:
                return refused(refusal.text)
            finally:
                self._wire.save()
            return _json(done)

        return handle

    def _position(self, given: Parameters) -> dict[str, Any]:
        market, side = given.text("market"), given.text("side")
        if side not in get_args(TradeSide):
            raise invalid(f"side is not one of {', '.join(get_args(TradeSide))}")
        order_side = OPENS["long"] if side == "long" else OPENS["short"]
        return asdict(self._venue.place(market, order_side, "market", given.amount("amount"), None))

    def _close(self, given: Parameters) -> dict[str, Any]:
        amount = given.maybe_amount("amount")
        return asdict(self._venue.close(given.text("market"), "market", amount, None))

    def _untrigger(self, given: Parameters) -> dict[str, Any]:
        cause = given.among("what", Literal["stop", "target"])
        return asdict(self._venue.cancel_triggers(given.text("market"), cause, None))

    def _transfer(self, given: Parameters) -> dict[str, Any]:
        self._venue.transfer(given.amount("amount"))
        return {"wallet": str(self._venue.account.wallet)}

    def _funding(self, given: Parameters) -> dict[str, Any]:
        market, rate = given.text("market"), given.maybe_amount("rate")
        self._venue.set_funding_rate(market, rate)
        return {"market": market, "rate": None if rate is None else str(rate)}


def _newest[T](rows: list[T], last: int) -> list[T]:
    return rows[max(0, len(rows) - last) :]


def _json(document: Any) -> web.Response:
    body = orjson.dumps(document, default=str)
    return web.Response(body=body, content_type="application/json")

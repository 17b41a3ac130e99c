"""What the page may be told of account and trader: every state, made by the server's own code."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from actors.dashboard.outside import guest_balance as shown_guest_balance
from actors.dashboard.outside import guest_event, guest_trader
from actors.dashboard.outside import guest_positions as shown_guest_positions
from actors.dashboard.trading import (
    shown_balance,
    shown_equity,
    shown_positions,
    shown_trader,
)
from shared.health.guest_verdict import GuestView
from shared.health.trading_verdict import TradingLimits, TradingView, looked, trading_problems
from shared.messages.guests import GuestConfig, GuestEvent
from shared.messages.trading import EvidenceStatus, Position, TraderLimit, TraderStatus
from shared.trading.mode import STILL_MANAGED
from tests.support.dashboard_document import Document, actor
from tests.support.guest_sightings import (
    guest_balance,
    guest_position,
    guest_positions,
    guest_status,
)
from tests.support.trading_sightings import (
    balance,
    limit,
    position,
    positions,
    trade_event,
    trader_config,
    trader_status,
)

LIMITS = TradingLimits()
TOPICS = ("positions", "balance", "trader", "tradeEvents", "equity", "actors")


def told(
    data: Document,
    now_ms: int,
    *,
    held: Sequence[Position] = (),
    status: TraderStatus | None = None,
    state: str = "ready",
    account_age_s: float = 4,
    account_reason: str = "",
    bare_s: float = 5,
) -> Document:
    """Return the snapshot with an account and a trader, of which these things are so.

    Args:
        state: Of the trader's actor.
        account_age_s: Since the venue last answered; infinite where it never did.
        bare_s: Since positions without a stop were first seen.
    """
    never = math.isinf(account_age_s)
    as_of_ms = 0 if never else now_ms - round(1000 * account_age_s)
    money: dict[str, Any] = {"reason": account_reason}
    if never:
        money |= dict.fromkeys(
            ("equity_quote", "available_quote", "frozen_quote", "margin_quote",
             "unrealized_pnl_quote")
        )  # fmt: skip
    view = looked(
        TradingView(),
        positions=positions(*held, as_of_ms=as_of_ms, reason=account_reason),
        balance=balance(as_of_ms, **money),
        status=trader_status(now_ms - 2_000) if status is None else status,
        now_ms=now_ms - round(1000 * bare_s),
    )
    actors = [actor("account", now_ms), actor("trader", now_ms) | {"state": state}]
    return data | {
        "positions": shown_positions(view, ["account"], LIMITS),
        "balance": shown_balance(view, LIMITS),
        "trader": shown_trader(view, trader_config(risk_pct=0.25), ["trader"], LIMITS),
        "tradeEvents": events(now_ms),
        "equity": shown_equity(view),
        "actors": [*data["actors"], *actors],
        "errors": [
            *data["errors"],
            *map(
                str,
                trading_problems(
                    view, ("account", "trader"), now_ms=now_ms, listening_ms=0, limits=LIMITS
                ),
            ),
        ],
    }


def events(now_ms: int) -> list[Document]:
    """Return what a trader did within two hours, newest first."""
    said = [
        trade_event(
            4, now_ms - 240_000, kind="closed", symbol="ETHUSDT", text="stop reached at 3012.4",
            size_base="0.4", price="3012.4", fee_quote="0.6", pnl_quote="-8.21",
        ),
        trade_event(
            3, now_ms - 540_000, kind="refused", symbol="SOLUSDT", side="short", size_base=None,
            price=None, fee_quote=None, client_id=None,
            text="costs are 14 % of the stop distance, at most 10 % are taken",
        ),
        trade_event(2, now_ms - 7_200_000, kind="stop", text="stop 59780, target 63440",
                    fee_quote=None, price=None),
        trade_event(1, now_ms - 7_201_000),
    ]  # fmt: skip
    return [dataclasses.asdict(event) for event in said]


def equity(now_ms: int, count: int = 40) -> list[tuple[int, str]]:
    """Return the equity of so many cycles."""
    return [
        (now_ms - (count - i) * 300_000, f"{10_000 + 30 * math.sin(i / 4) + i:.2f}")
        for i in range(count)
    ]


def some_limits(**of_loss: Any) -> list[TraderLimit]:
    """Return all limits there are, the daily loss as given."""
    return [
        limit("daily loss", **of_loss),
        limit("drawdown from peak", used="1.4", limit="8", unit="%"),
        limit("losses in a row", used="2", limit="5", unit=""),
        limit("orders within an hour", used="3", limit="30", unit=""),
    ]


def status_of(now_ms: int, **change: Any) -> TraderStatus:
    """Return a trader's status of two seconds ago with everything in it."""
    full: dict[str, Any] = {
        "ours": ["BTCUSDT"],
        "limits": some_limits(),
        "equity": equity(now_ms),
        "last_trade_ms": now_ms - 7_201_000,
        "skipped": {
            "SOLUSDT": "short: costs are 14 % of the stop distance, at most 10 % are taken"
        },
    }
    return trader_status(now_ms - 2_000, **full | change)


def btc(now_ms: int, **change: Any) -> Position:
    """Return a long position of the trader's, opened two hours ago."""
    return position(opened_ms=now_ms - 7_200_000, **change)


def xrp(now_ms: int, **change: Any) -> Position:
    """Return a short position in loss without target."""
    plain: dict[str, Any] = {
        "side": "short", "size_base": "100", "entry_price": "20", "mark_price": "21",
        "stop_loss": "22.05", "take_profit": None, "liquidation_price": None, "leverage": 3,
        "margin_quote": "700", "unrealized_pnl_quote": "-100", "realized_pnl_quote": "0",
        "opened_ms": now_ms - 90_000_000,
    }  # fmt: skip
    return position("XRPUSDT", **plain | change)


def with_trader(data: Document, now_ms: int) -> Document:
    """Return the snapshot with two positions, one of them foreign, and a limit that is near."""
    near = some_limits(state="warned", used="170")
    status = status_of(
        now_ms, mode="reducing", reason="daily loss at 85 % of its limit", foreign=["XRPUSDT"],
        limits=near,
    )  # fmt: skip
    return told(data, now_ms, held=[btc(now_ms), xrp(now_ms)], status=status)


def with_position(data: Document, now_ms: int) -> Document:
    """Return the snapshot with an enabled trader that holds one position."""
    return told(data, now_ms, held=[btc(now_ms)], status=status_of(now_ms))


def with_nothing_held(data: Document, now_ms: int) -> Document:
    """Return the snapshot with an enabled trader without positions, before its first cycle."""
    fresh = trader_status(now_ms - 2_000, cycle_ms=None, equity=[], limits=some_limits())
    return told(data, now_ms, status=fresh) | {"tradeEvents": []}


def locked(data: Document, now_ms: int) -> Document:
    """Return the snapshot with the kill switch set."""
    status = status_of(now_ms, mode="locked", reason="kill switch set by ada: news")
    return told(data, now_ms, held=[btc(now_ms)], status=status)


def latched(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a breaker that holds until it is released."""
    status = status_of(
        now_ms, mode="reducing", reason="daily loss reached its limit at 11:40; release it",
        limits=some_limits(state="latched", used="104.2"), ours=[],
    )  # fmt: skip
    return told(data, now_ms, status=status)


def silent(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a trader that was enabled and has said nothing for 45 s."""
    status = status_of(now_ms)
    old = dataclasses.replace(status, as_of_ms=now_ms - 45_000)
    return told(data, now_ms, held=[btc(now_ms)], status=old)


def crashed(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a trader that died seconds after it said that it is enabled."""
    return told(data, now_ms, held=[btc(now_ms)], status=status_of(now_ms), state="backoff")


def without_keys(data: Document, now_ms: int) -> Document:
    """Return the snapshot in live mode without keys of the venue."""
    status = trader_status(
        now_ms - 2_000, mode="disabled", reason="no keys", venue="Venue", trouble="no keys",
        candles_from="none", pnl_today_quote=None, fees_today_quote=None, equity=[],
    )  # fmt: skip
    found = told(
        data, now_ms, status=status, account_age_s=math.inf, account_reason="no keys for the venue"
    )
    return found | {"mode": "live", "source": "binance", "tradeEvents": []}


def live_closed(data: Document, now_ms: int) -> Document:
    """Return the snapshot in live mode on a venue that has ended trading."""
    why = "live trading is closed: the venue ended futures on 2026-09-22"
    status = trader_status(now_ms - 2_000, mode="disabled", reason=why, venue="Venue")
    return told(data, now_ms, status=status) | {"mode": "live", "source": "binance"}


def without_evidence(data: Document, now_ms: int, accepted: str = "") -> Document:
    """Return the snapshot in live mode with evidence of other settings."""
    missing = (
        "it is of other settings (hash 3f6c0a91d2b7, expected 81aa27c4e05d; trader.entry_score 85, "
        "now 90): test these, or set them as tested; it assumed a taker fee of 0.05 %, and the "
        "venue takes 0.055 % now: test with that fee"
    )
    why = f"{STILL_MANAGED} (no evidence of these settings: {missing})"
    status = status_of(
        now_ms,
        mode="enabled" if accepted else "reducing",
        reason="entries and exits" if accepted else why,
        evidence=EvidenceStatus(demand="require", fits=False, text=missing, accepted=accepted),
    )
    found = told(data, now_ms, held=[btc(now_ms)], status=status)
    return found | {"mode": "live", "source": "binance"}


def at_own_risk(data: Document, now_ms: int) -> Document:
    """Return the same where the configuration lets it enter all the same."""
    return without_evidence(data, now_ms, "a month at the smallest size, agreed on 1 May")


def venue_down(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a venue that has not answered for 95 s."""
    why = "venue down: connection refused"
    status = status_of(now_ms, trouble=why, candles_from="binance")
    return told(data, now_ms, held=[btc(now_ms)], status=status, account_age_s=95,
                account_reason=why)  # fmt: skip


def account_silent(data: Document, now_ms: int) -> Document:
    """Return the snapshot with an account that nobody has looked at for 75 s."""
    return told(data, now_ms, held=[btc(now_ms)], status=status_of(now_ms), account_age_s=75)


def bare(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a position that has had no stop for 45 s."""
    held = btc(now_ms, stop_loss=None)
    return told(data, now_ms, held=[held], status=status_of(now_ms, unprotected=["BTCUSDT"]),
                bare_s=45)  # fmt: skip


STATES = {
    state.__name__: state
    for state in (
        with_trader, with_position, with_nothing_held, locked, latched, silent, crashed,
        without_keys, live_closed, venue_down, account_silent, bare,
    )
}  # fmt: skip


def outside(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a trader of the user's own, whose texts have HTML in them."""
    held = guest_position(entry_price="60000", mark_price="61000", unrealized_pnl_quote="50")
    event = GuestEvent(at_ms=now_ms - 60_000, kind="opened", text="<b>long</b> 0.05")
    settings = GuestConfig(settings={"tp.pct": "2.5", "note": "<i>x</i>"})
    view = GuestView(
        positions=guest_positions(now_ms - 60_000, held),
        balance=guest_balance(now_ms - 60_000, currency="USDT"),
        status=guest_status(now_ms - 60_000, reason="<img src=x>", uptime_s=7200.0),
        config=settings,
    )
    return data | {
        "traderKind": "outside",
        "positions": shown_guest_positions(view, LIMITS),
        "balance": shown_guest_balance(view, LIMITS),
        "outside": guest_trader(view, LIMITS),
        "tradeEvents": [guest_event(event)],
    }


def without_any(data: Document, now_ms: int) -> Document:  # as every state
    """Return the snapshot of a platform without any trader."""
    return data | {"traderKind": "none"}

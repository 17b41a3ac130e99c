"""What the dashboard's page may be told: every state of a coin, made up."""

from __future__ import annotations

import math
from typing import Any

Document = dict[str, Any]

COINS = {
    "majors": ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"],
    "payments": ["LTCUSDT", "BCHUSDT", "XLMUSDT", "DOGEUSDT", "TRXUSDT"],
    "layer1": ["ADAUSDT", "AVAXUSDT", "DOTUSDT", "ATOMUSDT", "NEARUSDT", "ETCUSDT"],
    "newlayer1": ["APTUSDT", "SUIUSDT", "TONUSDT", "SEIUSDT", "INJUSDT"],
    "layer2": ["ARBUSDT", "OPUSDT"],
    "services": ["LINKUSDT", "UNIUSDT", "AAVEUSDT", "FILUSDT", "HBARUSDT", "ICPUSDT"],
}
STEPS = {"BTCUSDT": 0.01, "DOGEUSDT": 0.00001, "XLMUSDT": 0.0001, "SUIUSDT": 0.0001}
M5_MS = 300_000
PARTS = (
    "context trend 1h",
    "trend 5m",
    "MACD",
    "RSI",
    "Bollinger %B",
    "volume",
    "not overextended",
)


def document(now_ms: int) -> Document:
    """Return a snapshot in which all 29 coins are live."""
    symbols = [symbol for group in COINS.values() for symbol in group]
    return {
        "mode": "demo",
        "source": "sim",
        "asOf": now_ms,
        "namespace": "",
        "groups": COINS,
        "coinData": [
            coin(symbol, group, symbols.index(symbol), now_ms)
            for group, members in COINS.items()
            for symbol in members
        ],
        "taSignals": {s: signal(s, i, now_ms) for i, s in enumerate(symbols)},
        "positions": None,
        "balance": None,
        "traderKind": "own",
        "trader": None,
        "outside": None,
        "tradeEvents": [],
        "equity": [],
        "signalHistory": [
            {
                "atMs": now_ms - 3_600_000, "symbol": "SOLUSDT", "side": "long",
                "event": "entered", "label": "candidate", "base": 78, "bonus": 15, "close": 141.2,
            }
        ],
        "actors": [actor(f"indicators-{group}", now_ms) for group in COINS],
        "redis": {"status": "up", "sinceMs": now_ms - 60_000, "reason": "", "fallback": False},
        "exchange": {"bannedUntilMs": None, "troubles": {}},
        "errors": [],
    }  # fmt: skip


def coin(symbol: str, group: str, number: int, now_ms: int) -> Document:
    """Return one live coin; its numbers follow from its place in the list."""
    price = 61_234.56 if symbol == "BTCUSDT" else round(200 / (1 + number**1.7), 5)
    long, short = (number * 37) % 96, (number * 53 + 20) % 70
    closed_ms = now_ms - now_ms % M5_MS
    return {
        "symbol": symbol,
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "group": group,
        "price": price,
        "priceAtMs": now_ms - 1_000,
        "tick": STEPS.get(symbol, 0.001),
        "change24hPct": round(4 * math.sin(number), 3),
        "spark": [price * (1 + 0.02 * math.sin(number + i / 5)) for i in range(48)],
        "closedUntilMs": closed_ms,
        "fetchedAtMs": now_ms - 3_000,
        "nextCloseMs": closed_ms + M5_MS,
        "computedAtMs": now_ms - 2_000,
        "state": "live",
        "stateReason": "",
        "base": {
            "long": long, "short": short,
            "longLabel": label(long), "shortLabel": label(short), "coverage": 1.0,
            "fault": "",
            "longParts": parts(long), "shortParts": parts(short),
        },
        "bonus": bonus(number),
        "quarantine": None,
    }  # fmt: skip


def label(score: int) -> str:
    """Return a score's label."""
    return next(
        (n for n, least in (("strong", 85), ("candidate", 75), ("watch", 60)) if score >= least),
        "none",
    )


def parts(score: int) -> list[Document]:
    """Return parts that sum to a score."""
    share = score / len(PARTS)
    return [{"name": n, "points": share, "max": 20, "text": f"{n} is so"} for n in PARTS]


def bonus(number: int) -> Document:
    """Return a bonus; every third coin has one for both sides."""
    long, short = (0, 10, 25)[number % 3], (0, 20, 15)[number % 3]
    reasons = []
    if long:
        reasons.append(f"EMA ribbon bullish aligned (+{long})")
    if short:
        reasons.append(f"Stoch RSI bearish divergence (+{short})")
    return {"long": long, "short": short, "reasoning": reasons}


def signal(symbol: str, number: int, now_ms: int) -> Document:
    """Return one coin's signal as it stands on the bus."""
    state = ("bullish", "bearish", "mixed")[number % 3]
    slow = ("bullish", "mixed", "bearish", "bullish")[number % 4]
    side = ("bullish", "bearish")[number % 2]
    fired = number % 5 == 2
    divergence = ("none", "bullish", "none", "bearish")[number % 4]
    return {
        "symbol": symbol,
        "timestamp": "2026-03-01T12:00:00Z",
        "ema_ribbon": {
            "state_5m": state, "state_1h": slow, "state_4h": "mixed",
            "spread_5m": 12.3 + number * 3, "spread_1h": 95.4 - number * 2.5, "spread_4h": 40.0,
            "values": [1.1, 1.2, 1.3, 1.4, 1.5, 1.6], "values_1h": [1.0] * 6,
        },
        "ttm_squeeze": {
            "squeeze": number % 3 == 0 and not fired, "momentum": 0.45, "direction": side,
            "bars_in_squeeze": 8 + number, "timeframe": "5m", "momentum_raw": 1.2,
            "colour": "rising_positive", "fired": fired, "fired_bars_ago": 1 if fired else None,
            "fired_direction": side if fired else None, "last_squeeze_bars": 11,
        },
        "stoch_rsi_divergence": {
            "divergence": divergence,
            "strength": 0.0 if divergence == "none" else 0.12 + number / 40,
            "candles_ago": 0 if divergence == "none" else 4, "stoch_k": 45.2, "stoch_d": 42.1,
            "rsi": 51.3, "pivot_a_ms": None, "pivot_b_ms": None,
        },
        "composite_score_adjustment": {"long_bonus": 0, "short_bonus": 0, "reasoning": []},
        "closed_until_ms": now_ms - now_ms % M5_MS,
        "close": 1.0,
        "inputs": {},
        "source": "sim",
        "computed_at_ms": now_ms - 2_000,
        "v": 1,
    }  # fmt: skip


def actor(name: str, now_ms: int) -> Document:
    """Return one actor that is well."""
    return {
        "name": name, "state": "ready", "pid": 4711, "restarts": 0, "sinceMs": now_ms - 90_000,
        "lastDeath": None, "doing": "scan of 5 coins", "reason": "", "beatAtMs": now_ms - 400,
        "backoffUntilMs": None, "quarantinedCoins": {},
    }  # fmt: skip


def with_troubles(data: Document, now_ms: int) -> Document:
    """Return the snapshot with one coin in every state, and actors that are not well."""
    coins = [dict(each) for each in data["coinData"]]
    signals = dict(data["taSignals"])
    bare = {"computedAtMs": None, "base": None, "bonus": None}
    coins[0] |= {"state": "stale", "stateReason": "5m candles are stale",
                 "computedAtMs": now_ms - 400_000}  # fmt: skip
    coins[1] |= {
        "state": "quarantined", "stateReason": "computing failed five times",
        "quarantine": {"stage": "compute", "reason": "computing failed five times in a row: "
                       "ValueError: high below low at 12:05", "untilMs": now_ms + 1_500_000},
    }  # fmt: skip
    coins[2] |= {"state": "warming", "stateReason": "120 of 300 closed 5m candles", **bare}
    coins[3] |= {"state": "delisted", "stateReason": "Binance no longer trades it", **bare}
    coins[4] |= {"state": "loading", "stateReason": "waiting for the first data", "price": None,
                 "priceAtMs": None, "change24hPct": None, "spark": [], "closedUntilMs": None,
                 "fetchedAtMs": None, **bare}  # fmt: skip
    for index in (2, 3, 4):
        signals[coins[index]["symbol"]] = None
    actors = [dict(each) for each in data["actors"]]
    death = {"atMs": now_ms - 30_000, "cause": "killed by SIGKILL", "lastWords": "segment lost"}
    actors[0] |= {"state": "backoff", "pid": None, "restarts": 3, "lastDeath": death,
                  "backoffUntilMs": now_ms + 4_000, "beatAtMs": None}  # fmt: skip
    actors[1] |= {"state": "quarantined", "pid": None, "restarts": 5, "lastDeath": death,
                  "backoffUntilMs": now_ms + 290_000, "reason": "5 deaths within 60 s"}  # fmt: skip
    return data | {"coinData": coins, "taSignals": signals, "actors": actors}


def not_simply_traded(data: Document, now_ms: int) -> Document:
    """Return the snapshot with a coin in each state of its listing."""
    coins = [dict(each) for each in data["coinData"]]
    over = {"computedAtMs": None, "base": None, "bonus": None, "change24hPct": None,
            "nextCloseMs": None}  # fmt: skip
    long_ago_ms = now_ms - 139 * 86_400_000
    coins[0] |= {"state": "announced", "closedUntilMs": None, "price": None, "spark": [],
                 "stateReason": "announced: trading has not begun (PRE_TRADING)",
                 **over}  # fmt: skip
    coins[1] |= {"state": "young",
                 "stateReason": "young: listed 25 min ago, no closed 1h candle yet"}  # fmt: skip
    coins[2] |= {"state": "halted", "change24hPct": None, "nextCloseMs": None,
                 "stateReason": "halted since 2026-11-30 07:05 UTC: status HALT"}  # fmt: skip
    coins[3] |= {"state": "dead", "stateReason": "dead since 2026-07-14: status BREAK",
                 "closedUntilMs": long_ago_ms, **over}  # fmt: skip
    coins[4] |= {"state": "delisted", "stateReason": "delisted: not listed at the exchange",
                 "closedUntilMs": long_ago_ms, **over}  # fmt: skip
    signals = dict(data["taSignals"])
    for index in (0, 3, 4):
        signals[coins[index]["symbol"]] = None
    return data | {"coinData": coins, "taSignals": signals}


def without_redis(data: Document, now_ms: int) -> Document:
    """Return the snapshot as the server tells it while Redis is away."""
    bare = {"computedAtMs": None, "base": None, "bonus": None, "state": "unavailable",
            "stateReason": "Redis does not answer"}  # fmt: skip
    return data | {
        "coinData": [each | bare for each in data["coinData"]],
        "taSignals": dict.fromkeys(data["taSignals"]),
        "redis": {"status": "down", "sinceMs": now_ms - 12_000, "reason": "refused",
                  "fallback": True},
    }  # fmt: skip


def series(
    symbol: str, timeframe: str, now_ms: int, bars: int = 500, *, price: float = 100.0
) -> Document:
    """Return a series with every feature of the chart in it, about a price."""
    step = {"5m": M5_MS, "1h": 3_600_000, "4h": 14_400_000}[timeframe]
    start = now_ms - now_ms % step - bars * step
    unit = price / 100
    closes = [unit * (100 + 8 * math.sin(i / 23) + 3 * math.sin(i / 5)) for i in range(bars + 1)]
    candles = [
        [start + i * step, closes[max(0, i - 1)], max(closes[max(0, i - 1)], c) + 0.4 * unit,
         min(closes[max(0, i - 1)], c) - 0.4 * unit, c, 10.0]
        for i, c in enumerate(closes)
    ]  # fmt: skip
    return {
        "symbol": symbol, "timeframe": timeframe, "tick": 0.01, "source": "sim",
        "candles": candles, "closedUntilMs": start + bars * step,
        "ema": {
            str(p): [unit * (100 + 8 * math.sin((i - p / 3) / 23)) for i in range(bars)] + [None]
            for p in (8, 13, 21, 34, 55, 89)
        },
        "squeeze": {
            "on": [i % 60 < 20 for i in range(bars)] + [None],
            "momentum": [2 * math.sin(i / 15) for i in range(bars)] + [None],
            "fired": [20 <= i % 60 < 23 for i in range(bars)] + [False],
        },
        "stochRsi": {
            "k": [50 + 49 * math.sin(i / 7) for i in range(bars)] + [None],
            "d": [50 + 45 * math.sin((i - 2) / 7) for i in range(bars)] + [None],
        },
        "divergences": [
            {
                "kind": kind, "strength": strength, "pivotAMs": start + a * step,
                "pivotBMs": start + b * step, "knownAtMs": start + (b + 3) * step,
                "kA": 20.0, "kB": 35.0, "priceA": closes[a], "priceB": closes[b],
            }
            for kind, strength, a, b in
            (("bullish", 0.5, 400, 425), ("bearish", 0.2, 450, 470), ("bearish", 0.7, 460, 488))
        ],
        "gaps": [],
        "ribbonState": [("bullish", "bearish", "mixed")[i // 30 % 3] for i in range(bars)] + [None],
        "atr": [1.0] * bars + [None],
    }  # fmt: skip

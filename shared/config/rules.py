"""What must hold between the values of a configuration, beyond each value's own type."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from shared.config.sections import WHOLE_VENUE, Config
from shared.config.yaml_document import KeyPath, dotted
from shared.market import Timeframe
from shared.schema import AUDIT, CANDLES, SCAN_LATEST, TA_LATEST, Entry
from shared.web.hosts import is_loopback

# A group named like an actor would make `restart NAME` ambiguous to the person typing it.
RESERVED_GROUPS = frozenset(
    {
        "account",
        "alerts",
        "auditor",
        "dashboard",
        "exchange-sim",
        "fetcher",
        "health",
        "indicators",
        "redis",
        "scanner",
        "supervisor",
        "trader",
        "trader-api",
        "zygote",
    }
)

# The share of a key's life within which it must be renewed, so that no reader sees a hole.
RENEWAL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken rule: the key to blame, and what to say about it."""

    path: KeyPath
    text: str


def hidden_password(url: str) -> str:
    """Return `url` with its login and its query masked."""
    head, found, tail = url.rpartition("@")
    if found:
        scheme, found, _ = head.partition("://")
        url = f"{scheme}://***@{tail}" if found else f"***@{tail}"
    base, found, _ = url.partition("?")
    return f"{base}?***" if found else base


def group_breaches(groups: Any) -> Iterator[Breach]:
    """Yield empty or misnamed groups and symbols listed twice, from groups as written.

    Works on the plain values, so that one bad symbol does not hide the other faults.
    """
    if not isinstance(groups, Mapping) or not groups:
        yield Breach(("groups",), "no group of coins; add one, such as majors: [BTCUSDT]")
        return
    seen: dict[str, str] = {}
    for name, symbols in groups.items():
        if name in RESERVED_GROUPS:
            yield Breach(
                ("groups", name),
                f"found {name!r}, which is an actor's own name; call the group something else",
            )
        if not isinstance(symbols, list):
            continue
        if not symbols:
            yield Breach(("groups", name), "found an empty list; give it a symbol or remove it")
        for index, symbol in enumerate(symbols):
            at: KeyPath = ("groups", name, index)
            if not isinstance(symbol, str):
                continue
            if symbol in seen:
                yield Breach(at, f"{symbol} stands in {seen[symbol]} already; remove one of them")
            else:
                seen[symbol] = dotted(at)


def breaches(config: Config, faulty: frozenset[KeyPath]) -> Iterator[Breach]:
    """Yield every rule broken between the values of `config`.

    Args:
        config: Values that passed their own types; defaults stand where they did not.
        faulty: Paths of those that did not; rules that look at them are left out.
    """
    for looks_at, rule in _RULES:
        if not any(_overlaps(path, bad) for path in looks_at for bad in faulty):
            yield from rule(config)


def _overlaps(one: KeyPath, other: KeyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _renewal(path: KeyPath, seconds: float, entry: Entry[Any], what: str) -> Iterator[Breach]:
    limit = RENEWAL_SHARE * (entry.ttl_s or 0)
    if seconds > limit:
        yield Breach(
            path,
            f"found {seconds:g}, expected at most {limit:g}: {what} live {entry.ttl_s} s on the "
            f"bus and must be renewed within {RENEWAL_SHARE:.0%} of that; lower it",
        )


def _at_most(
    path: KeyPath, found: float, limit: float, limit_key: str, why: str = ""
) -> Iterator[Breach]:
    if found > limit:
        yield Breach(
            path, f"found {found:g}, expected at most {limit_key} ({limit:g}){why}; lower it"
        )


def _candle_renewal(config: Config) -> Iterator[Breach]:
    seconds, entry = config.fetcher.interval_s, CANDLES[Timeframe.M5]
    yield from _renewal(("fetcher", "interval_s"), seconds, entry, "5m candles")


def _long_candle_renewal(config: Config) -> Iterator[Breach]:
    seconds, entry = config.fetcher.long_interval_s, CANDLES[Timeframe.H1]
    yield from _renewal(("fetcher", "long_interval_s"), seconds, entry, "1h candles")


def _signal_renewal(config: Config) -> Iterator[Breach]:
    seconds = config.indicators.interval_s
    yield from _renewal(("indicators", "interval_s"), seconds, TA_LATEST, "signals")


def _scan_renewal(config: Config) -> Iterator[Breach]:
    seconds = config.scanner.interval_s
    yield from _renewal(("scanner", "interval_s"), seconds, SCAN_LATEST, "scores")


def _audit_renewal(config: Config) -> Iterator[Breach]:
    seconds = config.auditor.interval_s
    yield from _renewal(("auditor", "interval_s"), seconds, AUDIT, "audit reports")


def _request_timeout(config: Config) -> Iterator[Breach]:
    fetcher = config.fetcher
    path, limit_key = ("fetcher", "request_timeout_s"), "fetcher.interval_s"
    why = ": one silent request would take a whole pass"
    yield from _at_most(path, fetcher.request_timeout_s, fetcher.interval_s, limit_key, why)


def _divergence(config: Config) -> Iterator[Breach]:
    divergence = config.indicators.divergence
    if divergence.left + divergence.right >= divergence.window:
        yield Breach(
            ("indicators", "divergence", "window"),
            f"found {divergence.window}, expected more than left + right "
            f"({divergence.left + divergence.right}), or no pivot fits into it; raise it",
        )


def _stop_times(config: Config) -> Iterator[Breach]:
    supervisor = config.supervisor
    path, limit_key = ("supervisor", "stop_s"), "supervisor.stop_all_s"
    why = ", the time for all actors together"
    yield from _at_most(path, supervisor.stop_s, supervisor.stop_all_s, limit_key, why)


def _bonus_floor(config: Config) -> Iterator[Breach]:
    trader = config.trader
    path, limit_key = ("trader", "base_floor"), "trader.entry_score"
    why = ": a base score good enough to be entered could not have its bonus counted"
    yield from _at_most(path, trader.base_floor, trader.entry_score, limit_key, why)


def _protection(config: Config) -> Iterator[Breach]:
    trader = config.trader
    path, limit_key = ("trader", "protect_s"), "trader.unprotected_s"
    why = ", the time a position may be without a stop"
    yield from _at_most(path, trader.protect_s, trader.unprotected_s, limit_key, why)


def _cycle(config: Config) -> Iterator[Breach]:
    trader = config.trader
    limit_s = Timeframe.M5.ms / 1000 - trader.delay_s
    if trader.wait_s >= limit_s:
        yield Breach(
            ("trader", "wait_s"),
            f"found {trader.wait_s:g}, expected less than {limit_s:g}: with trader.delay_s "
            f"({trader.delay_s:g}) the next candle would have closed already; lower it",
        )


def _notional(config: Config) -> Iterator[Breach]:
    trader = config.trader
    path, limit_key = ("trader", "max_notional"), "trader.max_gross_notional"
    why = ", the sizes of all positions"
    yield from _at_most(path, trader.max_notional, trader.max_gross_notional, limit_key, why)


def _same_side(config: Config) -> Iterator[Breach]:
    trader = config.trader
    path, limit_key = ("trader", "max_same_side"), "trader.max_positions"
    yield from _at_most(path, trader.max_same_side, trader.max_positions, limit_key)


def _testing_mode(config: Config) -> Iterator[Breach]:
    if config.mode == "demo":
        return
    for hook in dataclasses.fields(config.testing):
        if getattr(config.testing, hook.name) != hook.default:
            yield Breach(
                ("testing", hook.name),
                f"a hook for trials, allowed in demo mode only (mode is {config.mode}); remove it",
            )


def _poison_coin(config: Config) -> Iterator[Breach]:
    coin = config.testing.poison_coin
    if coin is not None and coin not in _symbols(config):
        yield Breach(
            ("testing", "poison_coin"),
            f"found {coin!r}, expected a symbol listed in groups; correct it",
        )


def _fault_symbols(config: Config) -> Iterator[Breach]:
    known = _symbols(config)
    for index, entry in enumerate(config.simulator.faults):
        if entry.symbol != "*" and entry.symbol not in known:
            yield Breach(
                ("simulator", "faults", index, "symbol"),
                f"found {entry.symbol!r}, expected a symbol listed in groups, or '*' for all; "
                "correct it",
            )


def _fault_endpoints(config: Config) -> Iterator[Breach]:
    for index, entry in enumerate(config.simulator.faults):
        if entry.kind in WHOLE_VENUE and (entry.endpoint is not None or entry.symbol != "*"):
            yield Breach(
                ("simulator", "faults", index),
                f"found {entry.kind} with a symbol or an endpoint, expected it without: it "
                "concerns the whole venue; remove them",
            )
        if entry.endpoint is not None and not entry.kind.startswith("venue_"):
            yield Breach(
                ("simulator", "faults", index, "endpoint"),
                f"found {entry.endpoint!r} beside {entry.kind}, expected it with kinds of the "
                "venue (venue_...) only; remove it",
            )


def _symbols(config: Config) -> set[str]:
    return {symbol for symbols in config.groups.values() for symbol in symbols}


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading it is what checks it
    except ValueError:
        return None
    return parts


def _redis_url(config: Config) -> Iterator[Breach]:
    path: KeyPath = ("redis", "url")
    url = config.redis.url
    shown = hidden_password(url)
    parts = _split(url)
    if parts is None or parts.scheme not in ("redis", "rediss", "unix"):
        expected = "a URL of redis://, rediss:// or unix://, such as redis://127.0.0.1:6379/0"
    elif parts.scheme == "unix":
        expected = "" if parts.path else "the path of a socket, such as unix:///run/redis.sock"
    elif not parts.hostname:
        expected = "a host, as in redis://127.0.0.1:6379/0"
    else:
        database = parts.path.removeprefix("/")
        expected = "" if not database or database.isdecimal() else "a database number at the end"
    if expected:
        yield Breach(path, f"found {shown!r}, expected {expected}; correct it")
    login = url.rpartition("@")[0].rpartition("://")[2]
    if ":" in login or (parts is not None and "password" in parse_qs(parts.query)):
        yield Breach(
            path,
            f"found a password in {shown!r}, expected none: secrets never stand here; remove it, "
            "and give it in the environment as COINEX_REDIS_PASSWORD or as the systemd credential "
            "redis_password",
        )


def _binance_url(config: Config) -> Iterator[Breach]:
    url = config.binance.base_url
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield Breach(
            ("binance", "base_url"),
            f"found {hidden_password(url)!r}, expected http:// or https:// and a host; correct it",
        )


def _venue_url(config: Config) -> Iterator[Breach]:
    url, path = config.venue.base_url, ("venue", "base_url")
    parts, shown = _split(url), hidden_password(config.venue.base_url)
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        yield Breach(
            path,
            f"found {shown!r}, expected http:// or https://, a host and a path such as /v2, and no "
            "more; correct it",
        )
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        yield Breach(
            path,
            f"found {shown!r}, expected https://: orders do not cross a network in the clear; "
            "correct it",
        )


def _stream_url(config: Config) -> Iterator[Breach]:
    url = config.binance.stream_url
    parts = None if url is None else _split(url)
    if url is not None and (
        parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname
    ):
        yield Breach(
            ("binance", "stream_url"),
            f"found {hidden_password(url)!r}, expected ws:// or wss:// and a host; correct it, or "
            "remove the line for the one that belongs to binance.base_url",
        )


def _candles_dir(config: Config) -> Iterator[Breach]:
    directory = config.simulator.candles_dir
    if directory is not None and _kind_of(directory) != "a directory":
        yield Breach(
            ("simulator", "candles_dir"),
            f"found {directory!r}, expected a directory that exists (a relative path starts from "
            f"{Path.cwd()}); correct it, or remove the line for generated prices",
        )


def _state_dir(config: Config) -> Iterator[Breach]:
    kind = _kind_of(config.state_dir)
    if kind not in ("a directory", "absent"):
        yield Breach(
            ("state_dir",),
            f"found {config.state_dir!r}, which is {kind}; name a directory (made if absent)",
        )


def _kind_of(place: str) -> str:
    path = Path(place)
    try:
        return "a directory" if path.is_dir() else "a file" if path.exists() else "absent"
    except OSError as error:
        return f"not readable ({error.strerror})"


_LISTENING = ("health", "dashboard", "simulator", "trader_api")


def _ports(config: Config) -> Iterator[Breach]:
    taken: dict[int, str] = {}
    for name in _LISTENING:
        port = getattr(config, name).port
        first = taken.setdefault(port, name)
        if port and first != name:
            yield Breach(
                (name, "port"),
                f"found {port}, which is {first}.port too; give one of them another, or 0 for any "
                "free one",
            )


_RULES: tuple[tuple[tuple[KeyPath, ...], Callable[[Config], Iterable[Breach]]], ...] = (
    ((("fetcher", "interval_s"),), _candle_renewal),
    ((("fetcher", "long_interval_s"),), _long_candle_renewal),
    ((("indicators", "interval_s"),), _signal_renewal),
    ((("scanner", "interval_s"),), _scan_renewal),
    ((("auditor", "interval_s"),), _audit_renewal),
    ((("fetcher", "request_timeout_s"), ("fetcher", "interval_s")), _request_timeout),
    ((("indicators", "divergence"),), _divergence),
    ((("supervisor", "stop_s"), ("supervisor", "stop_all_s")), _stop_times),
    ((("mode",),), _testing_mode),
    ((("testing", "poison_coin"), ("groups",)), _poison_coin),
    ((("simulator", "faults"), ("groups",)), _fault_symbols),
    ((("simulator", "faults"),), _fault_endpoints),
    ((("redis", "url"),), _redis_url),
    ((("binance", "base_url"),), _binance_url),
    ((("binance", "stream_url"),), _stream_url),
    ((("venue", "base_url"),), _venue_url),
    ((("trader", "base_floor"), ("trader", "entry_score")), _bonus_floor),
    ((("trader", "protect_s"), ("trader", "unprotected_s")), _protection),
    ((("trader", "wait_s"), ("trader", "delay_s")), _cycle),
    ((("trader", "max_notional"), ("trader", "max_gross_notional")), _notional),
    ((("trader", "max_same_side"), ("trader", "max_positions")), _same_side),
    ((("simulator", "candles_dir"),), _candles_dir),
    ((("state_dir",),), _state_dir),
    (tuple((name, "port") for name in _LISTENING), _ports),
)

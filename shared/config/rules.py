"""Rules between the values of a configuration, beyond each value's own type."""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from shared.config.defaults import BUILT_IN
from shared.config.sections import BAD_ROWS, FACTORS, IN_HISTORY, WHOLE_VENUE, Config
from shared.config.venue_catalog import venue_catalog
from shared.config.yaml_document import KeyPath, dotted
from shared.errors import BadMessage
from shared.market import Timeframe
from shared.schema import AUDIT, CANDLES, RENEWAL_SHARE, SCAN_LATEST, TA_LATEST, Entry
from shared.strategy.records import parameter_faults, record_of
from shared.strategy.source import BadStrategy, read_strategy
from shared.web.hosts import is_loopback

# A group named like an actor would make `restart NAME` ambiguous.
RESERVED_GROUPS = frozenset({
    "account", "alerts", "auditor", "dashboard", "exchange-sim", "fetcher", "guests", "health",
    "indicators", "redis", "scanner", "supervisor", "trader", "trader-api", "zygote",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken rule: the key at fault, and the error text."""

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


def breaches(
    config: Config, faulty: frozenset[KeyPath], *, to_run: bool = True
) -> Iterator[Breach]:
    """Yield every rule broken between the values of `config`.

    Args:
        config: Values of the right types; defaults in place of the others.
        faulty: Paths of the others; rules that use them are skipped.
        to_run: Whether a platform is to run with it.
    """
    for looks_at, rule in (*_RULES, *(_RULES_TO_RUN if to_run else ())):
        if not any(_overlaps(path, bad) for path in looks_at for bad in faulty):
            yield from rule(config)


def _overlaps(one: KeyPath, other: KeyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


# A rule: the keys it uses, and the function that yields its breaches.
type _Rule = tuple[tuple[KeyPath, ...], Callable[[Config], Iterable[Breach]]]


def _rule(path: KeyPath, *others: KeyPath, text: Callable[[Config], str]) -> _Rule:
    """Return a rule about one key: `text` returns what is wrong with it, or "".

    Args:
        others: Other keys it uses.
    """

    def found(config: Config) -> Iterator[Breach]:
        if reason := text(config):
            yield Breach(path, reason)

    return (path, *others), found


def _value(config: Config, path: KeyPath) -> Any:
    return functools.reduce(lambda section, name: getattr(section, str(name)), path, config)


def _renewed(section: str, key: str, entry: Entry[Any], what: str) -> _Rule:
    def text(config: Config) -> str:
        seconds, limit = _value(config, (section, key)), RENEWAL_SHARE * (entry.ttl_s or 0)
        return "" if seconds <= limit else (
            f"found {seconds:g}, expected at most {limit:g}: {what} live {entry.ttl_s} s on the "
            f"bus and must be renewed within {RENEWAL_SHARE:.0%} of that; lower it"
        )  # fmt: skip

    return _rule((section, key), text=text)


def _at_most(section: str, key: str, limit_key: str, why: str = "") -> _Rule:
    def text(config: Config) -> str:
        found, limit = _value(config, (section, key)), _value(config, (section, limit_key))
        limit_text = f"{section}.{limit_key} ({limit:g})"
        return "" if found <= limit else (
            f"found {found:g}, expected at most {limit_text}{why}; lower it"
        )  # fmt: skip

    return _rule((section, key), (section, limit_key), text=text)


def _divergence(config: Config) -> str:
    divergence = config.indicators.divergence
    bars = divergence.left + divergence.right
    return "" if bars < divergence.window else (
        f"found {divergence.window}, expected more than left + right ({bars}), or no pivot fits "
        "into it; raise it"
    )  # fmt: skip


def _outlier_atr(config: Config) -> str:
    limit = config.indicators.squeeze.outlier_atr
    return "" if not 0 < limit < 3 else (
        f"found {limit:g}, expected at least 3, or 0 for no outliers at all; "
        "below 3 ordinary bars would be outliers"
    )  # fmt: skip


def _cycle(config: Config) -> str:
    trader = config.trader
    limit_s = Timeframe.M5.ms / 1000 - trader.delay_s
    return "" if trader.wait_s < limit_s else (
        f"found {trader.wait_s:g}, expected less than {limit_s:g}: with trader.delay_s "
        f"({trader.delay_s:g}) the next candle would have closed already; lower it"
    )  # fmt: skip


def _testing_mode(config: Config) -> Iterator[Breach]:
    if config.mode == "demo":
        return
    for hook in dataclasses.fields(config.testing):
        if getattr(config.testing, hook.name) != hook.default:
            yield Breach(
                ("testing", hook.name),
                f"a hook for trials, allowed in demo mode only (mode is {config.mode}); remove it",
            )


def _poison_coin(config: Config) -> str:
    coin = config.testing.poison_coin
    is_known = coin is None or coin in config.symbols
    return "" if is_known else f"found {coin!r}, expected a symbol listed in groups; correct it"


def _fault_symbols(config: Config) -> Iterator[Breach]:
    known = config.symbols
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
        if entry.after_s < 0 and entry.kind not in IN_HISTORY:
            yield Breach(
                ("simulator", "faults", index, "after_s"),
                f"found {entry.after_s:g}, expected 0 or more seconds: only what stays in the "
                f"history ({', '.join(sorted(IN_HISTORY))}) may begin earlier; correct it",
            )
        if entry.kind in FACTORS and entry.value is not None and entry.value <= 0:
            yield Breach(
                ("simulator", "faults", index, "value"),
                f"found {entry.value:g}, expected a factor above 0; correct it",
            )
        if entry.kind == "bad_row" and entry.value not in (None, *BAD_ROWS):
            yield Breach(
                ("simulator", "faults", index, "value"),
                f"found {entry.value:g}, expected a whole number from {BAD_ROWS[0]} to "
                f"{BAD_ROWS[-1]} (docs/simulator.md); correct it",
            )
        everywhere = entry.kind in IN_HISTORY or entry.kind.startswith("venue_")
        if entry.timeframe is not None and everywhere:
            yield Breach(
                ("simulator", "faults", index, "timeframe"),
                f"found {entry.timeframe!r} beside {entry.kind}, which concerns no single one; "
                "remove it",
            )


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


def _binance_url(config: Config) -> str:
    shown = hidden_password(config.binance.base_url)
    return "" if _is_url(config.binance.base_url, "http", "https") else (
        f"found {shown!r}, expected http:// or https:// and a host; correct it"
    )  # fmt: skip


def _futures_url(config: Config) -> str:
    shown = hidden_password(config.binance.futures_url)
    return "" if _is_url(config.binance.futures_url, "http", "https") else (
        f"found {shown!r}, expected http:// or https:// and a host; correct it"
    )  # fmt: skip


def _stream_url(config: Config) -> str:
    url = config.binance.stream_url
    return "" if url is None or _is_url(url, "ws", "wss") else (
        f"found {hidden_password(url)!r}, expected ws:// or wss:// and a host; correct it, or "
        "remove the line for the one that belongs to binance.base_url"
    )  # fmt: skip


def _is_url(url: str, *schemes: str) -> bool:
    parts = _split(url)
    return parts is not None and parts.scheme in schemes and bool(parts.hostname)


def _venue_name(config: Config) -> str:
    known, name = venue_catalog(), config.venue.name
    return "" if name in known else (
        f"found {name!r}, expected one of {', '.join(known)}; correct it"
    )  # fmt: skip


def _venue_environment(config: Config) -> str:
    venue, environment = venue_catalog().get(config.venue.name), config.venue.environment
    return "" if venue is None or environment in venue.urls else (
        f"found {environment!r}, and {venue.title} has no other than {', '.join(venue.urls)}; "
        "correct it"
    )  # fmt: skip


def _venue_currency(config: Config) -> str:
    venue, currency = venue_catalog().get(config.venue.name), config.venue.currency
    return "" if venue is None or currency in venue.currencies else (
        f"found {currency!r}, and accounts of {venue.title} are in {', '.join(venue.currencies)}; "
        "correct it"
    )  # fmt: skip


def _venue_url(config: Config) -> str:
    url = config.venue.base_url
    if url is None:
        return ""
    shown = hidden_password(url)
    parts = urlsplit(url) if _is_url(url, "http", "https") else None
    if parts is None or parts.username is not None or parts.query or parts.fragment:
        return (
            f"found {shown!r}, expected http:// or https://, a host and the path of the venue's "
            "protocol, and no more; correct it"
        )
    venue = venue_catalog().get(config.venue.name)
    if venue is not None and not url.rstrip("/").endswith(venue.path):
        return f"found {shown!r}, expected an address that ends in {venue.path}; correct it"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return (
            f"found {shown!r}, expected https://: orders do not cross a network in the clear; "
            "correct it"
        )
    is_here = is_loopback(parts.hostname or "") and parts.port == config.simulator.port
    if config.mode == "live" and is_here:
        return (
            f"found {shown!r}, where the simulated venue listens: it must not see keys of a real "
            "account; correct it, or simulator.port if another server listens there"
        )
    return ""


def _strategy(config: Config) -> Iterator[Breach]:
    """Yield what is wrong with a strategy's file, and with its parameters as far as known.

    The file is read, never run; what its check has noted says which parameters it takes.
    """
    path: KeyPath = ("strategy_parameters",)
    if config.strategy == BUILT_IN:
        if config.strategy_parameters:
            yield Breach(path, f"found some, and the strategy {BUILT_IN} takes none; remove them")
        return
    try:
        record = record_of(Path(config.state_dir), read_strategy(config.strategy))
    except BadStrategy as error:
        yield Breach(("strategy",), str(error))
        return
    except BadMessage:  # the trader refuses entries and says so
        return
    if record is not None:
        for name, text in parameter_faults(record.parameters, config.strategy_parameters):
            yield Breach((*path, name), text)


def _candles_dir(config: Config) -> str:
    directory = config.simulator.candles_dir
    return "" if directory is None or _kind_of(directory) == "a directory" else (
        f"found {directory!r}, expected a directory that exists (a relative path starts from "
        f"{Path.cwd()}); correct it, or remove the line for generated prices"
    )  # fmt: skip


def _price_path(config: Config) -> str:
    is_known = config.simulator.path == "by_body" or config.mode == "demo"
    return "" if is_known else (
        f"found 'adverse' in {config.mode} mode, expected by_body: how far a bar will go is known "
        "of simulated prices only; remove the line"
    )  # fmt: skip


def _state_dir(config: Config) -> str:
    kind = _kind_of(config.state_dir)
    return "" if kind in ("a directory", "absent") else (
        f"found {config.state_dir!r}, which is {kind}; name a directory (made if absent)"
    )  # fmt: skip


def _unsafe(config: Config) -> str:
    """Return why others could put their own files into the state_dir; "" if they cannot."""
    if _kind_of(config.state_dir) != "a directory":
        return ""
    state_dir = Path(config.state_dir)
    found, us = state_dir.stat(), os.geteuid()
    mode = stat.S_IMODE(found.st_mode)
    place = shlex.quote(str(state_dir.resolve()))
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        todo = f"chmod 700 {place}, once you know that nobody did"
        if mode & stat.S_ISVTX:  # /tmp and its like are meant for everybody
            todo = f"name a directory of its own, or, if nobody else uses it, {todo}"
        return (
            f"found {place} with mode {mode:03o}, expected 700: others may replace the journal and "
            f"the kill switch in it; {todo}"
        )
    if found.st_uid != us != 0:  # root may use what anybody else has, such as a container's volume
        return (
            f"found {place}, which belongs to user {found.st_uid}, expected {us}, who runs this: "
            f"its owner may replace the journal and the kill switch in it; chown -R {us} {place}, "
            "or run it as its owner"
        )
    return ""


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


_RULES: tuple[_Rule, ...] = (
    _renewed("fetcher", "interval_s", CANDLES[Timeframe.M5], "5m candles"),
    _renewed("fetcher", "long_interval_s", CANDLES[Timeframe.H1], "1h candles"),
    _renewed("indicators", "interval_s", TA_LATEST, "signals"),
    _renewed("scanner", "interval_s", SCAN_LATEST, "scores"),
    _renewed("auditor", "interval_s", AUDIT, "audit reports"),
    _at_most("fetcher", "request_timeout_s", "interval_s",
             ": one silent request would take a whole pass"),
    _rule(("indicators", "divergence", "window"), ("indicators", "divergence"), text=_divergence),
    _rule(("indicators", "squeeze", "outlier_atr"), text=_outlier_atr),
    _at_most("supervisor", "stop_s", "stop_all_s", ", the time for all actors together"),
    ((("mode",),), _testing_mode),
    _rule(("testing", "poison_coin"), ("groups",), text=_poison_coin),
    ((("simulator", "faults"), ("groups",)), _fault_symbols),
    ((("simulator", "faults"),), _fault_endpoints),
    ((("redis", "url"),), _redis_url),
    _rule(("binance", "base_url"), text=_binance_url),
    _rule(("binance", "stream_url"), text=_stream_url),
    _rule(("binance", "futures_url"), text=_futures_url),
    _rule(("venue", "name"), text=_venue_name),
    _rule(("venue", "environment"), ("venue", "name"), text=_venue_environment),
    _rule(("venue", "currency"), ("venue", "name"), text=_venue_currency),
    _rule(("venue", "base_url"), ("mode",), ("simulator", "port"), text=_venue_url),
    _at_most("trader", "base_floor", "entry_score",
             ": a base score good enough to be entered could not have its bonus counted"),
    _at_most("trader", "protect_s", "unprotected_s",
             ", the time a position may be without a stop"),
    _rule(("trader", "wait_s"), ("trader", "delay_s"), text=_cycle),
    _at_most("trader", "max_notional", "max_gross_notional", ", the sizes of all positions"),
    _at_most("trader", "max_same_side", "max_positions"),
    _rule(("simulator", "candles_dir"), text=_candles_dir),
    _rule(("simulator", "path"), ("mode",), text=_price_path),
    _rule(("state_dir",), text=_state_dir),
    ((("strategy",), ("strategy_parameters",), ("state_dir",)), _strategy),
    (tuple((name, "port") for name in _LISTENING), _ports),
)  # fmt: skip

_RULES_TO_RUN: tuple[_Rule, ...] = (_rule(("state_dir",), text=_unsafe),)

"""`/metrics` for Prometheus: gauges made from the snapshot at each scrape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.health.guest_verdict import GUESTS, is_answering
from shared.health.trading_verdict import ACCOUNT, MEANS, TRADER, answering, share
from shared.health.verdict import Limits, Snapshot, Verdict, age_s, is_audited
from shared.messages.actors import Heartbeat

SCAN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HealthMetrics(Collector):
    """A separate registry, without the metrics of the process or of libraries.

    Args:
        current: Returns the newest snapshot, its verdict, and now in epoch ms.
    """

    def __init__(
        self, current: Callable[[], tuple[Snapshot, Verdict, int]], limits: Limits
    ) -> None:
        self._current = current
        self._limits = limits
        # the text format would call a time of creation a gauge
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._scans = Histogram(
            "coinex_scan_seconds",
            "Duration of one pass over an indicator group's coins",
            ["actor"],
            buckets=SCAN_BUCKETS_S,
            registry=self._registry,
        )

    def scan(self, actor: str, seconds: float) -> None:
        self._scans.labels(actor).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Yield nothing: the metrics depend on the snapshot."""
        return ()

    def collect(self) -> Iterable[Metric]:
        snapshot, verdict, now_ms = self._current()
        yield from _platform(snapshot, verdict, now_ms)
        yield from _actors(snapshot, now_ms)
        yield from _coins(snapshot, now_ms)
        yield from _audit(snapshot, now_ms)
        if snapshot.trader_kind == "outside":
            yield from _guest_account(snapshot, now_ms)
            yield from _guest_trader(snapshot, now_ms, self._limits)
            yield from _guest_events(snapshot)
        yield from _account(snapshot, now_ms)
        yield from _trader(snapshot, now_ms, self._limits)
        yield from _alerts(snapshot)


def _gauge(name: str, text: str, value: float | None) -> Iterable[Metric]:
    if value is not None:
        yield GaugeMetricFamily(name, text, value=value)


def _labelled(
    label: str,
    name: str,
    text: str,
    values: Mapping[str, float | None],
    kind: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily,
) -> Metric:
    """Return a metric with one value for each label; None is left out."""
    metric = kind(name, text, labels=[label])
    for each, value in values.items():
        if value is not None:
            metric.add_metric([each], value)
    return metric


def _platform(snapshot: Snapshot, verdict: Verdict, now_ms: int) -> Iterable[Metric]:
    statuses = {each: float(verdict.status == each) for each in ("ok", "degraded", "down")}
    yield _labelled("status", "coinex_health", "1 for the status that holds", statuses)
    yield from _gauge("coinex_problems", "Problems named on /health", len(verdict.problems))
    kinds = Counter[str](problem.kind for problem in verdict.found)
    text = "Of these, by their entry in docs/runbook.md"
    yield _labelled("kind", "coinex_problems_of_kind", text, kinds)
    yield from _gauge("coinex_coins_fresh", "Coins with a fresh signal", verdict.fresh_coins)
    yield from _gauge(
        "coinex_bus_up", "Redis answers and takes writes", snapshot.redis.status == "up"
    )
    trip_ms = snapshot.redis.round_trip_ms
    trip_s = None if trip_ms is None else trip_ms / 1000
    yield from _gauge("coinex_bus_round_trip_seconds", "Time Redis takes to answer", trip_s)
    fetcher = snapshot.heartbeats.get("fetcher")
    for name, text in (("used_weight", "used this minute"), ("weight_limit", "allowed per minute")):
        value = fetcher.detail.get(name) if fetcher else None
        if isinstance(value, int | float):
            yield from _gauge(f"coinex_request_{name}", f"Request weight {text}", value)
    left_s = max(0, snapshot.ban.until_ms - now_ms) / 1000 if snapshot.ban else 0.0
    text = "Time left until requests are allowed"
    yield from _gauge("coinex_exchange_ban_seconds", text, left_s)


def _actors(snapshot: Snapshot, now_ms: int) -> Iterable[Metric]:
    of_actor = partial(_labelled, "actor")
    statuses = {
        name: snapshot.statuses[name] for name in snapshot.actors if name in snapshot.statuses
    }
    beats = {
        name: snapshot.heartbeats[name] for name in snapshot.actors if name in snapshot.heartbeats
    }
    states: dict[str, str] = {name: beat.state for name, beat in beats.items()}
    states |= {name: status.state for name, status in statuses.items()}
    up = {name: float(states.get(name) == "ready") for name in snapshot.actors}
    restarts = {name: status.restarts for name, status in statuses.items()}
    ages = {name: age_s(beat.at_ms, now_ms) or 0.0 for name, beat in beats.items()}
    memory = {name: beat.pss_mb * 2**20 for name, beat in beats.items()}
    lags = {name: beat.lag_ms / 1000 for name, beat in beats.items()}
    skipped = {name: _counted(beat, "bad_messages") for name, beat in beats.items()}
    if snapshot.supervisor is not None:
        skipped["supervisor"] = snapshot.supervisor.bad_messages
    counter = CounterMetricFamily
    yield of_actor("coinex_actor_up", "1 while the actor is ready", up)
    yield of_actor("coinex_actor_restarts", "Times it was started again", restarts, counter)
    yield of_actor("coinex_actor_heartbeat_age_seconds", "Since its newest heartbeat", ages)
    yield of_actor("coinex_actor_pss_bytes", "Memory, its share of shared pages", memory)
    yield of_actor("coinex_actor_loop_lag_seconds", "How late its event loop turns", lags)
    text = "Messages on the bus it had to skip"
    yield of_actor("coinex_actor_bad_messages", text, skipped, counter)


def _coins(snapshot: Snapshot, now_ms: int) -> Iterable[Metric]:
    signals = {
        symbol: snapshot.signals[symbol]
        for symbol in snapshot.symbols
        if symbol in snapshot.signals
    }
    ages = {symbol: age_s(signal.computed_at_ms, now_ms) for symbol, signal in signals.items()}
    text = "Since the signal was computed"
    yield _labelled("symbol", "coinex_signal_age_seconds", text, ages)
    candles = GaugeMetricFamily(
        "coinex_candle_age_seconds",
        "Since the candles of the newest signal were fetched",
        labels=["symbol", "timeframe"],
    )
    for symbol, signal in signals.items():
        for timeframe, state in signal.inputs.items():
            if (age := age_s(state.fetched_at_ms, now_ms)) is not None:
                candles.add_metric([symbol, timeframe], age)
    yield candles
    in_force = [q for q in snapshot.quarantines.values() if q.until_ms > now_ms]
    left_out = {stage: sum(q.stage == stage for q in in_force) for stage in ("fetch", "compute")}
    yield _labelled("stage", "coinex_coins_quarantined", "Coins left out of a stage", left_out)


def _audit(snapshot: Snapshot, now_ms: int) -> Iterable[Metric]:
    report = snapshot.audit
    if report is None or not is_audited(snapshot):
        return
    of_field, fields = partial(_labelled, "field"), report.fields.items()
    error = {n: math.inf if f.difference is None else f.difference for n, f in fields}
    allowed = {name: field.tolerance for name, field in fields}
    beyond = {name: len(field.coins_beyond) for name, field in fields}
    text = "Largest difference from the referee, in the field's unit; +Inf where one has no number"
    yield of_field("coinex_audit_error", text, error)
    text = "Difference from the referee that is allowed"
    yield of_field("coinex_audit_tolerance", text, allowed)
    yield of_field("coinex_audit_coins_beyond", "Coins beyond the tolerance", beyond)
    yield from _gauge("coinex_audit_coins", "Coins compared lately", report.coins)
    age = age_s(report.at_ms, now_ms)
    yield from _gauge("coinex_audit_age_seconds", "Since the auditor's newest report", age)


def _account(snapshot: Snapshot, now_ms: int) -> Iterable[Metric]:
    positions, balance = snapshot.trading.positions, snapshot.trading.balance
    if ACCOUNT not in snapshot.actors:
        return
    if balance is not None:
        equity = _number(balance.equity_quote)
        yield from _gauge("coinex_account_equity", "In the account's quote currency", equity)
    if positions is not None:
        yield from _gauge("coinex_account_positions", "Open positions", len(positions.positions))
        bare = sum(position.stop_loss is None for position in positions.positions)
        yield from _gauge("coinex_account_positions_without_stop", "Of these, without a stop", bare)
    answers = [message.as_of_ms for message in (positions, balance) if message is not None]
    oldest_ms = min(answers, default=0)
    if oldest_ms:
        age = age_s(oldest_ms, now_ms)
        yield from _gauge("coinex_account_age_seconds", "Since the venue last answered", age)


def _trader(snapshot: Snapshot, now_ms: int, limits: Limits) -> Iterable[Metric]:
    status = snapshot.trading.status
    timer_s = snapshot.trading.timer_s
    if TRADER not in snapshot.actors and (timer_s is None or status is None):
        return
    is_heard = answering(snapshot.trading, now_ms, limits.trading) == "yes"
    mode = status.mode if status is not None and is_heard else "silent"
    modes = {each: float(each == mode) for each in (*MEANS, "silent")}
    yield _labelled("mode", "coinex_trader_mode", "1 for the mode that holds", modes)
    if status is None:
        return
    age = age_s(status.as_of_ms, now_ms)
    yield from _gauge("coinex_trader_age_seconds", "Since its last status", age)
    today = _number(status.pnl_today_quote)
    yield from _gauge("coinex_trader_pnl_today", "Since 00:00 UTC, in quote currency", today)
    used = {limit.name: share(limit) for limit in status.limits}
    latched = {limit.name: float(limit.state == "latched") for limit in status.limits}
    text = "Share of a limit that is used"
    yield _labelled("limit", "coinex_trader_limit_used_ratio", text, used)
    text = "1 until a limit is released"
    yield _labelled("limit", "coinex_trader_limit_latched", text, latched)


def _guest_account(snapshot: Snapshot, now_ms: int) -> Iterable[Metric]:
    positions, balance = snapshot.guest.positions, snapshot.guest.balance
    if balance is not None:
        equity = _number(balance.equity_quote)
        yield from _gauge("coinex_account_equity", "In the account's quote currency", equity)
    if positions is not None:
        yield from _gauge("coinex_account_positions", "Open positions", len(positions.positions))
    answers = [message.as_of_ms for message in (positions, balance) if message is not None]
    age = age_s(min(answers, default=None), now_ms)
    yield from _gauge("coinex_account_age_seconds", "Since the venue last answered", age)


def _guest_trader(snapshot: Snapshot, now_ms: int, limits: Limits) -> Iterable[Metric]:
    status = snapshot.guest.status
    is_heard = is_answering(snapshot.guest, now_ms, limits.trading.guest_s)
    mode = status.mode if status is not None and is_heard else "silent"
    modes = {each: float(each == mode) for each in (*MEANS, "silent")}
    yield _labelled("mode", "coinex_trader_mode", "1 for the mode that holds", modes)
    age = None if status is None else age_s(status.as_of_ms, now_ms)
    yield from _gauge("coinex_trader_age_seconds", "Since its last status", age)


def _guest_events(snapshot: Snapshot) -> Iterable[Metric]:
    heartbeat = snapshot.heartbeats.get(GUESTS)
    kept = None if heartbeat is None else _counted(heartbeat, "events_kept")
    if heartbeat is None or kept is None:
        return
    text = "Events of the outside trader that were kept"
    yield CounterMetricFamily("coinex_guest_events_kept", text, value=kept)
    dropped = heartbeat.detail.get("events_dropped")
    counts = dropped if isinstance(dropped, dict) else {}
    name, text = "coinex_guest_events_dropped", "Events of the outside trader that were not kept"
    yield _labelled("why", name, text, counts, CounterMetricFamily)


def _alerts(snapshot: Snapshot) -> Iterable[Metric]:
    heartbeat = snapshot.heartbeats.get("alerts")
    if heartbeat is None or "alerts" not in snapshot.actors:
        return
    sent = _counted(heartbeat, "sent")
    if sent is not None:
        yield CounterMetricFamily(
            "coinex_alerts_sent", "Messages accepted by alert services", value=sent
        )
    for name, text in (
        ("open", "Open problems that were alerted on"),
        ("waiting", "Messages that a service has not accepted yet"),
        ("held_back", "Lines held back beyond the hourly cap"),
    ):
        yield from _gauge(f"coinex_alerts_{name}", text, _counted(heartbeat, name))


def _counted(heartbeat: Heartbeat, name: str) -> int | None:
    value = heartbeat.detail.get(name)
    return value if type(value) is int else None


def _number(amount: str | None) -> float | None:
    try:
        return None if amount is None else float(amount)
    except ValueError:
        return None

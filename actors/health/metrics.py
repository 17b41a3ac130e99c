"""What `/metrics` shows, for Prometheus: gauges made from the snapshot at each scrape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.health.trading_verdict import ACCOUNT, MEANS, TRADER, answering, share
from shared.health.verdict import Limits, Snapshot, Verdict, age_s, is_audited
from shared.messages.actors import Heartbeat

SCAN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HealthMetrics(Collector):
    """A registry of its own: nothing of the process or of libraries gets in.

    Args:
        look: Returns the newest snapshot, its verdict, and now in epoch ms.
        limits: From when on somebody counts as silent.
    """

    def __init__(self, look: Callable[[], tuple[Snapshot, Verdict, int]], limits: Limits) -> None:
        self._look = look
        self._limits = limits
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
        """Count one finished pass."""
        self._scans.labels(actor).observe(seconds)

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Promise nothing: what there is depends on what was seen."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield every gauge, as of now."""
        seen, verdict, now_ms = self._look()
        yield from _platform(seen, verdict, now_ms)
        yield from _actors(seen, now_ms)
        yield from _coins(seen, now_ms)
        yield from _audit(seen, now_ms)
        yield from _account(seen, now_ms)
        yield from _trader(seen, now_ms, self._limits)
        yield from _alerts(seen)


def _gauge(name: str, text: str, value: float | None) -> Iterable[Metric]:
    if value is not None:
        yield GaugeMetricFamily(name, text, value=value)


def _platform(seen: Snapshot, verdict: Verdict, now_ms: int) -> Iterable[Metric]:
    status = GaugeMetricFamily("coinex_health", "1 for the status that holds", labels=["status"])
    for each in ("ok", "degraded", "down"):
        status.add_metric([each], float(verdict.status == each))
    yield status
    yield from _gauge("coinex_problems", "Problems named on /health", len(verdict.problems))
    kinds = GaugeMetricFamily(
        "coinex_problems_of_kind", "Of these, by their entry in docs/runbook.md", labels=["kind"]
    )
    for kind, count in Counter(problem.kind for problem in verdict.found).items():
        kinds.add_metric([kind], count)
    yield kinds
    yield from _gauge("coinex_coins_fresh", "Coins with a fresh signal", verdict.fresh_coins)
    yield from _gauge("coinex_bus_up", "Redis answers and takes writes", seen.redis.status == "up")
    trip_ms = seen.redis.round_trip_ms
    yield from _gauge(
        "coinex_bus_round_trip_seconds",
        "Time Redis takes to answer",
        None if trip_ms is None else trip_ms / 1000,
    )
    fetcher = seen.heartbeats.get("fetcher")
    for name, text in (("used_weight", "used this minute"), ("weight_limit", "allowed per minute")):
        value = fetcher.detail.get(name) if fetcher else None
        if isinstance(value, int | float):
            yield from _gauge(f"coinex_request_{name}", f"Request weight {text}", value)
    left_ms = max(0, seen.ban.until_ms - now_ms) if seen.ban else 0
    yield from _gauge(
        "coinex_exchange_ban_seconds", "Time left until requests are allowed", left_ms / 1000
    )


def _actors(seen: Snapshot, now_ms: int) -> Iterable[Metric]:
    up = GaugeMetricFamily("coinex_actor_up", "1 while the actor is ready", labels=["actor"])
    restarts = CounterMetricFamily(
        "coinex_actor_restarts", "Times it was started again", labels=["actor"]
    )
    beat = GaugeMetricFamily(
        "coinex_actor_heartbeat_age_seconds", "Since its newest heartbeat", labels=["actor"]
    )
    memory = GaugeMetricFamily(
        "coinex_actor_pss_bytes", "Memory, its share of shared pages", labels=["actor"]
    )
    lag = GaugeMetricFamily(
        "coinex_actor_loop_lag_seconds", "How late its event loop turns", labels=["actor"]
    )
    skipped = CounterMetricFamily(
        "coinex_actor_bad_messages", "Messages on the bus it had to skip", labels=["actor"]
    )
    for name in seen.actors:
        status, heartbeat = seen.statuses.get(name), seen.heartbeats.get(name)
        state = status.state if status else heartbeat.state if heartbeat else ""
        up.add_metric([name], float(state == "ready"))
        if status is not None:
            restarts.add_metric([name], status.restarts)
        if heartbeat is not None:
            beat.add_metric([name], age_s(heartbeat.at_ms, now_ms) or 0.0)
            memory.add_metric([name], heartbeat.pss_mb * 2**20)
            lag.add_metric([name], heartbeat.lag_ms / 1000)
            if (bad := _counted(heartbeat, "bad_messages")) is not None:
                skipped.add_metric([name], bad)
    yield from (up, restarts, beat, memory, lag, skipped)


def _coins(seen: Snapshot, now_ms: int) -> Iterable[Metric]:
    signals = GaugeMetricFamily(
        "coinex_signal_age_seconds", "Since the signal was computed", labels=["symbol"]
    )
    candles = GaugeMetricFamily(
        "coinex_candle_age_seconds",
        "Since the candles of the newest signal were fetched",
        labels=["symbol", "timeframe"],
    )
    left_out = GaugeMetricFamily(
        "coinex_coins_quarantined", "Coins left out of a stage", labels=["stage"]
    )
    for symbol in seen.symbols:
        signal = seen.signals.get(symbol)
        if signal is None:
            continue
        signals.add_metric([symbol], age_s(signal.computed_at_ms, now_ms) or 0.0)
        for timeframe, state in signal.inputs.items():
            if (age := age_s(state.fetched_at_ms, now_ms)) is not None:
                candles.add_metric([symbol, timeframe], age)
    for stage in ("fetch", "compute"):
        in_force = [q for q in seen.quarantines.values() if q.stage == stage]
        left_out.add_metric([stage], sum(q.until_ms > now_ms for q in in_force))
    yield from (signals, candles, left_out)


def _audit(seen: Snapshot, now_ms: int) -> Iterable[Metric]:
    report = seen.audit
    if report is None or not is_audited(seen):
        return
    error = GaugeMetricFamily(
        "coinex_audit_error",
        "Largest difference from the referee, in the field's unit; +Inf where one has no number",
        labels=["field"],
    )
    allowed = GaugeMetricFamily(
        "coinex_audit_tolerance", "Difference from the referee that is allowed", labels=["field"]
    )
    beyond = GaugeMetricFamily(
        "coinex_audit_coins_beyond", "Coins beyond the tolerance", labels=["field"]
    )
    for name, field in report.fields.items():
        error.add_metric([name], math.inf if field.difference is None else field.difference)
        allowed.add_metric([name], field.tolerance)
        beyond.add_metric([name], len(field.coins_beyond))
    yield from (error, allowed, beyond)
    yield from _gauge("coinex_audit_coins", "Coins compared lately", report.coins)
    age = age_s(report.at_ms, now_ms)
    yield from _gauge("coinex_audit_age_seconds", "Since the auditor's newest report", age)


def _account(seen: Snapshot, now_ms: int) -> Iterable[Metric]:
    positions, balance = seen.trading.positions, seen.trading.balance
    if ACCOUNT not in seen.actors:
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


def _trader(seen: Snapshot, now_ms: int, limits: Limits) -> Iterable[Metric]:
    status = seen.trading.status
    if TRADER not in seen.actors:
        return
    is_heard = answering(seen.trading, now_ms, limits.trading) == "yes"
    held = status.mode if status is not None and is_heard else "silent"
    mode = GaugeMetricFamily("coinex_trader_mode", "1 for the mode that holds", labels=["mode"])
    for each in (*MEANS, "silent"):
        mode.add_metric([each], float(each == held))
    yield mode
    if status is None:
        return
    age = age_s(status.as_of_ms, now_ms)
    yield from _gauge("coinex_trader_age_seconds", "Since it last said how it is", age)
    today = _number(status.pnl_today_quote)
    yield from _gauge("coinex_trader_pnl_today", "Since 00:00 UTC, in quote currency", today)
    used = GaugeMetricFamily(
        "coinex_trader_limit_used_ratio", "Share of a limit that is used", labels=["limit"]
    )
    stopped = GaugeMetricFamily(
        "coinex_trader_limit_latched", "1 until a limit is released", labels=["limit"]
    )
    for limit in status.limits:
        stopped.add_metric([limit.name], float(limit.state == "latched"))
        if (part := share(limit)) is not None:
            used.add_metric([limit.name], part)
    yield from (used, stopped)


def _alerts(seen: Snapshot) -> Iterable[Metric]:
    heartbeat = seen.heartbeats.get("alerts")
    if heartbeat is None or "alerts" not in seen.actors:
        return
    sent = _counted(heartbeat, "sent")
    if sent is not None:
        yield CounterMetricFamily(
            "coinex_alerts_sent", "Messages that services for people took", value=sent
        )
    for name, text in (
        ("open", "Problems that people were told of and that are not over"),
        ("waiting", "Messages that a service has not taken yet"),
        ("held_back", "What was to be told beyond the hourly cap"),
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

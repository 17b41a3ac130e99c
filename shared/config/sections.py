"""The sections of the configuration as frozen dataclasses.

`shared/config/load.py` turns a file into a `Config`. Only the supervisor validates: actors get
their section as plain values and rebuild it with `codec.from_plain`, which takes microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from shared.config.defaults import BUILT_IN, NAMESPACE, REDIS_URL, STATE_DIR, UNNAMED_VENUE, Mode
from shared.config.venue_catalog import Environment
from shared.messages.trading import EvidenceDemand, TraderKind
from shared.symbols import SYMBOL_WORDS, is_symbol

MOST = 2**53
"""Whole numbers below it are exact as floats, too."""


def _symbol(text: str) -> str:
    if not is_symbol(text):
        raise ValueError("no symbol")
    return text


def _symbol_or_all(text: str) -> str:
    return text if text == "*" else _symbol(text)


def _plain(value: Any) -> Any:
    # a union of types would name its members in the paths of faults
    if isinstance(value, str) or (isinstance(value, bool | int | float) and abs(value) < MOST):
        return value
    raise ValueError("no plain value")


Text = Annotated[str, Field(min_length=1, description="a text of at least one character")]
Port = Annotated[
    int, Field(ge=0, le=65535, description="a port from 1 to 65535, or 0 for any free one")
]
Positive = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1)]
Points = Annotated[int, Field(ge=0, le=100)]
Percent = Annotated[float, Field(gt=0, le=100)]
SymbolText = Annotated[str, Field(description=SYMBOL_WORDS), AfterValidator(_symbol)]
Reason = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$",
        description="a reason in one line of 1 to 200 characters",
    ),
]
GroupName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9-]{0,30}$",
        description="a group name of 1 to 31 of a-z, 0-9 and '-', a letter first",
    ),
]
Namespace = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9-]+:?)?$",
        description="a namespace of a-z, 0-9 and '-', or the empty text",
    ),
]
HostName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$",
        description="the name of a host such as host.example, without scheme and port",
    ),
]
ParameterValue = Annotated[
    Any, Field(description="a number, a text, true or false"), AfterValidator(_plain)
]
FaultKind = Literal[
    "5xx", "429", "418", "hang", "half_body", "html", "wrong_json", "gap", "price_zero", "late",
    "delisted", "halt", "clock_skew", "bomb", "endless", "forbidden", "restricted",
    "pre_trading", "young", "break", "no_rows", "rows_reversed", "duplicate_row", "bad_row",
    "wrong_unit", "node_behind", "redenomination", "wick", "deep_correction",
    "stream_refuse", "stream_cut", "stream_silent", "stream_half_open", "stream_shutdown",
    "stream_lost_close", "stream_wrong_close", "stream_duplicate", "stream_out_of_order",
    "stream_garbage", "stream_bomb", "stream_behind", "stream_wrong_unit",
    "venue_5xx", "venue_5xx_after", "venue_html", "venue_half_body", "venue_hang",
    "venue_wrong_json", "venue_timeout_after", "venue_cut_after", "venue_rate_limit", "venue_busy",
    "venue_auth", "venue_expired", "venue_clock_skew", "venue_frozen", "venue_thin",
    "venue_unavailable", "venue_unavailable_after", "venue_refuse", "venue_bomb", "venue_endless",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSection:
    url: Text = REDIS_URL
    embedded: Literal["auto", "always", "never"] = "auto"
    namespace: Namespace = NAMESPACE
    users_file: Text | None = None
    maxmemory_mb: Count = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BinanceSection:
    base_url: Text = "https://data-api.binance.vision"
    stream_url: Text | None = None
    futures_url: Text = "https://fapi.binance.com"
    weight_share: Annotated[float, Field(gt=0, le=1)] = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FetcherSection:
    interval_s: Positive = 30
    long_interval_s: Positive = 240
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    request_timeout_s: Positive = 10
    circuit_failures: Count = 5
    circuit_s: Positive = 120
    stream: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueezeSection:
    bb_mult: Annotated[float, Field(gt=0, le=10)] = 2.0
    kc_mult: Annotated[float, Field(gt=0, le=10)] = 1.5
    min_squeeze_bars: Count = 3
    outlier_atr: Annotated[float, Field(ge=0, le=1000)] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceSection:
    left: Count = 5
    right: Count = 3
    window: Annotated[int, Field(ge=10, le=200)] = 50
    fresh: Count = 10
    min_strength: Annotated[float, Field(ge=0, le=1)] = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatorsSection:
    interval_s: Positive = 30
    history: Annotated[int, Field(ge=300, le=1000)] = 500
    coin_failures: Count = 5
    coin_quarantine_s: Positive = 1800
    squeeze: SqueezeSection = field(default_factory=SqueezeSection)
    divergence: DivergenceSection = field(default_factory=DivergenceSection)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorSection:
    enabled: bool = True
    interval_s: Positive = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerSection:
    interval_s: Positive = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSection:
    host: Text = "127.0.0.1"
    port: Port = 8894
    allowed_hosts: list[HostName] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardSection:
    host: Text = "127.0.0.1"
    port: Port = 8892
    allowed_hosts: list[HostName] = field(default_factory=list)
    max_clients: Annotated[int, Field(ge=1, le=1000)] = 128
    send_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsSection:
    enabled: bool = False
    after_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    repeat_min: Annotated[float, Field(ge=0, le=10_080)] = 240
    max_per_hour: Annotated[int, Field(ge=1, le=1000)] = 20
    resolved: bool = True
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSection:
    name: Text = UNNAMED_VENUE
    environment: Environment = "live"
    currency: Text = "USDT"
    base_url: Text | None = None
    window_ms: Annotated[int, Field(ge=1000, le=60_000)] = 5000
    request_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSection:
    interval_s: Annotated[float, Field(ge=1, le=3600)] = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderSection:
    kind: TraderKind = "own"
    outside_every_s: Annotated[float, Field(ge=1, le=86_400)] = 300
    enabled: bool | None = None
    timer_min: Literal[5, 10, 15, 20, 30, 60] | None = None
    use_ta_signals: bool = False
    # evidence
    evidence: EvidenceDemand | None = None
    evidence_file: Text | None = None
    accept_without_evidence: Reason | None = None
    # when
    delay_s: Annotated[float, Field(ge=0, le=60)] = 3
    wait_s: Annotated[float, Field(ge=1, le=240)] = 75
    protect_s: Annotated[float, Field(gt=0, le=60)] = 3
    unprotected_s: Annotated[float, Field(ge=1, le=600)] = 15
    # entries
    entry_score: Points = 85
    base_floor: Points = 75
    margin: Points = 15
    bonus_cap: Annotated[int, Field(ge=0, le=30)] = 30
    index_deviation_pct: Percent = 0.5
    cooldown_min: Annotated[float, Field(ge=0, le=10_080)] = 60
    funding_min: Annotated[float, Field(ge=0, le=480)] = 10
    funding_limit_pct: Percent = 0.05
    # stops, targets, costs
    stop_atr: Annotated[float, Field(gt=0, le=100)] = 1.0
    target_r: Annotated[float, Field(gt=0, le=100)] = 2.0
    stop_costs: Annotated[float, Field(ge=1, le=1000)] = 10
    cost_share_pct: Percent = 10
    max_slippage_bps: Annotated[float, Field(ge=0, le=1000)] = 10
    max_hold_h: Annotated[float, Field(gt=0, le=8760)] = 24
    # sizes
    risk_pct: Percent = 0.25
    max_notional: Annotated[float, Field(gt=0, le=100)] = 0.5
    max_gross_notional: Annotated[float, Field(gt=0, le=100)] = 1.5
    max_positions: Count = 3
    max_same_side: Count = 2
    max_leverage: Annotated[int, Field(ge=1, le=100)] = 10
    liquidation_stops: Annotated[float, Field(ge=1, le=100)] = 2
    # breakers
    daily_loss_pct: Percent = 2
    drawdown_pct: Percent = 8
    max_losses: Count = 5
    loss_pause_h: Annotated[float, Field(ge=0, le=8760)] = 24
    max_orders_per_hour: Count = 30
    max_refusals_per_hour: Count = 30
    warn_pct: Percent = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderApiSection:
    host: Text = "127.0.0.1"
    port: Port = 8895
    allowed_hosts: list[HostName] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEntry:
    """One fault of the simulated exchange: kind, symbol, start and duration."""

    kind: FaultKind
    symbol: Annotated[
        str,
        Field(description="a symbol such as BTCUSDT, or '*' for all"),
        AfterValidator(_symbol_or_all),
    ] = "*"
    after_s: Annotated[float, Field(ge=-86_400 * 366)] = 0
    for_s: Annotated[float, Field(gt=0)] = 60
    value: float | None = None
    timeframe: Literal["5m", "1h", "4h"] | None = None
    endpoint: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z-]{1,60}$",
            description="the last part of a path of the venue, such as order",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSection:
    host: Text = "127.0.0.1"
    port: Port = 8899
    allowed_hosts: list[HostName] = field(default_factory=list)
    candles_dir: Text | None = None
    seed: Annotated[int, Field(ge=0)] = 7
    path: Literal["by_body", "adverse"] = "by_body"
    faults: list[FaultEntry] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSection:
    # below 3 s a busy machine would kill healthy actors: a beat is due every second
    hung_s: Annotated[float, Field(ge=3, le=3600)] = 15
    start_s: Positive = 30
    stop_s: Positive = 10
    stop_all_s: Positive = 45
    healthy_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    max_deaths: Count = 5
    window_s: Positive = 60
    quarantine_s: Positive = 300
    coin_quarantine_s: Positive = 1800
    max_pss_mb: Annotated[float, Field(ge=20)] = 300
    restart_stalled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TestingSection:
    """Hooks for trials; refused outside demo mode."""

    __test__: ClassVar[bool] = False  # pytest would collect it by its name

    poison_coin: SymbolText | None = None
    hooks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    # read by pydantic, and inherited by every section above
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, defer_build=True
    )

    mode: Mode = "demo"
    state_dir: Text = STATE_DIR
    groups: dict[GroupName, list[SymbolText]]
    strategy: Text = BUILT_IN
    strategy_parameters: dict[str, ParameterValue] = field(default_factory=dict)
    strategy_timeout_s: Annotated[float, Field(gt=0, le=20)] = 10
    redis: RedisSection = field(default_factory=RedisSection)
    binance: BinanceSection = field(default_factory=BinanceSection)
    fetcher: FetcherSection = field(default_factory=FetcherSection)
    indicators: IndicatorsSection = field(default_factory=IndicatorsSection)
    auditor: AuditorSection = field(default_factory=AuditorSection)
    scanner: ScannerSection = field(default_factory=ScannerSection)
    health: HealthSection = field(default_factory=HealthSection)
    dashboard: DashboardSection = field(default_factory=DashboardSection)
    alerts: AlertsSection = field(default_factory=AlertsSection)
    venue: VenueSection = field(default_factory=VenueSection)
    account: AccountSection = field(default_factory=AccountSection)
    trader: TraderSection = field(default_factory=TraderSection)
    trader_api: TraderApiSection = field(default_factory=TraderApiSection)
    simulator: SimulatorSection = field(default_factory=SimulatorSection)
    supervisor: SupervisorSection = field(default_factory=SupervisorSection)
    testing: TestingSection = field(default_factory=TestingSection)

    @property
    def symbols(self) -> list[str]:
        """Return every coin of the groups, in their order."""
        return [symbol for group in self.groups.values() for symbol in group]


# Kinds of faults without coin and endpoint: they concern the whole venue.
# Kinds that stay in a coin's history, so that they may begin before the start.
IN_HISTORY: frozenset[FaultKind] = frozenset({"halt", "redenomination", "wick", "deep_correction"})
FACTORS: frozenset[FaultKind] = frozenset({"redenomination", "wick"})
BAD_ROWS = range(1, 7)
"""What is wrong with a bad_row, as docs/simulator.md lists it."""
WHOLE_VENUE: frozenset[FaultKind] = frozenset({"venue_frozen", "venue_thin"})

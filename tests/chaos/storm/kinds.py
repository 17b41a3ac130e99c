"""The kinds of faults: duration, affected actors, detection deadlines. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Affected = Literal["none", "victim", "all"]
Scene = Literal["own", "apart", "both"]
"""With its own embedded Redis, with one behind a bad wire, or either."""

INDICATORS = "indicators-*"
ANY_ACTOR = ("*",)
# without exchange-sim, whose death would end the other faults
OURS = (INDICATORS, "fetcher", "scanner", "account", "trader", "trader-api", "dashboard", "health")

CLIENTS = (INDICATORS, "scanner", "account", "trader", "trader-api", "dashboard")

REPLACED_S = 5.0
"""From the verdict "hung" to the new process: SIGABRT, its grace time, SIGKILL, fork."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Intervals of the platform under test. Units: seconds."""

    scan_s: float
    hung_s: float
    weigh_s: float = 10.0

    @property
    def heal_s(self) -> float:
        """Recovery deadline after the end of a fault."""
        return self.scan_s + 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault. Units: seconds, or whole scans, or times `hung_s`.

    Attributes:
        lasts_s: Range of its duration; 0 for an instant fault.
        lasts_scans, lasts_hungs: Added to both ends of the range.
        noticed_s: Time to detect an instant fault...
        noticed_hungs, noticed_scans: ...added in `hung_s` and in scans.
        seen_s: `/health` must leave `ok` within this from the begin; None: not required.
        seen_scans: Added to it.
        named: Pattern that one of `/health`'s problems must match then, besides the victim's name.
        aims: Patterns of possible victims.
        dies: Which actors may die of it.
        stale: Which actors' coins may be stale until recovery.
        ways: Variants, one of which is drawn.
        needs: Required feature of machine or platform, such as `full-disk`.
        hits_redis: Commands may wait until it is over.
    """

    name: str
    scene: Scene = "both"
    lasts_s: tuple[float, float] = (0, 0)
    lasts_scans: float = 0
    lasts_hungs: float = 0
    noticed_s: float = 0
    noticed_hungs: float = 0
    noticed_scans: float = 0
    seen_s: float | None = None
    seen_scans: float = 0
    named: str = ""
    aims: tuple[str, ...] = ()
    dies: Affected = "none"
    stale: Affected = "none"
    ways: tuple[str, ...] = ("",)
    needs: str = ""
    hits_redis: bool = False

    def lasting(self, pace: Pace, luck: float) -> float:
        """Return its duration; `luck` is uniform in [0, 1)."""
        least, most = self.lasts_s
        fixed = self.lasts_scans * pace.scan_s + self.lasts_hungs * pace.hung_s
        return fixed + least + luck * (most - least)

    def noticed(self, pace: Pace) -> float:
        """Return the time the platform may take to notice it once it is over."""
        return self.noticed_s + self.noticed_hungs * pace.hung_s + self.noticed_scans * pace.scan_s

    def seen(self, pace: Pace) -> float | None:
        """Return the time within which `/health` must show it; None: not required."""
        return None if self.seen_s is None else self.seen_s + self.seen_scans * pace.scan_s


_SEEN_BEAT_S = (
    14.0  # a heartbeat counts as missing after 10 s; the bus and the page look each second
)
_REDIS = "(?i)redis"
_WIRE = ("5xx", "html", "wrong_json", "half_body", "hang", "bomb", "endless")
_VENUE = ("venue_5xx", "venue_html", "venue_half_body", "venue_wrong_json", "venue_busy",
          "venue_bomb", "venue_endless")  # fmt: skip

KINDS: tuple[Kind, ...] = (
    # processes
    Kind(name="kill", noticed_s=REPLACED_S, aims=ANY_ACTOR, dies="victim"),
    Kind(name="crash", noticed_s=REPLACED_S, aims=ANY_ACTOR, dies="victim"),
    Kind(name="kill-in-order", noticed_s=REPLACED_S, aims=("trader",), dies="victim",
         ways=("0 ms", "5 ms", "15 ms", "40 ms", "100 ms", "250 ms")),
    Kind(
        name="freeze", noticed_s=REPLACED_S, noticed_hungs=1, seen_s=_SEEN_BEAT_S, aims=ANY_ACTOR,
        dies="victim", stale="victim",
    ),
    Kind(
        name="block", noticed_s=REPLACED_S, noticed_hungs=1, seen_s=_SEEN_BEAT_S, aims=OURS,
        dies="victim", stale="victim", needs="hooks",
    ),
    Kind(name="short-block", lasts_hungs=0.5, aims=OURS, needs="hooks"),
    Kind(name="bloat", noticed_s=30, aims=OURS, needs="hooks"),
    Kind(name="descriptors", lasts_s=(8, 15), noticed_s=REPLACED_S, aims=OURS, dies="victim",
         stale="victim"),
    Kind(name="zygote-kill", noticed_s=15, dies="all"),
    Kind(name="supervisor-kill", lasts_s=(0, 3), noticed_s=20, seen_s=None, dies="all",
         stale="all"),
    Kind(name="two-supervisors", noticed_s=20, dies="all", stale="all"),
    # Redis
    Kind(name="redis-kill", scene="own", noticed_s=5, hits_redis=True),
    Kind(name="redis-pause", lasts_s=(16, 25), seen_s=8, named=_REDIS, stale="all",
         hits_redis=True),
    Kind(name="redis-full", lasts_s=(18, 25), seen_s=15, named=_REDIS, stale="all",
         hits_redis=True),
    Kind(name="redis-refuses", lasts_s=(18, 25), seen_s=15, named=_REDIS, stale="all",
         ways=("READONLY", "NOREPLICAS", "MASTERDOWN"), hits_redis=True),
    Kind(name="redis-frozen", scene="own", noticed_s=20, noticed_hungs=1, seen_s=8, named=_REDIS,
         stale="all", hits_redis=True),
    Kind(name="redis-flushed", noticed_s=5, noticed_scans=1, stale="all", hits_redis=True),
    Kind(name="cut-off", scene="apart", lasts_s=(18, 25), seen_s=_SEEN_BEAT_S, aims=CLIENTS,
         stale="victim"),
    Kind(name="redis-slow", scene="apart", lasts_s=(15, 25), hits_redis=True),
    Kind(name="redis-drops", scene="apart", lasts_s=(15, 25), stale="all", hits_redis=True),
    Kind(name="redis-hole", scene="apart", lasts_s=(16, 25), seen_s=8, named=_REDIS, stale="all",
         hits_redis=True),
    # outside
    Kind(name="exchange", lasts_s=(5, 10), lasts_scans=1, seen_s=10, seen_scans=1,
         named="fetch", stale="all", ways=_WIRE),
    Kind(name="ban", lasts_s=(5, 10), lasts_scans=1, seen_s=10, seen_scans=1, named="HTTP 4(29|18)",
         stale="all", ways=("429", "418")),
    # a refused address asks again after a minute
    Kind(name="address", lasts_s=(5, 10), lasts_scans=1, noticed_s=75, seen_s=10, seen_scans=1,
         named="HTTP 4(03|51)", stale="all", ways=("forbidden", "restricted")),
    Kind(name="rows", lasts_s=(10, 20), lasts_scans=1,
         ways=("duplicate_row", "rows_reversed", "bad_row", "node_behind", "stream_behind",
               "stream_wrong_unit")),
    Kind(name="rows-none", lasts_s=(15, 20), lasts_scans=1, noticed_scans=1, seen_s=10,
         seen_scans=1, named="returned no candles|times in microseconds", stale="all",
         ways=("no_rows", "wrong_unit")),
    Kind(name="history", lasts_s=(10, 20), lasts_scans=1, noticed_scans=1, stale="all",
         ways=("redenomination", "wick", "deep_correction")),
    Kind(
        name="stream", lasts_s=(10, 20),
        ways=("stream_cut", "stream_silent", "stream_half_open", "stream_refuse",
              "stream_lost_close", "stream_duplicate", "stream_out_of_order", "stream_garbage",
              "stream_bomb"),
    ),
    Kind(name="venue", lasts_s=(35, 45), seen_s=32, named="account|trader", ways=_VENUE),
    Kind(name="venue-refuses", lasts_s=(35, 45), seen_s=32, named="account|trader",
         ways=("venue_auth", "venue_expired", "venue_unavailable", "venue_refuse")),
    # what a thin book refuses is sent again after at most 24 s
    Kind(name="venue-odd", lasts_s=(20, 30), noticed_s=10, ways=("venue_frozen", "venue_thin",
                                                                "venue_clock_skew")),
    Kind(name="venue-doubt", lasts_s=(20, 30), ways=(
        "venue_timeout_after", "venue_cut_after", "venue_5xx_after", "venue_unavailable_after",
        "venue_hang", "venue_rate_limit",
    )),
    # the machine
    # candles fetched by the old clock are stale until the fetcher's next pass
    Kind(name="clock", lasts_s=(10, 20), lasts_scans=1, noticed_scans=1, stale="all",
         ways=("+1h", "-1h"), needs="hooks"),
    Kind(name="disk-full", scene="own", lasts_s=(18, 25), seen_s=12,
         named="(?i)disk|space|redis|journal|writ", stale="all", needs="full-disk",
         hits_redis=True),
    # what was removed, or had another mode, is on /health for a minute
    Kind(name="removed", noticed_s=60, ways=("log", "supervisor.sock")),
    Kind(name="modes", noticed_s=70, seen_s=15, named="corrected", ways=(".", "log", "trader.db")),
    # a bad message is on /health for a minute, a reply on Redis for as long
    Kind(name="flood", lasts_s=(8, 12), noticed_s=65,
         ways=("control", "closes", "signals", "events", "commands", "connections")),
    Kind(name="starved", lasts_s=(20, 30), noticed_s=5, stale="all",
         ways=("busy loops", "throttled")),
    Kind(name="journal-locked", lasts_s=(25, 35), seen_s=22, named="journal"),
)  # fmt: skip

BY_NAME = {kind.name: kind for kind in KINDS}

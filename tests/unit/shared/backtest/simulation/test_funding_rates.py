"""Funding by recorded rates, at their times; by made-up ones where there are none.

The coin stands at 100, so that 8.99 of it are entered at 100.005; see `test_account_run`.
"""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import numpy as np
import pytest

from shared.backtest.recording import NothingToReplay
from shared.backtest.replay import Recording
from shared.backtest.results.hashes import data_hash
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.funding_rates import NEVER_MS, RecordedFunding, RecordedRates
from shared.backtest.simulation.market_detail import MarketDetail, assumptions, read_details
from shared.backtest.simulation.trades import Trade
from shared.candles.parquet import FundingRates, write_funding
from shared.candles.stored_series import store_file
from shared.config.sections import TraderSection
from shared.errors import BadCandle
from shared.exchanges.sim.rules import FUNDING_MS, usual_funding_rate
from shared.market import Timeframe
from tests.support.made_scores import BAR_MS, BEGIN_MS, DAY_MS, flat, scored

HOUR_MS = 3_600_000
COIN = "AAAUSDT"
SIZE = D("8.99")


def rates(*rows: tuple[int, float], known: tuple[int, int] | None = None) -> RecordedRates:
    times = np.array([BEGIN_MS + ms for ms, _ in rows], dtype=np.int64)
    since, until = known or (0, DAY_MS)
    return RecordedRates(
        times, np.array([rate for _, rate in rows]), ((BEGIN_MS + since, BEGIN_MS + until),)
    )


def run(found: RecordedRates | None, side: str = "long", funding: str = "recorded") -> Trade:
    coin = scored(COIN, flat(289), {side: {10: 90}})
    model = FillModel(funding=funding)  # type: ignore[arg-type]
    coin = MarketDetail(rates=found).of(coin)
    settings = TraderSection(max_notional=0.09)
    history = run_account([coin], settings, model, BEGIN_MS, BEGIN_MS + DAY_MS)
    (trade,) = history.trades
    return trade


@pytest.mark.parametrize(("side", "sign"), [("long", -1), ("short", 1)])
def test_longs_pay_positive_rates_at_their_times(side: str, sign: int) -> None:
    # the first is before the entry, and the last after the end
    found = rates((3, 0.01), (4 * HOUR_MS, 0.0001), (8 * HOUR_MS + 7, -0.00025),
                  (DAY_MS + 1, 0.01), known=(0, DAY_MS + 2))  # fmt: skip
    trade = run(found, side)
    assert trade.how == "end"
    paid = D("0.0001") * 100 * trade.size - D("0.00025") * 100 * trade.size
    assert trade.funding == sign * paid
    moved = trade.size * (trade.exit_price - trade.entry_price) * (1 if side == "long" else -1)
    assert trade.pnl == moved - trade.fees + trade.funding


def test_where_rates_are_not_known_made_up_ones_are_paid() -> None:
    part = rates((8 * HOUR_MS, 0.001), known=(6 * HOUR_MS, 12 * HOUR_MS))
    usual = [usual_funding_rate(COIN, BEGIN_MS + h * HOUR_MS) for h in (8, 16, 24)]
    assert run(part).funding == -SIZE * 100 * (D("0.001") + usual[1] + usual[2])
    assert run(None).funding == -SIZE * 100 * sum(usual)
    # nothing was paid in all of the day
    assert run(rates(known=(0, DAY_MS + 1))).funding == 0


def test_the_schedule_is_each_market_s_own() -> None:
    four = rates((4 * HOUR_MS, 0.001), (9 * HOUR_MS, 0.002))
    schedule = RecordedFunding({"A": four})
    assert schedule.next_ms(("A",), BEGIN_MS) == BEGIN_MS + 4 * HOUR_MS
    assert schedule.next_ms(("A",), BEGIN_MS + 4 * HOUR_MS) == BEGIN_MS + 9 * HOUR_MS
    assert schedule.next_ms(("A", "B"), BEGIN_MS + 4 * HOUR_MS) == BEGIN_MS + 8 * HOUR_MS
    assert schedule.next_ms(("A",), BEGIN_MS + 9 * HOUR_MS) == BEGIN_MS + DAY_MS
    assert schedule.next_ms((), BEGIN_MS) == NEVER_MS
    assert schedule.rate("A", BEGIN_MS + 4 * HOUR_MS) == D("0.001")
    assert schedule.rate("A", BEGIN_MS + 8 * HOUR_MS) == 0
    assert schedule.rate("B", BEGIN_MS + 4 * HOUR_MS) == 0
    assert schedule.rate("B", BEGIN_MS + 8 * HOUR_MS) == usual_funding_rate(
        "B", BEGIN_MS + 8 * HOUR_MS
    )
    assert FUNDING_MS == 8 * HOUR_MS


def stored(directory: Path, *rows: tuple[int, float], asked: tuple[int, int] | None) -> None:
    found = FundingRates(
        COIN, np.array([ms for ms, _ in rows], dtype=np.int64),
        np.array([rate for _, rate in rows], dtype=np.float64), np.full(len(rows), np.nan),
        () if asked is None else (asked,), "binance",
    )  # fmt: skip
    write_funding(store_file(directory, COIN, "funding"), found)


def test_a_store_s_rates_are_read_and_said_and_in_the_hash(tmp_path: Path) -> None:
    recordings = {s: Recording(s, {Timeframe.M5: flat(289)}) for s in (COIN, "BBBUSDT")}
    span_ms = BEGIN_MS + 2 * BAR_MS, BEGIN_MS + DAY_MS
    rows = [(BEGIN_MS + h * HOUR_MS, 0.0001) for h in range(0, 40, 8)]
    stored(tmp_path, *rows, asked=(BEGIN_MS, BEGIN_MS + 2 * DAY_MS))
    model = FillModel()
    details = read_details(tmp_path, recordings.values(), model, *span_ms)
    assert assumptions(details, model, *span_ms)["funding"] == {
        "recorded": [COIN], "partly": [], "made": ["BBBUSDT"],
    }  # fmt: skip
    kept = details[COIN].rates
    assert kept is not None
    assert kept.times.tolist() == [ms for ms, _ in rows[1:4]]  # the one at the end is paid, too
    whole, plain = (data_hash(recordings, 10, *span_ms, known) for known in (details, None))
    assert whole != plain
    for other in ("made", "none"):
        model = FillModel(funding=other)
        found = read_details(tmp_path, recordings.values(), model, *span_ms)
        assert data_hash(recordings, 10, *span_ms, found) == plain

    stored(tmp_path, *rows[:2], asked=None)  # a file that does not say what was asked for
    details = read_details(tmp_path, recordings.values(), FillModel(), *span_ms)
    assert assumptions(details, FillModel(), *span_ms)["funding"]["partly"] == [COIN]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (((0, 0.0001), (0, 0.0001)), "is not after the one before"),
        (((8, 0.0001), (0, 0.0001)), "is not after the one before"),
        (((0, 0.11),), "cannot be"),
        (((0, np.nan),), "cannot be"),
    ],
)
def test_rates_that_cannot_be_are_refused(
    rows: tuple[tuple[int, float], ...], why: str, tmp_path: Path
) -> None:
    stored(tmp_path, *((BEGIN_MS + ms, rate) for ms, rate in rows), asked=None)
    recording = Recording(COIN, {Timeframe.M5: flat(289)})
    with pytest.raises(BadCandle, match=f"{COIN}-funding.parquet: the rate .* {why}"):
        read_details(tmp_path, [recording], FillModel(), BEGIN_MS, BEGIN_MS + DAY_MS)


def test_minutes_that_nobody_has_are_refused_with_what_to_do(tmp_path: Path) -> None:
    recording = Recording(COIN, {Timeframe.M5: flat(289)})
    with pytest.raises(NothingToReplay, match=r"no 1m candles of these coins .* --timeframes 1m"):
        read_details(tmp_path, [recording], FillModel(detail="1m"), BEGIN_MS, BEGIN_MS + DAY_MS)

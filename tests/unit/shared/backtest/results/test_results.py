"""A result's figures by hand, its digests, its page."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from decimal import Decimal as D
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from shared.backtest.replay import Recording
from shared.backtest.results.document import Question, Result, result_of
from shared.backtest.results.hashes import data_hash, history_digest
from shared.backtest.results.metrics import (
    daily_returns,
    drawdown_pct,
    metrics_of,
    net_at_costs,
    sharpe_ratio,
)
from shared.backtest.results.page import page_of
from shared.backtest.results.random_entries import buy_and_hold, random_entries
from shared.backtest.results.result_files import trade_columns, write_result
from shared.backtest.results.svg import Scale, thinned
from shared.backtest.results.words import as_text, verdict
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.trades import AccountHistory, Locked, Trade
from shared.config.sections import IndicatorsSection, TraderSection
from shared.evidence.hashes import settings_hash
from shared.market import Timeframe
from tests.support.made_results import made_result
from tests.support.made_scores import BAR_MS, BEGIN_MS, DAY_MS, flat

HOUR_MS = 3_600_000


def trade(**change: Any) -> Trade:
    usual: dict[str, Any] = dict(
        symbol="BTCUSDT", side="long", entered_ms=BEGIN_MS + HOUR_MS,
        left_ms=BEGIN_MS + 3 * HOUR_MS, entry_price=D(100), exit_price=D(102), size=D(10),
        how="target", pnl=D(18), risk=D(10), fees=D(1), funding=D(-1), spread=D("0.5"),
        base=90, bonus=0, stop=D(99), target=D(102),
    )  # fmt: skip
    return Trade(**usual | change)


def history(trades: list[Trade], days: int = 1, equity: Any = None) -> AccountHistory:
    at_ms = BEGIN_MS + BAR_MS * np.arange(288 * days, dtype=np.int64)
    level = np.full(len(at_ms), 1000.0) if equity is None else np.asarray(equity, dtype=float)
    return AccountHistory(
        start=1000.0, trades=trades, at_ms=at_ms, equity=level, locked=[], refusals={}
    )


@pytest.fixture(scope="module")
def result() -> Result:
    return made_result()


def test_figures_of_two_trades_by_hand() -> None:
    lost = trade(
        pnl=D(-12), exit_price=D(99), how="stop", entered_ms=BEGIN_MS + 2 * HOUR_MS,
        left_ms=BEGIN_MS + 6 * HOUR_MS, bonus=10,
    )  # fmt: skip
    found = metrics_of(history([trade(), lost]))
    assert found.trades == 2
    assert found.bonus_trades == 1
    assert found.net_return_pct == pytest.approx(0.6)
    assert found.profit_factor == pytest.approx(18 / 12)
    assert found.expectancy_r == pytest.approx((1.8 - 1.2) / 2)
    assert found.won_pct == 50
    assert (found.fees, found.funding, found.spread) == (2, -2, 1)
    # from hour 1 to hour 6, overlapping between 2 and 3
    assert found.exposure_pct == pytest.approx(100 * 5 / 24)
    assert found.turnover == pytest.approx((10 * 202 + 10 * 199) / 1000)
    assert found.sharpe is None  # one day
    assert found.cagr_pct is None


def test_costs_twice_as_high_cost_as_much_again() -> None:
    of = history([trade(), trade(pnl=D(-2))])
    assert net_at_costs(of, 1) == pytest.approx(1.6)
    assert net_at_costs(of, 2) == pytest.approx(1.6 - 0.3)
    assert net_at_costs(of, 0.5) == pytest.approx(1.6 + 0.15)


def test_drawdown_is_from_the_highest_so_far() -> None:
    assert drawdown_pct(np.array([100.0, 110, 99, 120])).tolist() == pytest.approx([0, 0, 10, 0])


def test_days_are_utc_and_the_last_counts_what_its_end_closed() -> None:
    equity = np.concatenate([np.full(288, 1000.0), np.full(288, 1100.0)])
    of = history([trade(pnl=D(50))], 2, equity)
    assert daily_returns(of).tolist() == pytest.approx([0.1, 1050 / 1100 - 1])


def test_sharpe_ratio_and_its_error_are_the_textbook_s() -> None:
    daily = np.random.default_rng(3).normal(0.001, 0.01, 20_000)
    ratio, error = sharpe_ratio(daily)
    assert ratio is not None
    year = math.sqrt(365)
    assert ratio == pytest.approx(daily.mean() / daily.std(ddof=1) * year)
    # of normal returns: Lo 2002
    lo = math.sqrt((1 + 0.5 * (ratio / year) ** 2) / len(daily))
    assert error == pytest.approx(lo * year, rel=0.01)
    assert sharpe_ratio(np.zeros(50))[0] is None
    assert sharpe_ratio(daily[:9])[0] is None


def test_interval_of_the_sharpe_ratio_holds_the_truth_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(11), 0
    for _ in range(400):
        ratio, error = sharpe_ratio(rng.normal(0.001, 0.01, 120))
        assert ratio is not None
        inside += abs(ratio - 0.1 * math.sqrt(365)) <= 1.96 * error
    assert 0.92 <= inside / 400 <= 0.98


def test_random_entries_of_a_market_that_stands_still_cost_what_trades_cost() -> None:
    candles = flat(288)
    found = random_entries(history([trade(), trade(side="short")]), {"BTCUSDT": candles}, runs=50)
    # fees 1, spread 0.5, funding 1 paid, of each
    assert found.net_return_pct.tolist() == pytest.approx([-0.5] * 50)
    assert found.beaten_pct == 100
    assert found.band[:, -1].tolist() == pytest.approx([995] * 3)


def test_random_entries_gain_what_the_market_gains() -> None:
    candles = flat(288)
    candles.open[:] = 100 * 1.0001 ** np.arange(288)
    free = trade(fees=D(0), spread=D(0), funding=D(0), pnl=D(0))
    found = random_entries(history([free]), {"BTCUSDT": candles}, runs=50)
    gained = 1000 * (1.0001**24 - 1)  # 24 candles of 1000, long
    assert found.net_return_pct.tolist() == pytest.approx([100 * gained / 1000] * 50)


def test_buying_and_holding_is_split_evenly_and_waits_for_a_coin_s_first_candle() -> None:
    doubled, late = flat(288), flat(200, begin_ms=BEGIN_MS + 88 * BAR_MS)
    doubled.open[100:] = 200
    late.open[100:] = 300
    held = buy_and_hold(history([]), [doubled, late])
    assert (held[0], held[99], held[100], held[-1]) == (1000, 1000, 1500, 2500)


def test_digest_depends_on_trades_and_equity_alone() -> None:
    one = history_digest(history([trade()]))
    assert one == history_digest(history([trade(size=D("10.000"))]))
    assert one == history_digest(history([trade()], equity=np.full(288, 1000 + 1e-10)))
    assert one != history_digest(history([trade(exit_price=D("102.01"))]))
    assert one != history_digest(history([trade()], equity=np.full(288, 1000.1)))


def test_hashes_tell_settings_and_candles_apart() -> None:
    trader, usual = TraderSection(), FillModel()
    indicators, model = IndicatorsSection(), asdict(usual)
    first = settings_hash(trader, {}, indicators, model)
    same = TraderSection(entry_score=85, delay_s=3.0)
    assert first == settings_hash(same, {}, indicators, model)
    assert first != settings_hash(replace(trader, entry_score=86), {}, indicators, model)
    assert first != settings_hash(trader, {}, indicators, asdict(replace(usual, release="daily")))
    assert first != settings_hash(trader, {"x": 1}, indicators, model)
    assert first != settings_hash(trader, {}, replace(indicators, history=400), model)

    candles = flat(600)
    recordings = {"BTCUSDT": Recording("BTCUSDT", {Timeframe.M5: candles})}
    asked = (100, BEGIN_MS + 200 * BAR_MS, BEGIN_MS + 400 * BAR_MS)
    before = data_hash(recordings, *asked)
    candles.close[450] = candles.open[90] = 7  # neither used nor warming up
    assert data_hash(recordings, *asked) == before
    candles.close[150] = 7
    assert data_hash(recordings, *asked) != before


def test_document_has_the_fields_that_programs_rely_on(result: Result) -> None:
    document = result.document
    wanted = (
        "trades net_return_pct max_drawdown_pct sharpe expectancy_r profit_factor fees funding "
        "locked bonus_trades indicators settings_hash data_hash strategy_hash digest"
    )
    assert set(wanted.split()) <= set(document)
    assert document["trades"] == len(result.history.trades) > 20
    assert document["bonus_trades"] > 0
    for groups in document["by"].values():
        assert sum(group["trades"] for group in groups) == document["trades"]
        assert sum(group["pnl"] for group in groups) == pytest.approx(
            float(sum(t.pnl for t in result.history.trades))
        )
    assert [each["r"] for each in document["worst"]] == sorted(t.r for t in result.history.trades)[
        :10
    ]


def test_files_hold_the_result_and_nothing_of_this_run(result: Result, tmp_path: Path) -> None:
    written = write_result(result, {"took_s": 1.5}, tmp_path / "new")
    kept = orjson.loads((tmp_path / "new" / "result.json").read_bytes())
    assert kept == orjson.loads(orjson.dumps(result.document))
    assert str(tmp_path) not in str(kept)
    assert orjson.loads((tmp_path / "new" / "run.json").read_bytes()) == {"took_s": 1.5}
    if "trades.parquet" in written:
        from pyarrow import parquet

        table = parquet.read_table(tmp_path / "new" / "trades.parquet")
        assert table.column_names == list(trade_columns(result))
        assert table.num_rows == len(result.history.trades)
        equity = parquet.read_table(tmp_path / "new" / "equity.parquet")
        assert equity.column_names == ["at_ms", "equity", "drawdown_pct"]


class _Tags(HTMLParser):
    EMPTY = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_asks_for_nothing(result: Result) -> None:
    page = page_of(result)
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert not re.search(r"https?://|url\(|@import|\$\w", page)
    assert "default-src 'none'" in page
    assert "nan" not in re.findall(r"[MLHV ]nan", page)
    for group in result.document["by"]["coin"]:
        assert group["name"] in page
    assert result.document["digest"] in page


def test_page_of_no_trades_says_so() -> None:
    candles = flat(2 * 288)
    question = Question(
        recordings={"A<B": Recording("A<B", {Timeframe.M5: candles})}, trader=TraderSection(),
        indicators=IndicatorsSection(), model=FillModel(), from_ms=BEGIN_MS,
        to_ms=BEGIN_MS + DAY_MS,
    )  # fmt: skip
    empty = result_of(question, history([]))
    assert "Nothing was traded" in page_of(empty)
    assert "Nothing was traded" in as_text(empty.document)


@pytest.mark.parametrize(
    ("beaten", "says"),
    [(99, "more than chance explains"), (50, "cannot be told from chance"), (2, "worse than")],
)
def test_verdict_compares_with_chance(result: Result, beaten: float, says: str) -> None:
    document = {**result.document, "random_entries": {"beaten_pct": beaten}}
    assert says in verdict(document)


def test_terminal_shows_breakers_and_refusals(result: Result) -> None:
    lock = Locked(from_ms=0, to_ms=1, why="daily loss of 2 % reached the limit of 2")
    document = {**result.document, "locked": [{"why": lock.why}], "refusals": {"a reason": 3}}
    text = as_text(document)
    assert "once" in text
    assert lock.why in text
    assert "not entered, 3 times: a reason" in text


def test_ticks_are_round_and_inside() -> None:
    assert Scale(0.0, 10.0, upwards=True).ticks(5) == [0, 2, 4, 6, 8, 10]
    assert Scale(-0.3, 0.31, upwards=True).ticks(5) == pytest.approx([-0.2, 0, 0.2])
    assert Scale(0.0, 10.0, upwards=True).at(10) == 0
    assert Scale(5.0, 5.0, upwards=False).ticks(3)


def test_thinned_lines_keep_their_extremes() -> None:
    values = np.random.default_rng(1).normal(size=10_000)
    chosen = thinned(values, 400)
    assert len(chosen) <= 400
    assert {0, 9_999, int(values.argmin()), int(values.argmax())} <= set(chosen)
    assert thinned(np.zeros(5)) == [0, 1, 2, 3, 4]

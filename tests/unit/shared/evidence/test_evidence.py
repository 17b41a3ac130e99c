"""What evidence is a record of, and when it is of what the trader does."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared import codec
from shared.config.sections import IndicatorsSection, SqueezeSection, TraderSection
from shared.errors import BadMessage
from shared.evidence.fits import demanded, missing, summary
from shared.evidence.hashes import FILLS, NOT_TESTED, settings_hash
from shared.evidence.record import (
    MOST_BYTES,
    EvidenceRecord,
    decode_record,
    digest_of,
    level_pct,
    read_record,
)
from shared.messages.trading import StrategyIdentity
from shared.trading.strategy import BASE
from tests.support.evidence import FEE, FILL_MODEL, INDICATORS, NOW_MS, evidence

# The hash


def test_hash_is_that_of_sorted_json_whose_whole_floats_are_integers() -> None:
    trader = TraderSection(stop_atr=1.0, risk_pct=0.25)
    # written by hand for the first and last keys; `trader` stands between them
    values = {
        f.name: getattr(trader, f.name)
        for f in dataclasses.fields(trader)
        if f.name not in NOT_TESTED
    }
    shown = ",".join(
        f'"{name}":{str(value).lower() if isinstance(value, bool) else f"{value:g}"}'
        for name, value in sorted(values.items())
    )
    text = (
        '{"fill_model":{"a":1,"b":"x"},"indicators":{"divergence":{"fresh":10,"left":5,'
        '"min_strength":0.3,"right":3,"window":50},"history":400,"squeeze":{"bb_mult":2,'
        '"kc_mult":1.5,"min_squeeze_bars":3,"outlier_atr":20}},"strategy_parameters":{"n":0.5},'
        f'"trader":{{{shown}}}}}'
    )
    expected = hashlib.sha256(text.encode()).hexdigest()
    indicators = IndicatorsSection(history=400)
    assert settings_hash(trader, {"n": 0.5}, indicators, {"b": "x", "a": 1.0}) == expected


def test_hash_is_of_what_changes_a_trade_and_of_nothing_else() -> None:
    first = settings_hash(TraderSection(), {}, INDICATORS, FILL_MODEL)
    assert first == settings_hash(
        TraderSection(delay_s=3.0), {}, INDICATORS, dict(reversed(FILL_MODEL.items()))
    )
    same = TraderSection(
        enabled=True, evidence="require", evidence_file="e.json", accept_without_evidence="x"
    )
    lenient = IndicatorsSection(interval_s=60, coin_failures=9, coin_quarantine_s=60)
    assert first == settings_hash(same, {}, lenient, FILL_MODEL)
    others = [
        (TraderSection(entry_score=86), {}, INDICATORS, FILL_MODEL),
        (TraderSection(use_ta_signals=True), {}, INDICATORS, FILL_MODEL),
        (TraderSection(), {"bars": 3}, INDICATORS, FILL_MODEL),
        (TraderSection(), {}, IndicatorsSection(history=600), FILL_MODEL),
        (TraderSection(), {}, IndicatorsSection(squeeze=SqueezeSection(kc_mult=2)), FILL_MODEL),
        (TraderSection(), {}, INDICATORS, FILL_MODEL | {"latency_ms": 1}),
    ]
    assert len({first, *(settings_hash(*other) for other in others)}) == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_value_that_json_does_not_know_is_not_hashed(value: object) -> None:
    with pytest.raises(ValueError):
        settings_hash(TraderSection(), {"n": value}, INDICATORS, {})


# The record


def test_record_comes_back_as_it_was_written() -> None:
    assert decode_record(codec.encode(evidence()), "e") == evidence()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"v": 2}, "v: found 2, expected 1"),
        ({"settings_hash": "abc"}, "settings_hash: found 'abc', expected 64"),
        ({"data_hash": "D" * 64}, "data_hash"),
        ({"strategy": {"name": "a", "version": "1", "hash": "\x1b[2J"}}, "strategy.hash"),
        ({"to_ms": 1}, "to_ms: found 1, expected it after"),
        ({"recorded_ms": 2**62}, "recorded_ms"),
        ({"taker_fee": "-0.1"}, "taker_fee"),
        ({"taker_fee": 0.1}, "taker_fee: expected a decimal number as text"),
        ({"level_pct": 100.0}, "level_pct"),
        ({"trades": 0}, "trades: found 0"),
        ({"openings": -1}, "openings"),
        ({"verdict": "maybe"}, "verdict"),
        ({"mean_r": None}, "mean_r"),
    ],
)
def test_record_that_cannot_be_is_refused_by_the_name_of_its_field(
    change: dict[str, Any], field: str
) -> None:
    raw = codec.encode(dataclasses.asdict(evidence()) | change)
    with pytest.raises(BadMessage, match=f"evidence.json: {field}"):
        decode_record(raw, "evidence.json")


def test_file_is_read_to_a_bound_and_no_pipe_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    with pytest.raises(FileNotFoundError):
        read_record(path)
    path.write_bytes(codec.encode(evidence()))
    assert read_record(path) == evidence()
    path.write_bytes(b" " * MOST_BYTES + b"{}")
    with pytest.raises(BadMessage, match="more than 65,536 bytes"):
        read_record(path)
    path.write_text("[]")
    with pytest.raises(BadMessage, match="expected an object"):
        read_record(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        read_record(path)


def test_digest_is_that_of_the_content_and_none_where_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    assert digest_of(path) == ""
    path.write_bytes(b"{}")
    assert digest_of(path) == hashlib.sha256(b"{}").hexdigest()


# Whether it fits


def found(
    record: EvidenceRecord, settings: TraderSection | None = None, fee: Decimal | None = FEE
) -> list[str]:
    return missing(record, settings or TraderSection(), BASE, {}, INDICATORS, taker_fee=fee)


def test_evidence_of_just_this_fits() -> None:
    assert found(evidence()) == []
    assert found(evidence(), fee=None) == []
    assert found(evidence(), fee=FEE / 2) == []


OTHER = dataclasses.replace(BASE, hash="0" * 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "no_edge"}, ["its verdict is no_edge, expected edge"]),
        (
            {"strategy": OTHER},
            [f"of the strategy base {BASE.version} (000000000000)", "test that one"],
        ),
        ({"use_ta_signals": True}, ["of use_ta_signals: true", "trades with false"]),
        ({"settings_hash": "1" * 64}, ["other settings (hash 111111111111, expected "]),
        ({"fill_model": FILL_MODEL | {"latency_ms": 9}}, ["other settings"]),
        ({"openings": 0}, ["never opened", "open-hold-out"]),
        # spent: what was sure enough for one opening is not for three
        ({"openings": 3}, ["opened 3 times", "hold at 98.33 %, found 95 %", "newer candles"]),
        ({"lower_r": 0.0}, ["as low as +0.000 R", "expected above zero"]),
        ({"taker_fee": Decimal("0.0004")}, ["fee of 0.04 %", "takes 0.05 % now", "test with"]),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected_and_what_to_do(
    change: dict[str, Any], words: list[str]
) -> None:
    (text,) = found(evidence(**change))
    assert all(word in text for word in words), text


def test_strategy_is_compared_by_what_decides_its_scores_not_by_its_name() -> None:
    renamed = dataclasses.replace(BASE, name="other", version="")
    assert missing(evidence(), TraderSection(), renamed, {}, INDICATORS, taker_fee=FEE) == []


@pytest.mark.parametrize("fills", [FILLS + 1, None])
def test_fills_of_another_number_are_no_evidence(fills: int | None) -> None:
    before = FILL_MODEL | {"fills": fills} if fills else {"path": "adverse"}
    own = settings_hash(TraderSection(), {}, IndicatorsSection(), before)
    (text,) = found(evidence(fill_model=before, settings_hash=own))
    assert f"filled by number {fills} of the code that fills" in text
    assert text.endswith(f"this version has number {FILLS}: test again")


def test_another_class_of_the_same_file_is_another_strategy() -> None:
    one = dataclasses.replace(BASE, class_name="Fast")
    other = dataclasses.replace(BASE, class_name="Slow")

    def lacks(tested: StrategyIdentity) -> list[str]:
        asked = evidence(strategy=tested)
        return missing(asked, TraderSection(), other, {}, INDICATORS, taker_fee=FEE)

    (text,) = lacks(one)
    assert "of the class Fast" in text and "the class Slow of the same file trades" in text
    assert lacks(other) == []


def test_hold_out_opened_three_times_fits_with_a_bound_that_is_sure_enough() -> None:
    assert found(evidence(openings=3, level_pct=level_pct(3), lower_r=0.001)) == []


def test_settings_that_differ_are_named() -> None:
    (text,) = found(evidence(), TraderSection(entry_score=90, risk_pct=1))
    assert "trader.entry_score 85, now 90; trader.risk_pct 0.25, now 1)" in text
    many = TraderSection(
        entry_score=90, risk_pct=1, margin=1, stop_atr=2, target_r=3, max_hold_h=5, max_losses=9
    )
    (text,) = found(evidence(), many)
    assert "and 2 more)" in text


def test_indicators_that_differ_are_named_and_how_often_they_are_computed_does_not_count() -> None:
    other = IndicatorsSection(history=600, squeeze=SqueezeSection(kc_mult=2))
    (text,) = missing(evidence(), TraderSection(), BASE, {}, other, taker_fee=FEE)
    assert "indicators.history 500, now 600; indicators.squeeze.kc_mult 1.5, now 2)" in text
    often = IndicatorsSection(interval_s=5, coin_failures=1, coin_quarantine_s=60)
    assert missing(evidence(), TraderSection(), BASE, {}, often, taker_fee=FEE) == []


def test_with_signals_it_must_be_evidence_of_signals() -> None:
    with_signals = TraderSection(use_ta_signals=True)
    assert found(evidence(with_signals), with_signals) == []
    texts = found(evidence(), with_signals)
    assert any("of use_ta_signals: false" in text for text in texts)
    assert any("other settings" in text for text in texts)


def test_a_timer_that_leaves_out_closes_is_not_what_was_tested() -> None:
    assert found(evidence(), TraderSection(timer_min=5)) == found(evidence()) == []
    (text,) = found(evidence(), TraderSection(timer_min=15))
    assert "trader.timer_min: 15 at one of 3: set it to 5, or leave it out" in text


def test_all_that_is_missing_is_named_at_once() -> None:
    record = evidence(
        verdict="undecided", strategy=OTHER, lower_r=-0.1, openings=2, use_ta_signals=True,
        settings_hash="1" * 64, taker_fee=Decimal(0),
    )  # fmt: skip
    assert len(found(record)) == 7


@pytest.mark.parametrize(
    ("mode", "environment", "expected"),
    [
        ("live", "live", "require"),
        ("live", "testnet", "advise"),
        ("live", "demo", "advise"),
        ("paper", "live", "advise"),
        ("demo", "live", "advise"),
    ],
)
def test_evidence_is_required_where_real_money_moves(
    mode: Any, environment: Any, expected: str
) -> None:
    assert demanded(TraderSection(), mode, environment) == expected
    assert demanded(TraderSection(evidence="ignore"), mode, environment) == "ignore"


def test_summary_has_period_bound_tries_and_age() -> None:
    text = summary(evidence(), NOW_MS)
    for word in (f"base {BASE.version}", "400 trades", "2025-05-0", "+0.120 R",
                 "at least +0.020 R (95 %)", "tries 60", "opened once",
                 "recorded 3 days ago"):  # fmt: skip
        assert word in text

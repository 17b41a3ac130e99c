"""`coinex evidence record`, as it is typed: what it writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.backtest.sweep.ledger import NAME, Kind, LedgerLine, append
from shared.backtest.user_strategy.points import Tally
from shared.backtest.user_strategy.scoring import UserStrategy
from shared.config.sections import IndicatorsSection, TraderSection
from shared.console import command_line
from shared.errors import EXIT_FAILED, EXIT_OK
from shared.evidence.fits import missing
from shared.evidence.hashes import settings_hash
from shared.evidence.record import read_record
from shared.messages.trading import StrategyIdentity
from shared.strategy.contract import LoadedStrategy
from shared.strategy.source import StrategySection
from shared.trading.strategy import BASE
from tests.support.evidence import FILL_MODEL, INDICATORS
from tests.support.strategies import MOMENTUM, written

DAY_MS = 86_400_000
FROM, TO = 20_000 * DAY_MS, 20_040 * DAY_MS
TRADER = TraderSection(entry_score=90)
Change = Callable[[dict[str, Any]], None]


def trades(mean_r: float, number: int = 400) -> list[tuple[int, float]]:
    """Return trades of 40 days that win 2 R or lose 1 R, shifted to a mean."""
    rng = np.random.default_rng(3)
    results = np.where(rng.random(number) < 1 / 3, 2.0, -1.0)
    results += mean_r - results.mean()
    times = FROM + np.arange(number) * (40 * DAY_MS // number)
    return list(zip(times.tolist(), results.tolist(), strict=True))


def sweep(mean_r: float = 0.2) -> dict[str, Any]:
    """Return what a sweep writes that found an edge and opened its hold-out."""
    return {
        "v": 1,
        "verdict": "edge",
        "sentence": "the chosen one earned 0.200 R",
        "tries": 40,
        "strategy": dataclasses.asdict(BASE),
        "indicators": dataclasses.asdict(INDICATORS),
        "fill_model": FILL_MODEL,
        "taker_fee": "0.0005",
        "data_hash": "d" * 64,
        "chosen": {
            "trader": dataclasses.asdict(TRADER),
            "strategy_parameters": {},
            "settings_hash": settings_hash(TRADER, {}, INDICATORS, FILL_MODEL),
        },
        "hold_out": {"opened": 1, "from_ms": FROM, "to_ms": TO, "trades": trades(mean_r)},
    }


def opening(store: Path, id_: str, kind: Kind = "opening") -> None:
    append(
        store,
        LedgerLine(
            before="", at_ms=1, kind=kind, id=id_, data_hash="d" * 64, from_ms=FROM, to_ms=TO,
            held_out_ms=TO, tries=1, what="a test",
        ),
    )  # fmt: skip


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Return the directory of a sweep whose hold-out was opened once, by its ledger too."""
    directory, store = tmp_path / "result", tmp_path / "candles"
    directory.mkdir()
    store.mkdir()
    opening(store, "a")
    (directory / "run.json").write_text(json.dumps({"ledger": str(store / NAME), "took_s": 1.5}))
    (directory / "sweep.json").write_text(json.dumps(sweep()))
    return directory


def record(directory: Path, *more: str) -> int:
    arguments = ["evidence", "record", str(directory), "--out", str(directory / "e.json"), *more]
    options = command_line.parser(lambda _: 0).parse_args(arguments)
    code: int = options.carry_out(options)
    return code


def test_record_is_what_the_trader_accepts_for_just_these_settings(
    result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(result) == EXIT_OK
    path = result / "e.json"
    found = read_record(path)
    assert (found.trades, found.openings, found.tries, found.level_pct) == (400, 1, 40, 95.0)
    assert found.mean_r == pytest.approx(0.2)
    assert 0 < found.lower_r < 0.2
    fee = Decimal("0.0005")
    assert missing(found, TRADER, BASE, {}, INDICATORS, taker_fee=fee) == []
    assert missing(
        found, dataclasses.replace(TRADER, entry_score=91), BASE, {}, INDICATORS, taker_fee=fee
    )
    assert missing(found, TRADER, BASE, {}, IndicatorsSection(history=400), taker_fee=fee)
    out = capsys.readouterr().out
    assert f"trader.evidence_file: {path}" in out
    assert "400 trades" in out
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_record_of_a_users_strategy_fits_that_class_of_that_file_with_those_parameters(
    result: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "mine.py", MOMENTUM, "Momentum")
    section = StrategySection(file=file, parameters={}, timeout_s=10)
    schema: dict[str, dict[str, Any]] = {"bars": {"default": 12}, "steep": {"default": 60.0}}
    loaded = LoadedStrategy(
        name="momentum", version="1", timeframes={}, cross_section=False, parameters=schema
    )
    tested = UserStrategy(section=section, loaded=loaded, rows=(), one_by_one="")
    parameters = loaded.effective({"bars": 24})
    document = sweep() | {"strategy": tested.document(Tally(asked=9))}
    document["chosen"] |= {
        "strategy_parameters": parameters,
        "settings_hash": settings_hash(TRADER, parameters, INDICATORS, FILL_MODEL),
    }
    (result / "sweep.json").write_text(json.dumps(document))
    assert record(result) == EXIT_OK
    found = read_record(result / "e.json")

    def lacks(identity: StrategyIdentity, parameters: dict[str, Any]) -> str:
        faults = missing(found, TRADER, identity, parameters, INDICATORS, taker_fee=None)
        assert len(faults) <= 1
        return "".join(faults)

    assert lacks(tested.identity, {"bars": 24.0, "steep": 60}) == ""
    changed = written(tmp_path / "mine.py", MOMENTUM + "# more", "Momentum").identity("momentum")
    assert f"of the strategy momentum 1 ({file.digest[:12]})" in lacks(changed, parameters)
    calm = written(tmp_path / "mine.py", MOMENTUM, "Calm").identity("calm", "1")
    assert "of the class Momentum, and the class Calm of the same file trades" in lacks(
        calm, parameters
    )
    other = lacks(tested.identity, {"bars": 12, "steep": 60.0})
    assert "strategy_parameters.bars 24, now 12" in other


def test_record_for_programs_is_the_file(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(result, "--json") == EXIT_OK
    assert json.loads(capsys.readouterr().out) == json.loads((result / "e.json").read_text())


def changed(result: Path, change: Change) -> None:
    document = sweep()
    change(document)
    (result / "sweep.json").write_text(json.dumps(document))


def closed(document: dict[str, Any]) -> None:
    document["hold_out"] |= {"opened": 0, "trades": []}


def without(document: dict[str, Any]) -> None:
    document["hold_out"] = None


def untried(document: dict[str, Any]) -> None:
    document["tries"] = None


def of_a_few_days(document: dict[str, Any]) -> None:
    document["hold_out"]["trades"] = [(FROM + n * DAY_MS // 9, 1.0 + n % 2) for n in range(150)]


def of_other_settings(document: dict[str, Any]) -> None:
    document["chosen"]["trader"]["entry_score"] = 70


def verdict(word: str) -> Change:
    return lambda document: document.update(verdict=word)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (verdict("no_edge"), "its verdict is no_edge"),
        (verdict("undecided"), "its verdict is undecided"),
        (closed, "its hold-out was never opened"),
        (without, "it has no hold-out"),
        (untried, "nobody knows how much was tried"),
        (of_a_few_days, "its hold-out has trades in 7 blocks of 3 days, 10 are needed"),
        (of_other_settings, "it is of other settings"),
        (lambda found: found.update(hold_out=sweep(0.05)["hold_out"]), "expected above zero"),
        (lambda found: found["chosen"].pop("trader"), "sweep.json: chosen.trader: missing"),
    ],
)
def test_what_is_no_evidence_is_not_recorded(
    change: Change, words: str, result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(result, change)
    assert record(result) == EXIT_FAILED
    assert words in capsys.readouterr().err
    assert not (result / "e.json").exists()


def test_all_that_it_lacks_is_said_at_once(
    result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def of_nothing(document: dict[str, Any]) -> None:
        document["verdict"] = "no_edge"
        closed(document)
        untried(document)

    changed(result, of_nothing)
    assert record(result) == EXIT_FAILED
    assert capsys.readouterr().err.count(";") == 2


def test_hold_out_that_was_opened_often_is_spent(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(result, lambda found: found.update(hold_out=sweep(0.16)["hold_out"]))
    assert record(result) == EXIT_OK
    for number in range(8):
        opening(tmp_path / "candles", f"again {number}")
    capsys.readouterr()
    assert record(result) == EXIT_FAILED
    assert "(99.44 %), expected above zero" in capsys.readouterr().err


def test_sweep_that_chose_on_the_days_of_the_hold_out_spends_it_too(
    result: Path, tmp_path: Path
) -> None:
    opening(tmp_path / "candles", "b", "sweep")
    assert record(result) == EXIT_OK
    assert read_record(result / "e.json").openings == 2


def test_ledger_that_was_changed_is_no_witness(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opening(tmp_path / "candles", "b")
    ledger = tmp_path / "candles" / NAME
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text(lines[1])  # the first opening was taken out
    assert record(result) == EXIT_FAILED
    assert "a line was changed, taken out or put in" in capsys.readouterr().err
    ledger.write_text("")
    assert record(result) == EXIT_FAILED
    assert "knows of 0 openings of this hold-out, the result of 1" in capsys.readouterr().err
    ledger.unlink()
    assert record(result) == EXIT_FAILED
    assert "has no evidence-ledger.jsonl" in capsys.readouterr().err


def test_ledger_is_read_where_it_is_said_to_be(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "candles").rename(tmp_path / "moved")
    assert record(result) == EXIT_FAILED
    assert "name the store of the candles with --candles" in capsys.readouterr().err
    assert record(result, "--candles", str(tmp_path / "moved")) == EXIT_OK


def test_directory_without_a_sweep_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(tmp_path) == EXIT_FAILED
    err = capsys.readouterr().err
    assert f"{tmp_path / 'sweep.json'}: not readable (No such file or directory)" in err

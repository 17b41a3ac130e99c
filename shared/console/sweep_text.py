"""A sweep's result as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.backtest.results.words import scored_by
from shared.backtest.sweep.document import hold_out_sentence
from shared.clock import utc_text
from shared.errors import count

MOST_ROWS = 10
_HEAD = ("trades", "net %", "daily drawdown %", "Sharpe", "R a trade")
_NAMES = ("trades", "net_return_pct", "daily_drawdown_pct", "sharpe", "expectancy_r")
_FORMS = ("{:d}", "{:.2f}", "{:.2f}", "{:.2f}", "{:.3f}")
_WIDTHS = (6, 8, 16, 7, 9)


def lines(found: Mapping[str, Any], out: Path) -> Iterator[str]:
    """Yield the lines of a result: the best settings, the folds, the figures, one sentence."""
    key = {"sharpe": "sharpe", "return": "net_return_pct"}[found["objective"]]
    traded = [each for each in found["settings"] if each["in_sample"]["trades"]]
    best = sorted(traded, key=lambda each: each["in_sample"][key], reverse=True)[:MOST_ROWS]
    names = [_parameters(each["parameters"]) for each in best]
    width = max(map(len, (*names, "setting")), default=7)
    tried = count(len(found["settings"]), "setting")
    yield f"{tried} on {_span(found['selection'])}; {found['never_traded']} never traded"
    if best:
        yield _row("setting", width, _HEAD)
        for name, each in zip(names, best, strict=True):
            yield _row(name, width, _figures(each["in_sample"]))
    if found["folds"]:
        yield ""
        yield "out of sample, each chosen on the days before:"
        for fold in found["folds"]:
            chosen = "none traded" if fold["chosen"] is None else _parameters(fold["chosen"])
            yield f"{_span(fold['test'])}  {chosen}"
            if fold["out_of_sample"] is not None:
                shown = zip(_HEAD, _figures(fold["out_of_sample"]), strict=True)
                yield "  " + ", ".join(f"{name} {value}" for name, value in shown)
    yield ""
    yield (
        f"deflated Sharpe {_number(found['deflated_sharpe'])}, PBO {_number(found['pbo'])}, "
        f"p against cash {_number(found['spa_p'])} (random entries "
        f"{_number(found['spa_p_random'])}), "
        f"tries {'unknown' if found['tries'] is None else found['tries']}"
    )
    if found["reasons"]:
        yield f"{found['verdict'].replace('_', ' ')}: {'; '.join(found['reasons'])}"
    if (held := found["hold_out"]) is not None:
        closed = f"held out: {_span(held)}; `coinex sweep open-hold-out {out}` looks at it, once"
        yield hold_out_sentence(held, closed)
    yield from scored_by(found["strategy"])
    yield f"written: {out}"
    yield found["sentence"]


def _row(name: str, width: int, values: tuple[str, ...]) -> str:
    cells = (value.rjust(size) for value, size in zip(values, _WIDTHS, strict=True))
    return f"{name:{width}}  {'  '.join(cells)}"


def _figures(figures: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        "-" if (value := figures.get(name)) is None else form.format(value)
        for name, form in zip(_NAMES, _FORMS, strict=True)
    )


def _parameters(parameters: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{name.partition('.')[2]}={value}" for name, value in parameters.items())
    return shown or "as configured"


def _span(span: Mapping[str, int]) -> str:
    return f"{utc_text(span['from_ms'])[:10]} to {utc_text(span['to_ms'])[:10]}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

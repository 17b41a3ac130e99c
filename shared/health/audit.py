"""The problems in the auditor's report."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shared.health.problems import Problem
from shared.messages.signals import AuditedField, AuditReport

REPORTED_ONE_BY_ONE = 3


def audit_problems(report: AuditReport) -> Iterator[Problem]:
    """Yield the fields beyond their tolerance, the worst first; the rest in one problem."""
    found = sorted(
        ((name, field) for name, field in report.fields.items() if field.coins_beyond),
        key=lambda item: -_times_allowed(item[1]),
    )
    for name, field in found[:REPORTED_ONE_BY_ONE]:
        text = f"audit: {_worded(name, field, report.referee)}"
        yield Problem("audit-beyond", name, text)
    if rest := [name for name, _ in found[REPORTED_ONE_BY_ONE:]]:
        text = f"audit: {len(rest)} more fields are beyond their tolerance: {', '.join(rest)}"
        yield Problem("audit-beyond", "more fields", text)


def _times_allowed(field: AuditedField) -> float:
    if field.difference is None or not field.tolerance:
        return math.inf
    return field.difference / field.tolerance


def _worded(name: str, field: AuditedField, referee: str) -> str:
    coins = len(field.coins_beyond)
    text = f"{field.coin}: {name} is {field.published}, {referee} says {field.expected}"
    if field.unit != "state" and field.difference is not None:
        unit = {"relative": "of its size", "points": "points", "atr14": "ATR14"}[field.unit]
        text += f": {field.difference:.1e} {unit} off, {field.tolerance:.0e} allowed"
    return text + (f"; {coins} coins in all" if coins > 1 else "")

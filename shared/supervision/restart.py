"""Decide what follows a death: pure functions of history, policy and now."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shared.backoff import backoff_s
from shared.errors import EXIT_BAD_CONFIG, EXIT_PERMANENT

FAULT_SIGNALS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Restart policy of one actor. Units: seconds.

    `reduces`: instead of being quarantined it is restarted in mode reducing, without new risk.
    """

    healthy_s: float = 60.0
    max_deaths: int = 5
    window_s: float = 60.0
    quarantine_s: float = 300.0
    backoff_first_s: float = 0.5
    backoff_cap_s: float = 30.0
    reduces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended.

    Attributes:
        code: Exit code, or None when an OS signal ended it.
        signal: Number of that OS signal, or None.
        hung: The supervisor ended it because its heartbeat had stopped.
        common_cause: An outside cause that affects others too, such as Redis away; "" if none.
    """

    code: int | None = None
    signal: int | None = None
    hung: bool = False
    common_cause: str = ""

    @property
    def is_permanent(self) -> bool:
        """Return whether the actor itself asked not to be restarted."""
        return not self.hung and self.code in (EXIT_BAD_CONFIG, EXIT_PERMANENT)

    @property
    def is_own_fault(self) -> bool:
        """Return whether the process failed by itself, not by an outside SIGKILL or SIGTERM."""
        return self.hung or self.signal in FAULT_SIGNALS or self.code not in (None, 0)

    def text(self) -> str:
        """Describe it in words."""
        if self.hung:
            return "hung: no beat, ended by the supervisor"
        if self.signal is not None:
            try:
                what = f"killed by {signal.Signals(self.signal).name}"
            except ValueError:
                what = f"killed by OS signal {self.signal}"
        elif self.code == EXIT_BAD_CONFIG:
            what = f"exit {self.code} (bad config)"
        elif self.code == EXIT_PERMANENT:
            what = f"exit {self.code} (permanent error)"
        elif self.code is None:
            what = "ended, exit status unknown"
        else:
            what = f"exit {self.code}"
        return f"{what}; {self.common_cause}" if self.common_cause else what


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Deaths since the actor was last healthy. Times are monotonic seconds.

    `on_trial` is set by a quarantine: the next death leads back into it.
    """

    deaths: tuple[float, ...] = ()
    uncounted: int = 0
    on_trial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Restart after `delay_s`, or quarantine: for a time, or until released (None).

    `reducing`: restart, but in mode reducing until `until`.
    """

    tally: Tally = field(default_factory=Tally)
    delay_s: float = 0.0
    quarantine: bool = False
    reducing: bool = False
    until: float | None = None
    reason: str = ""


def after_death(exit: Exit, tally: Tally, policy: Policy, now: float, luck: float) -> Decision:
    """Decide what follows a death.

    Args:
        tally: Deaths before this one.
        now: Monotonic seconds.
        luck: Uniform in [0, 1), for jitter.

    Returns:
        The decision, with the tally that includes this death.
    """
    if exit.is_permanent and not policy.reduces:
        return Decision(
            tally=tally,
            quarantine=True,
            reason=f"{exit.text()}: waits for `release` or a changed config",
        )
    before = len(tally.deaths) + tally.uncounted
    if exit.common_cause:
        tally = replace(tally, uncounted=tally.uncounted + 1)
        return Decision(
            tally=tally,
            delay_s=backoff_s(before, policy.backoff_first_s, policy.backoff_cap_s, luck),
            reason=exit.text(),
        )
    tally = replace(tally, deaths=(*tally.deaths, now)[-policy.max_deaths :])
    recent = _recent(tally.deaths, policy, now)
    delay_s = backoff_s(before, policy.backoff_first_s, policy.backoff_cap_s, luck)
    if exit.is_permanent:
        why = "it says that it cannot go on"
    elif tally.on_trial:
        why = "died again on its trial after quarantine"
    elif recent >= policy.max_deaths:
        why = f"{recent} deaths within {policy.window_s:g} s"
    else:
        return Decision(tally=tally, delay_s=delay_s, reason=exit.text())
    return Decision(
        tally=replace(tally, on_trial=True),
        delay_s=delay_s if policy.reduces else 0.0,
        quarantine=not policy.reduces,
        reducing=policy.reduces,
        until=now + policy.quarantine_s,
        reason=f"{why}, the last: {exit.text()}",
    )


def _recent(deaths: Sequence[float], policy: Policy, now: float) -> int:
    return sum(1 for at in deaths if now - at <= policy.window_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinVerdict:
    """Whether a coin is convicted, and how often it has been suspected."""

    convicted: bool
    suspicions: int


def judge_coin(exit: Exit, suspicions: int) -> CoinVerdict:
    """Decide whether the coin being computed caused a death.

    A death by the actor's own fault (fault signal, exception, hang) convicts at once; one by an
    outside SIGKILL or SIGTERM only when the same coin was being computed a second time.
    """
    if exit.common_cause:
        return CoinVerdict(convicted=False, suspicions=suspicions)
    convicted = exit.is_own_fault or suspicions >= 1
    return CoinVerdict(convicted=convicted, suspicions=suspicions + 1)

"""What the account's set-up forbids, as it is read, changes and cannot be read."""

from __future__ import annotations

import logging

from actors.trader.account_set_up import EVERY_S, AccountSetUp
from shared.exchanges.sim.save_file import fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import AccountCheck
from tests.support.manual_clock import ManualClock
from tests.support.tiny.venue import TinyVenue
from tests.support.venue import ScriptedPrices

NOW = 1_735_000_000_000


def check(is_fit: bool | None) -> AccountCheck:
    return AccountCheck(name="margin", is_fit=is_fit, text="cross: set isolated")


async def test_set_up_forbids_until_it_is_read_and_fit() -> None:
    clock = ManualClock(NOW)
    account = SimVenue(ScriptedPrices(NOW, {}), fresh_state(NOW))
    venue = TinyVenue(account, clock, is_known=False)
    set_up = AccountSetUp(venue, (), clock, logging.getLogger("trader"))
    assert set_up.objection() == "the account's set-up has not been read yet"
    await set_up.look()
    assert "cannot be read: the venue refuses" in set_up.objection()
    # what the venue does not tell forbids nothing
    venue._is_known, venue.checks = True, [check(None)]
    await set_up.look()
    assert (set_up.objection(), set_up.unfit) == ("", "")
    # not read again within the hour, then in each cycle until it is fit
    venue.checks = [check(False)]
    await clock.advance(EVERY_S - 1)
    await set_up.look()
    assert set_up.objection() == ""
    await clock.advance(1)
    await set_up.look()
    assert set_up.objection() == set_up.unfit == "margin: cross: set isolated"
    venue._is_known = False
    await set_up.look()
    assert "cannot be read" in set_up.objection()
    assert set_up.unfit
    venue._is_known, venue.checks = True, [check(True)]
    await set_up.look()
    assert (set_up.objection(), set_up.unfit) == ("", "")

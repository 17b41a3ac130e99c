"""What a person sees of account and trader, in each state that they can be in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import missing
from tests.e2e.test_page import AXE, HOSTILE, Photograph, Serve, card, opened, poisoned
from tests.support import dashboard_document as documents
from tests.support import dashboard_trading as trading
from tests.support.page_server import PageServer
from tests.support.trading_sightings import position

State = Callable[[dict[str, Any], int], dict[str, Any]]
IN_WORDS = re.compile


def limits(page: Page) -> Locator:
    return page.locator("#trader [aria-label='Distance to each limit'] tbody tr")


def test_without_a_trader_the_panels_say_so_and_light_up_when_one_appears(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    server = serve()
    opened(page, server)
    expect(page.locator("#trader-state")).to_have_text("no trader running")
    expect(page.locator("#trader .trader-mode")).to_have_text(
        "○ no trader runningnothing is traded"
    )
    expect(page.locator("#positions .empty")).to_contain_text("no account is being watched")
    expect(page.locator("#balance .empty")).to_contain_text("no account is being watched")
    expect(page.locator("#events .empty")).to_have_text("No trader running, so no trade events.")
    expect(page.locator("#held")).to_be_hidden()
    expect(page.locator("#held-count")).to_be_empty()
    now_ms = server.now_ms()
    full = trading.with_trader(documents.document(now_ms), now_ms)
    server.patch(set={name: full[name] for name in trading.TOPICS})
    expect(page.locator("#trader-state")).to_have_text("trader reducing")
    expect(page.locator("#trader")).to_contain_text("open positions are still managed")
    expect(page.locator("#trader")).to_contain_text("daily loss at 85 % of its limit")
    expect(page.locator("#positions tbody tr")).to_have_count(2)
    photograph("trader")


def test_the_users_own_trader_is_named_so_and_shown_without_what_it_does_not_tell(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(trading.outside))
    expect(page.locator("#trader-state")).to_have_text("your own trader: enabled")
    row = page.locator("#positions tbody tr")
    expect(row).to_have_count(1)
    for text in ("BTCUSDT", "▲\u00a0long", "60,000.00", "61,000.00", "0.05", "▲\u00a0+50.00"):
        expect(row).to_contain_text(text)
    expect(page.locator("#positions .newest")).to_have_text(
        IN_WORDS(r"^As of .* ago, your own trader\.$")
    )
    expect(page.locator("#held > li")).to_contain_text("stop not told")
    expect(page.locator("#balance .facts")).to_contain_text("Equity10,050.50\u00a0USDT")
    expect(page.locator("#trader .trader-reason")).to_have_text("<img src=x>")
    expect(page.locator("#trader .facts")).to_contain_text("Last tradenot told")
    settings = page.locator("#trader [aria-label='Settings of your own trader'] tbody tr")
    expect(settings).to_have_text(["tp.pct2.5", "note<i>x</i>"])
    expect(limits(page)).to_have_count(0)
    expect(page.get_by_text("Not entered in the last cycle")).to_be_hidden()
    expect(page.locator("#events tbody tr")).to_contain_text("<b>long</b> 0.05")
    expect(page.locator("#events b, #trader img, #trader i")).to_have_count(0)


def test_without_any_trader_there_are_no_panels_of_trading(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.without_any))
    for name in ("#positions", "#balance", "#trader", "#events", "#trader-state", "#held"):
        expect(page.locator(name)).to_be_hidden()
    for name in ("#history", "#actors", "#problems"):
        expect(page.locator(name)).to_be_visible()


def test_am_i_in_a_position_and_how_far_is_its_stop(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.with_position))
    expect(page.locator("#trader-state")).to_have_text("trader enabled")
    line = page.locator("#held > li")
    expect(line).to_have_text("BTC▲\u00a0long▲\u00a0+50.00stop 2.00\u00a0% away")
    expect(line).to_be_in_viewport()
    page.mouse.wheel(0, 2000)
    expect(line).to_be_in_viewport()
    expect(card(page, "BTCUSDT").locator(".position")).to_have_text(
        "in ▲\u00a0long · ▲\u00a0+50.00 · stop 2.00\u00a0% away"
    )
    line.locator("a").click()
    expect(page.locator("#positions-title")).to_be_in_viewport()
    strip = page.locator(".strip").bounding_box()
    title = page.locator("#positions-title").bounding_box()
    assert strip is not None and title is not None
    assert title["y"] >= strip["y"] + strip["height"], "the strip covers what was jumped to"
    row = page.locator("#positions tbody tr")
    expect(row).to_have_count(1)
    for text in (
        "59,780.00, 2.00\u00a0% away", "▲\u00a0+50.00", "63,440.00 (+4.00\u00a0%)", "60,000.00",
        "61,000.00", "61,234.56", "0.05", "600.00 (5×)", "42,700.00 (\u221230.00\u00a0%)",
        "\u22121.90", "2\u00a0h 0\u00a0min",
    ):  # fmt: skip
        expect(row).to_contain_text(text)


def test_an_opened_coin_says_what_is_held_of_it_and_first_why_its_side_won(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(trading.with_trader), "?coin=XRPUSDT")
    held = page.locator("#detail-position")
    expect(held).to_have_text(
        "in ▼\u00a0short, foreign · ▼\u00a0\u2212100.00 · stop 5.00\u00a0% away"
    )
    first = page.locator("#detail-reasons > section").nth(1)
    for _ in range(4):
        verdict = page.locator("#detail-verdict").inner_text()
        side = "short" if verdict.startswith("SHORT") else "long"
        expect(first).to_have_id(f"score-{side}")
        page.get_by_role("button", name="Next coin").click()
        expect(page.locator("#detail-verdict")).not_to_have_text(verdict)
    expect(held).to_be_hidden()


def test_before_its_first_cycle_a_trader_lacks_nothing(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.with_nothing_held))
    facts = page.locator("#trader .facts")
    expect(facts).to_contain_text("Last cyclenone yet")
    expect(facts).to_contain_text("Candles fromnot needed yet")
    expect(page.locator("#balance .note")).to_be_hidden()


def test_balance_results_of_today_and_the_equity_curve(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.with_position))
    for name, value in (
        ("Equity", "10,050.00\u00a0USDT"), ("Available", "9,400.00"), ("In orders", "0.00"),
        ("Margin", "600.00"), ("Unrealized PnL", "+50.00"), ("PnL today (UTC)", "+12.50"),
        ("Fees today (UTC)", "3.21"),
    ):  # fmt: skip
        fact = page.locator("#balance .facts > div").filter(has=page.get_by_text(name, exact=True))
        expect(fact.locator("dd")).to_have_text(value)
    expect(page.locator("#balance .note")).to_have_text(
        IN_WORDS(r"^Today's PnL and fees are those of the trader's cycle at \d\d:\d\d\.$")
    )
    expect(page.locator("#balance .newest")).to_have_text(IN_WORDS(r"^As of \d\s?s ago, sim\.$"))
    expect(page.locator("#balance .equity svg")).to_be_visible()
    expect(page.locator("#balance figcaption")).to_have_text(
        IN_WORDS(r"^Equity from 10,000\.00 .* lowest 9,9\d\d\.\d\d, highest 10,0\d\d\.\d\d$")
    )


def test_the_trader_says_what_it_does_next_and_why_coins_were_not_entered(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(trading.with_position))
    panel = page.locator("#trader")
    expect(panel.locator(".trader-mode")).to_have_text(
        "● trader enabledopens and manages positions"
    )
    facts = panel.locator(".facts")
    expect(facts).to_contain_text(IN_WORDS(r"Next cycle(in \d:\d\d|is due)"))
    expect(facts).to_contain_text(IN_WORDS(r"Last cycleon the close of \d\d:\d[05]"))
    expect(facts).to_contain_text("Candles fromRedis")
    expect(facts).to_contain_text("TA bonusnot used: the base score alone decides")
    expect(facts).to_contain_text("Positionsits own: BTCUSDT")
    expect(panel).to_contain_text("SOLUSDTshort: costs are 14 % of the stop distance")
    expect(limits(page).nth(0)).to_have_text("daily loss● ok150 (75\u00a0%)50200\u00a0USDT")
    expect(limits(page).nth(3)).to_have_text("orders within an hour● ok27 (90\u00a0%)330")
    events = page.locator("#events tbody tr")
    expect(events).to_have_count(4)
    expect(events.nth(0)).to_contain_text(IN_WORDS(r"^\d+ \w+, \d\d:\d\d:\d\dclosed"))
    expect(events.nth(0)).to_contain_text("closedETHUSDTstop reached at 3012.4")
    expect(events.nth(0)).to_contain_text("\u22128.21")
    expect(events.nth(1)).to_contain_text("refusedSOLUSDTcosts are 14 %")


def test_nothing_held_is_said_in_the_strip_and_in_the_panel(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.with_nothing_held))
    expect(page.locator("#held-count")).to_have_text("no position")
    expect(page.locator("#positions .empty")).to_have_text("No open position.")
    expect(page.locator("#trader")).to_contain_text("No cycle yet.")
    expect(page.locator("#events .empty")).to_have_text("Nothing has happened yet.")
    expect(page.locator("#cards .position:visible")).to_have_count(0)


def test_a_foreign_position_is_marked_wherever_it_stands(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.with_trader))
    expect(page.locator("#held > li").nth(1)).to_have_text(
        "XRP▼\u00a0short, foreign▼\u00a0\u2212100.00stop 5.00\u00a0% away"
    )
    expect(page.locator("#positions tbody tr").nth(1)).to_contain_text("▼\u00a0short, foreign")
    expect(page.locator("#positions .note")).to_contain_text("never touched by it")
    expect(page.locator("#trader .facts")).to_contain_text("foreign: XRPUSDT")
    found = card(page, "XRPUSDT").locator(".position")
    expect(found).to_contain_text(
        "in ▼\u00a0short, foreign · ▼\u00a0\u2212100.00 · stop 5.00\u00a0% away"
    )
    found.hover()
    expect(page.locator("#tip")).to_contain_text("Foreign: not opened by this trader")
    expect(page.locator("#tip")).to_contain_text("Liquidationnone")


def test_a_lock_is_told_with_its_reason_and_what_it_means(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    opened(page, serve(trading.locked))
    expect(page.locator("#trader-state")).to_have_text("trader locked")
    expect(page.locator("#trader-state")).to_have_attribute("data-tone", "bad")
    expect(page.locator("#trader .trader-mode")).to_have_text(
        "✕ trader lockedthe kill switch is set: no new entries until it is released"
    )
    expect(page.locator("#trader .trader-reason")).to_have_text("kill switch set by ada: news")
    expect(page.locator("#problems")).to_contain_text("locked: kill switch set by ada")
    photograph("trader-locked")


def test_a_latched_limit_says_that_it_holds_until_released(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.latched))
    expect(limits(page).nth(0)).to_have_text(
        "daily loss✕ latched until released95.80 (48\u00a0%)104.20200.00\u00a0USDT"
    )
    expect(page.locator("#trader .trader-reason")).to_contain_text("release it")
    expect(page.locator("#problems")).to_contain_text(
        "daily loss is latched: no new entries until it is released"
    )


def test_a_limit_that_is_near_is_told_with_glyph_and_word(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.with_trader))
    expect(limits(page).nth(0)).to_contain_text("▲ warned30 (15\u00a0%)")


@pytest.mark.parametrize(
    ("state", "silence"),
    [
        (trading.silent, r"trader not answering for (4[5-9]|5\d)\s?s"),
        (trading.crashed, r"trader not answering for \d\s?s"),
    ],
)
def test_a_silent_trader_is_nowhere_shown_as_enabled(
    page: Page, serve: Serve, state: State, silence: str, photograph: Photograph
) -> None:
    opened(page, serve(state))
    expect(page.locator("#trader-state")).to_have_text(IN_WORDS(f"^{silence}$"))
    expect(page.locator("#trader-state")).to_have_attribute("data-tone", "bad")
    mode = page.locator("#trader .trader-mode")
    expect(mode).to_contain_text(IN_WORDS(f"✕ {silence}"))
    expect(mode).to_contain_text("it was enabled when last heard")
    expect(page.locator("#trader .facts")).to_contain_text("Next cycleunknown")
    expect(page.locator("#trader .facts")).to_contain_text("All below as of")
    expect(page.locator("#alerts")).to_contain_text(
        "only stops at the venue protect its positions in BTCUSDT"
    )
    assert "trader enabled" not in page.locator("body").inner_text()
    photograph(f"trader-{state.__name__}")


def test_a_trader_falls_silent_while_one_looks_on_without_any_message(
    page: Page, serve: Serve
) -> None:
    def nearly(data: dict[str, Any], now_ms: int) -> dict[str, Any]:
        full = trading.with_position(data, now_ms)
        full["trader"]["status"]["as_of_ms"] = now_ms - 25_000
        return full

    opened(page, serve(nearly))
    expect(page.locator("#trader-state")).to_have_text("trader enabled")
    expect(page.locator("#trader-state")).to_have_text(
        IN_WORDS(r"trader not answering for 3\d\s?s"), timeout=15_000
    )


def test_no_keys_are_told_in_the_words_of_the_bus_and_nothing_is_claimed(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(trading.without_keys))
    expect(page.locator("#held-count")).to_have_text("positions unknown")
    for name in ("#positions", "#balance"):
        expect(page.locator(f"{name} .newest")).to_have_text("Unknown: no keys for the venue.")
    expect(page.locator("#positions .empty")).to_have_text(
        "Whether there are positions is not known."
    )
    expect(page.locator("#balance .empty")).to_have_text("The balance is not known.")
    expect(page.locator("#balance .facts")).to_be_hidden()
    expect(page.locator("#trader .facts")).to_contain_text("Troubleno keys")
    expect(page.locator("#problems")).to_contain_text("no keys for the venue (no answer yet)")
    assert "No open position" not in page.locator("#positions").inner_text()


def test_live_trading_that_is_closed_says_so_where_the_mode_stands(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(trading.live_closed))
    expect(page.locator("#mode")).to_have_text("LIVE")
    expect(page.locator("#trader .trader-mode")).to_contain_text("○ trader disabled")
    expect(page.locator("#trader .trader-reason")).to_have_text(
        "live trading is closed: the venue ended futures on 2026-09-22"
    )


def test_what_is_missing_of_the_evidence_stands_on_the_page(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.without_evidence))
    expect(page.locator("#trader .trader-mode")).to_contain_text("trader reducing")
    reason = page.locator("#trader .trader-reason")
    expect(reason).to_contain_text("no evidence of these settings: it is of other settings (hash")
    expect(reason).to_contain_text("the venue takes 0.055 % now: test with that fee")
    expect(page.locator("#trader .trader-evidence")).to_be_hidden()  # said already


def test_reason_to_enter_without_evidence_stands_on_the_page(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.at_own_risk))
    expect(page.locator("#trader .trader-mode")).to_contain_text("trader enabled")
    evidence = page.locator("#trader .trader-evidence")
    expect(evidence).to_contain_text(
        "Accepted without evidence: a month at the smallest size, agreed on 1 May. No evidence of"
    )
    expect(evidence).to_have_attribute("data-tone", "warn")


def test_a_venue_that_is_down_makes_everything_of_it_old_with_its_age(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    opened(page, serve(trading.venue_down))
    told = IN_WORDS(
        r"^Not current: venue down: connection refused\. As of (9[5-9]|1[01]\d)\s?s ago\.$"
    )
    expect(page.locator("#trader-state")).to_have_text("trader enabled, in trouble")
    expect(page.locator("#trader-state")).to_have_attribute("data-tone", "warn")
    for name in ("#positions", "#balance"):
        expect(page.locator(f"{name} .newest")).to_have_text(told)
        expect(page.locator(f"{name} .newest")).to_have_attribute("data-tone", "warn")
    expect(page.locator("#held > li")).to_have_text(
        IN_WORDS(r"stop 2\.00\s% awayas of (9[5-9]|1[01]\d)\s?s ago$")
    )
    expect(card(page, "BTCUSDT").locator(".position")).to_contain_text(
        IN_WORDS(r"·\s(9[5-9]|1[01]\d)\s?s\sold$")
    )
    expect(page.locator("#trader .facts")).to_contain_text("Binance itself")
    expect(page.locator("#problems")).to_contain_text("venue down: connection refused")
    photograph("venue-down")


def test_positions_that_nobody_renews_are_old_after_a_minute(page: Page, serve: Serve) -> None:
    opened(page, serve(trading.account_silent))
    expect(page.locator("#positions .newest")).to_have_text(
        IN_WORDS(r"^Old: not renewed for (7[5-9]|8\d)\s?s\.$")
    )
    expect(page.locator("#held > li")).to_contain_text(IN_WORDS(r"as of (7[5-9]|8\d)\s?s ago"))


def test_a_position_without_a_stop_is_an_alarm_everywhere(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    opened(page, serve(trading.bare))
    expect(page.locator("#alerts")).to_contain_text("The long position in BTCUSDT has no stop.")
    bare = IN_WORDS(r"✕\sno\sstop\sfor\s(4[5-9]|5\d)\s?s")
    expect(page.locator("#held > li")).to_contain_text(bare)
    expect(page.locator("#held > li")).to_have_attribute("data-tone", "bad")
    expect(card(page, "BTCUSDT").locator(".position")).to_contain_text(bare)
    expect(page.locator("#positions tbody tr")).to_contain_text("✕ none for")
    expect(page.locator("#trader .facts")).to_contain_text("✕ without a stop: BTCUSDT")
    problem = page.locator("#problems tbody tr").first
    expect(problem).to_contain_text("✕ serious")
    expect(problem).to_contain_text("long position without a stop for 45 s")
    expect(problem.locator("th")).to_have_text("BTCUSDT")
    expect(page.locator("#problem-count")).to_have_attribute("data-tone", "bad")
    photograph("no-stop")


def test_redis_down_leaves_positions_as_last_seen_and_no_mode_claimed(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(trading.silent, documents.without_redis))
    expect(page.locator("#trader .trader-mode")).to_contain_text(
        "Redis is down; it was enabled when last heard"
    )


def test_more_positions_than_there_is_room_for_are_counted(page: Page, serve: Serve) -> None:
    symbols = [symbol for group in documents.COINS.values() for symbol in group][:8]

    def many(data: dict[str, Any], now_ms: int) -> dict[str, Any]:
        held = [position(symbol, opened_ms=now_ms) for symbol in symbols]
        return trading.told(data, now_ms, held=held)

    opened(page, serve(many))
    expect(page.locator("#held > li")).to_have_count(7)
    expect(page.locator("#held > li").last).to_have_text("and 2 more")
    expect(page.locator("#positions tbody tr")).to_have_count(8)


def in_turn(server: PageServer) -> Iterator[dict[str, Any]]:
    """Yield every state's document; whoever takes it shows it."""
    for state in trading.STATES.values():
        now_ms = server.now_ms()
        yield state(documents.document(now_ms), now_ms)


def test_hostile_text_is_shown_as_text_in_every_state(page: Page, serve: Serve) -> None:
    server = serve()
    opened(page, server)
    for full in in_turn(server):
        names = [row["name"] for row in full["actors"]]
        hostile = poisoned({topic: full[topic] for topic in (*trading.TOPICS, "errors")})
        for name, row in zip(names, hostile["actors"], strict=True):
            row["name"] = name
        server.patch(set=hostile)
        expect(page.locator("#trader")).to_contain_text(HOSTILE)
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script, .strip img, #alerts img").count() == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_serious_in_any_state(page: Page, serve: Serve, theme: str) -> None:
    if not AXE.exists():
        missing("axe-core is not installed (npm ci)")
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    server = serve()
    opened(page, server)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for full in in_turn(server):
        server.patch(set={topic: full[topic] for topic in (*trading.TOPICS, "errors")})
        expect(page.locator("#trader-state")).not_to_have_text("no trader running")
        where = ".strip, #alerts, #positions, #balance, #trader, #events, #problems"
        found = page.evaluate(f"axe.run({where.split(', ')})")
        grave = [
            (v["id"], node["html"][:160], node["failureSummary"][:300])
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]
        assert grave == [], "\n".join(map(str, grave))
        assert len(found["passes"]) > 10


@pytest.mark.parametrize("width", [320, 375, 768, 1440])
@pytest.mark.parametrize("name", ["with_trader", "bare"])
def test_nothing_runs_out_of_its_panel_or_of_the_page(
    page: Page, serve: Serve, name: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, serve(trading.STATES[name]))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".panel, #held > li")].flatMap(panel => {
          const box = panel.getBoundingClientRect();
          return [...panel.querySelectorAll("*")].filter(part => {
            if (part.closest("table, svg, .unseen")) return false;
            const at = part.getBoundingClientRect();
            return at.width && (at.right > box.right + 0.5 || at.left < box.left - 0.5);
          }).map(part => `${panel.id} ${part.tagName} ${part.className}`);
        })"""
    )
    assert outside == []
    if width >= 375:  # in sight without scrolling sideways
        frame = page.locator("#positions .scroll").bounding_box()
        stop = page.locator("#positions tbody tr").first.locator("td").nth(1).bounding_box()
        assert stop is not None and frame is not None
        assert stop["x"] + stop["width"] <= frame["x"] + frame["width"]

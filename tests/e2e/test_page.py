"""The page by itself, as the dashboard serves it: every state that its data can be in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from actors.dashboard.actor import LIBRARY_FILE
from tests.conftest import missing
from tests.support import dashboard_document as documents
from tests.support import dashboard_trading as trading
from tests.support.page_server import PageServer
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for

Serve = Callable[..., PageServer]
Photograph = Callable[[str], None]
COINS = 29
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\'"&lt;'


def card(page: Page, symbol: str) -> Locator:
    return page.locator(f"#cards > [data-symbol={symbol}]")


def opened(page: Page, server: PageServer, query: str = "") -> Page:
    page.goto(server.url + query)
    expect(page.locator("#cards > li")).not_to_have_count(0)
    return page


def shown(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#cards > li", "cards => cards.map(card => card.dataset.symbol)"
    )
    return found


def ending(place: str) -> re.Pattern[str]:
    """Match an address by its end."""
    return re.compile(re.escape(place) + "$")


def needs_library() -> None:
    if not LIBRARY_FILE.exists():
        missing("the chart library is not installed (npm ci)")


# What a card says


def test_a_card_says_everything_of_its_coin(page: Page, serve: Serve) -> None:
    opened(page, serve())
    # the eleventh coin: bonus 10 long and 20 short, ribbon bearish and mixed, no squeeze
    found = card(page, "AVAXUSDT")
    expect(found.locator(".symbol")).to_have_text("AVAXUSDT")
    expect(found.locator(".price")).to_have_text(re.compile(r"^\d+\.\d{3}$"))
    expect(found.locator(".change")).to_have_text("▼ \u22124.00\u00a0%")
    expect(found.locator(".span")).to_have_text("24\u00a0h")
    expect(found.locator(".side")).to_have_text("▼ SHORT")
    expect(found.locator(".sum")).to_have_text("43 + 15 = 58")
    expect(found.locator(".other")).to_have_text("long +25")
    rows = found.locator(".ribbon-row")
    expect(rows.nth(0)).to_have_text("5m◆ mixed45.3\u00a0%")
    expect(rows.nth(1)).to_have_text("1h▲ bullish67.9\u00a0%")
    expect(found.locator(".squeeze")).to_have_text("▼ no squeeze")
    expect(found.locator(".divergence")).to_have_text("▼ bearish div. 0.39 · 4\u00a0bars\u00a0ago")
    expect(found.locator(".divergence")).to_have_attribute("data-strength", "solid")
    expect(found.locator(".card-foot")).to_have_text(
        re.compile(r"^signal from close \d\d:\d[05]next in \d:\d\d$")
    )


def test_the_dot_is_red_while_on_green_when_fired_and_gray_else(page: Page, serve: Serve) -> None:
    opened(page, serve())
    colours = {
        state: page.locator(f"[data-squeeze={state}] .dot").first.evaluate(
            "dot => getComputedStyle(dot).backgroundColor"
        )
        for state in ("on", "fired", "off")
    }
    red, green, gray = (
        [int(part) for part in re.findall(r"\d+", colours[s])[:3]] for s in ("on", "fired", "off")
    )
    assert red[0] > 2 * red[1] > 0
    assert green[1] > 2 * green[0]
    assert max(gray) - min(gray) < 30


def test_ages_go_on_and_closes_come_nearer_without_any_message(page: Page, serve: Serve) -> None:
    opened(page, serve())
    found = card(page, "BTCUSDT")

    def age_s() -> int:
        return int(re.findall(r"\d+", found.locator(".age").inner_text())[0])

    before_age, before_next = age_s(), found.locator(".next").inner_text()
    wait_for(lambda: _pumped(page, lambda: age_s() >= before_age + 2), 6, "the age to grow")
    assert found.locator(".next").inner_text() != before_next


def _pumped(page: Page, condition: Callable[[], bool]) -> bool:
    page.wait_for_timeout(50)
    return condition()


def test_every_state_of_a_coin_is_told_in_words_and_none_sounds_neutral(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    opened(page, serve(documents.with_troubles))
    words = {"BTCUSDT": "stale", "ETHUSDT": "quarantined", "BNBUSDT": "warming up",
             "SOLUSDT": "delisted", "XRPUSDT": "loading"}  # fmt: skip
    for symbol, word in words.items():
        expect(card(page, symbol).locator(".state")).to_have_text(word)
        expect(card(page, symbol).locator(".reason")).to_be_visible()
    expect(page.locator("#feed")).to_have_text(
        "24 live, 1 stale, 1 quarantined, 1 not traded, 2 without signal"
    )
    for symbol in ("BNBUSDT", "SOLUSDT", "XRPUSDT"):
        text = card(page, symbol).inner_text()
        # What the exchange no longer trades will not get one.
        assert ("no score yet" in text) == (symbol != "SOLUSDT")
        assert "no score" in text
        for neutral in ("mixed", "no squeeze", "no divergence", "LONG", "SHORT", "EVEN"):
            assert neutral not in text, (symbol, neutral)
    expect(card(page, "ETHUSDT").locator(".reason")).to_contain_text("high below low at 12:05")
    expect(card(page, "BTCUSDT").locator(".age")).to_have_text("6\u00a0min old")
    photograph("troubles")


def test_a_coin_that_does_not_trade_says_so_with_its_last_candle_and_no_current_numbers(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(documents.not_simply_traded))
    words = {"BTCUSDT": "announced", "ETHUSDT": "young", "BNBUSDT": "halted",
             "SOLUSDT": "dead", "XRPUSDT": "delisted"}  # fmt: skip
    for symbol, word in words.items():
        expect(card(page, symbol).locator(".state")).to_have_text(word)
        expect(card(page, symbol).locator(".reason")).to_contain_text(f"{word}")
    expect(page.locator("#feed")).to_have_text("24 live, 0 stale, 1 young, 4 not traded")
    expect(card(page, "BTCUSDT").locator(".age")).to_have_text("no candle")
    expect(card(page, "BNBUSDT").locator(".age")).to_have_text(
        re.compile(r"^last candle \d\d:\d\d$")
    )
    for symbol in ("SOLUSDT", "XRPUSDT"):
        age = card(page, symbol).locator(".age")
        expect(age).to_have_text(re.compile(r"^last candle \d+ \w+ \d{4}$"))
    for symbol in set(words) - {"ETHUSDT"}:
        text = card(page, symbol).inner_text()
        assert " old" not in text and "%\u00a0" not in text and "next" not in text, symbol
        assert "–" in card(page, symbol).locator(".change").inner_text()
    expect(card(page, "ETHUSDT").locator(".age")).to_contain_text(" old")
    problems = page.locator("#problems").inner_text()
    for symbol, word in words.items():
        assert (f"{word} since" in problems or f"{word}: not" in problems) == (
            symbol in ("BNBUSDT", "SOLUSDT", "XRPUSDT")
        )


def test_an_actor_in_trouble_says_since_when_why_and_when_it_is_tried_again(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(documents.with_troubles))
    rows = page.locator("#actors tbody tr")
    expect(rows.nth(0)).to_contain_text("↻ backoff, next try")
    expect(rows.nth(0)).to_contain_text("killed by SIGKILL")
    expect(rows.nth(1)).to_contain_text("5 deaths within 60 s")
    newest = page.locator("#actors .newest")
    expect(newest).to_contain_text("Last death: indicators-majors")
    expect(newest).to_contain_text("killed by SIGKILL – “segment lost”")
    expect(page.locator("#alerts")).to_contain_text("indicators-payments is quarantined")
    expect(page.locator("#actors-up")).to_have_text("4 of 6 actors up")


def test_without_redis_ta_is_unavailable_and_a_banner_says_where_prices_come_from(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    opened(page, serve(documents.without_redis))
    expect(page.locator("#alerts")).to_contain_text("Redis is down since")
    expect(page.locator("#alerts")).to_contain_text(
        "Candles come straight from the simulated exchange"
    )
    expect(page.locator("#cards .state")).to_have_text(["TA unavailable"] * COINS)
    text = page.locator("#cards").inner_text()
    assert not re.search(r"mixed|no squeeze|no divergence|LONG|SHORT|EVEN", text)
    assert re.search(r"61,234\.56", text)
    photograph("redis-down")


# The feed


def test_nothing_is_judged_before_the_first_data(page: Page, serve: Serve) -> None:
    server = serve()
    page.route_web_socket("**/ws", lambda ws: None)
    page.goto(server.url)
    expect(page.locator("#feed")).to_have_text("connecting")
    expect(page.get_by_text("Waiting for the first data.")).to_be_visible()
    assert not re.search(r"LONG|SHORT|no problems|Redis up", page.locator("body").inner_text())


@pytest.mark.complains
def test_a_cut_is_shown_and_healed_by_one_snapshot_with_nothing_doubled(
    page: Page, serve: Serve
) -> None:
    server = serve(trading.with_trader)
    opened(page, server)
    counts = {q: page.locator(q).count() for q in ("#cards > li", "tbody tr", "#alerts > *")}
    page.evaluate("window.stays = true")
    server.cut()
    expect(page.locator("#alerts")).to_contain_text("Connection to the dashboard lost")
    expect(page.locator("html")).to_have_attribute("data-feed", "open")
    assert server.connections == 2
    for query, count in counts.items():
        expect(page.locator(query)).to_have_count(count)
    assert page.evaluate("window.stays") is True


def test_a_hole_in_the_numbers_is_healed_by_a_new_snapshot(page: Page, serve: Serve) -> None:
    server = serve()
    opened(page, server)
    server.skip()
    server.patch(set={"errors": ["after the hole"]})
    wait_for(lambda: _pumped(page, lambda: server.connections == 2), 10, "a new connection")
    expect(page.locator("html")).to_have_attribute("data-feed", "open")
    assert "after the hole" not in page.locator("#problems").inner_text()


# Text of others


def poisoned(value: Any) -> Any:
    """Return a document in which every free text is hostile."""
    kept = {"symbol", "group", "state", "status", "side", "mode", "divergence", "direction",
            "longLabel", "shortLabel", "fired_direction", "timeframe", "source"}  # fmt: skip
    if isinstance(value, dict):
        return {
            k: v if isinstance(v, str) and (k in kept or k.startswith("state_")) else poisoned(v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_is_shown_as_text_wherever_it_stands(page: Page, serve: Serve) -> None:
    def hostile(data: dict[str, Any], now_ms: int) -> dict[str, Any]:
        full = trading.with_trader(documents.with_troubles(data, now_ms), now_ms)
        full["errors"] = ["x"]
        full["exchange"]["troubles"] = {"ADAUSDT": "x"}
        groups = {HOSTILE: full["groups"]["majors"]}
        return {**poisoned(full), "groups": groups, "mode": HOSTILE, "source": HOSTILE}

    opened(page, serve(hostile))
    for name in ("#problems", "#actors", "#events", "#trader", "#balance", "#alerts", "#group"):
        expect(page.locator(name)).to_contain_text(HOSTILE)
    expect(card(page, "ETHUSDT").locator(".reason")).to_contain_text(HOSTILE)
    page.locator("#cards .score").first.hover()
    expect(page.locator("#tip")).to_contain_text(HOSTILE)
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main script, #tip img, #alerts img").count() == 0


# Tooltips


def test_a_tooltip_opens_on_hover_focus_and_tap_and_escape_closes_it(
    page: Page, serve: Serve
) -> None:
    opened(page, serve())
    tip, button = page.locator("#tip"), card(page, "BTCUSDT").locator(".ribbon")
    words = (
        "EMA Ribbon (8/13/21/34/55/89). Green = all EMAs stacked bullish. Red = bearish. "
        "Yellow = mixed."
    )
    button.hover()
    expect(tip).to_be_visible()
    expect(tip.locator(".tip-text")).to_have_text(words)
    expect(button).to_have_attribute("aria-describedby", "tip")
    expect(tip).to_contain_text("bullish, spread 12.3 %")
    page.mouse.move(1, 1)
    expect(tip).to_be_hidden()
    expect(button).not_to_have_attribute("aria-describedby", "tip")

    card(page, "BTCUSDT").locator(".score").focus()
    page.keyboard.press("Tab")
    expect(tip.locator(".tip-text")).to_have_text(words)
    page.keyboard.press("Tab")
    expect(tip).to_contain_text("TTM Squeeze. Red dot = volatility compression (coiled spring).")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()

    button.click()
    expect(tip).to_be_visible()
    button.click()
    expect(tip).to_be_hidden()


def test_the_words_of_the_three_tooltips(page: Page, serve: Serve) -> None:
    opened(page, serve())
    said = {
        ".squeeze": "TTM Squeeze. Red dot = volatility compression (coiled spring). Green dot = "
        "squeeze just fired. Direction shown by momentum.",
        ".divergence": "Stochastic RSI Divergence. Bullish divergence = price falling but "
        "momentum rising (reversal signal).",
    }
    for name, words in said.items():
        card(page, "ETHUSDT").locator(name).hover()
        expect(page.locator("#tip .tip-text")).to_have_text(words)


# Order, filter, settings


def test_order_and_filter_live_in_the_url_and_come_back_from_it(page: Page, serve: Serve) -> None:
    opened(page, serve())
    names = sorted(symbol for group in documents.COINS.values() for symbol in group)
    page.locator("#sort").select_option("name")
    expect(page.locator("#cards .symbol")).to_have_text(names)
    page.locator("#order").click()
    expect(page.locator("#cards .symbol")).to_have_text(names[::-1])
    page.get_by_role("button", name="Just fired").click()
    page.locator("#group").select_option("layer1")
    expect(page.locator("#cards .symbol")).to_have_text(["DOTUSDT"])
    expect(page.locator("#count")).to_have_text("1 of 29")
    expect(page).to_have_url(ending("?sort=name&order=reversed&show=fired&group=layer1"))
    page.reload()
    expect(page.locator("#cards .symbol")).to_have_text(["DOTUSDT"])
    page.locator("#text").fill("zzz")
    expect(page.locator("#no-match")).to_be_visible()
    page.locator("#reset-too").click()
    expect(page.locator("#cards > li")).to_have_count(COINS)


def test_cards_keep_their_places_under_the_pointer_and_sort_when_it_leaves(
    page: Page, serve: Serve
) -> None:
    server = serve()
    opened(page, server)
    first, last = shown(page)[0], shown(page)[-1]
    page.locator("#cards > li").first.hover()
    raised = documents.coin(last, "layer2", 20, server.now_ms())
    raised["base"] |= {"long": 99, "short": 0}
    server.patch(coins={last: raised})
    expect(card(page, last).locator(".sum")).to_contain_text("99 +")
    assert shown(page)[0] == first
    page.mouse.move(5, 5)
    server.patch(set={"errors": []})
    expect(page.locator("#cards > li").first).to_have_attribute("data-symbol", last)


def test_times_are_utc_or_local_as_chosen_and_the_choice_stays(page: Page, serve: Serve) -> None:
    server = serve()
    opened(page, server)
    foot = card(page, "BTCUSDT").locator(".card-foot")

    def hour() -> int:
        return int(re.findall(r"close (\d\d):", foot.inner_text())[0])

    utc = hour()
    page.locator("#zone").select_option("local")
    expect(foot).to_contain_text(f"close {(utc + 9) % 24:02d}:")
    page.reload()
    expect(foot).to_contain_text(f"close {(utc + 9) % 24:02d}:")


def test_the_colour_blind_palette_changes_what_up_and_down_look_like(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    opened(page, serve())
    tones = [page.locator(f".ribbon-row[data-tone={t}] .ribbon-fill").first for t in ("up", "down")]

    def colours() -> list[str]:
        return [str(t.evaluate("e => getComputedStyle(e).backgroundColor")) for t in tones]

    before = colours()
    page.locator("#palette").select_option("okabe-ito")
    assert colours() == ["rgb(86, 180, 233)", "rgb(230, 159, 0)"] != before
    photograph("colour-blind")


# Access and size


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("palette", ["standard", "okabe-ito"])
@pytest.mark.parametrize("place", ["", "?coin=BTCUSDT"])
def test_axe_finds_nothing_serious(
    page: Page, serve: Serve, theme: str, palette: str, place: str
) -> None:
    if not AXE.exists():
        missing("axe-core is not installed (npm ci)")
    needs_library()
    page.add_init_script(
        f"localStorage.setItem('theme', '{theme}'); localStorage.setItem('palette', '{palette}')"
    )
    opened(page, serve(documents.with_troubles, trading.with_trader), place)
    if place:
        expect(page.locator("#chart")).to_have_attribute("data-drawn", "BTCUSDT 5m")
    else:
        card(page, "ADAUSDT").locator(".score").hover()
        expect(page.locator("#tip")).to_be_visible()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    grave = [
        (v["id"], node["html"][:160], node["failureSummary"][:300])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    assert grave == [], "\n".join(map(str, grave))
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("width", [320, 375, 768, 1024, 1440, 1920])
@pytest.mark.parametrize("change", [trading.with_trader, documents.with_troubles])
def test_nothing_overlaps_or_runs_out_of_its_card(
    page: Page, serve: Serve, width: int, change: Callable[..., Any], photograph: Photograph
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, serve(change))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll("#cards > li")].flatMap(card => {
          const box = card.getBoundingClientRect();
          return [...card.querySelectorAll("*")].filter(part => {
            const at = part.getBoundingClientRect();
            return at.width
              && (at.right > box.right || at.left < box.left || at.bottom > box.bottom);
          }).map(part => `${card.dataset.symbol} ${part.getAttribute("class")}`);
        })"""
    )
    assert outside == []
    if change is documents.with_troubles:
        photograph(f"width-{width}")


def test_everything_can_be_done_from_the_keyboard(page: Page, serve: Serve) -> None:
    needs_library()
    opened(page, serve())
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.locator("#cards .symbol").first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#detail")
    expect(dialog).to_be_visible()
    expect(dialog.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).not_to_have_url(re.compile("coin="))
    expect(page.locator("#cards .symbol").first).to_be_focused()


# A coin opened


def test_a_coin_opens_with_its_chart_and_its_reasons(
    page: Page, serve: Serve, photograph: Photograph
) -> None:
    needs_library()
    opened(page, serve())
    card(page, "LINKUSDT").locator(".symbol").click()
    chart = page.locator("#chart")
    expect(chart).to_have_attribute("data-drawn", "LINKUSDT 5m")
    expect(page.locator("#detail-verdict")).to_have_text("LONG 83 + 25 = 108, candidate")
    expect(page.locator("#score-long tbody tr")).to_have_count(8)
    expect(page.locator("#bonus-reasons")).to_contain_text("EMA ribbon bullish aligned (+25)")
    expect(page.locator("#attribution")).to_contain_text("TradingView")
    expect(page.locator("#legend-squeeze")).to_contain_text("TTM Squeeze on, momentum")
    assert chart.locator("canvas").count() >= 6
    photograph("detail")
    page.get_by_role("button", name="4h").click()
    expect(chart).to_have_attribute("data-drawn", "LINKUSDT 4h")
    expect(page).to_have_url(ending("?coin=LINKUSDT&timeframe=4h"))
    chart.hover(position={"x": 200, "y": 100})
    legend = page.locator("#legend-price").inner_text()
    chart.hover(position={"x": 300, "y": 100})
    expect(page.locator("#legend-price")).not_to_have_text(legend)
    page.get_by_role("button", name="Next coin").click()
    expect(chart).not_to_have_attribute("data-drawn", "LINKUSDT 4h")
    page.go_back()
    expect(page.locator("#detail")).to_be_hidden()


@pytest.mark.complains
def test_without_the_library_it_is_said_what_is_missing_and_all_else_works(
    page: Page, serve: Serve
) -> None:
    opened(page, serve(has_library=False), "?coin=BTCUSDT")
    expect(page.locator("#chart-message")).to_contain_text("chart library is not installed")
    expect(page.locator("#chart-message")).to_contain_text("npm")
    expect(page.locator("#legend-stoch")).to_contain_text("Stoch RSI %K")
    expect(page.locator("#score-long tbody tr")).to_have_count(8)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#cards > li")).to_have_count(COINS)


# Light


def test_29_cards_are_painted_within_a_second(context: BrowserContext, serve: Serve) -> None:
    server = serve()
    times: list[float] = []
    while len(times) < 3 or (min(times) >= 1000 and len(times) < 10):  # the machine may be busy
        page = context.new_page()
        opened(page, server)
        times.append(
            page.evaluate(
                """() => new Promise(done => new PerformanceObserver(list => {
                  done(list.getEntriesByName("first-contentful-paint")[0].startTime);
                }).observe({type: "paint", buffered: true}))"""
            )
        )
        drawn_ms = page.evaluate("Number(document.documentElement.dataset.drawnMs)")
        times[-1] = max(times[-1], drawn_ms)
        assert len(shown(page)) == COINS
        page.close()
    print(f"29 cards painted after {[round(t) for t in times]} ms")
    assert min(times) < 1000


@pytest.mark.xdist_group("busy")
@pytest.mark.slow
@pytest.mark.timeout(240)  # thirteen thousand patches take a busy machine minutes
def test_a_patch_is_applied_within_a_frame_and_ten_thousand_leave_nothing(
    page: Page, serve: Serve
) -> None:
    server = serve(trading.with_trader)
    page.set_viewport_size({"width": 1440, "height": 100})  # painting is not what is measured
    opened(page, server)
    page.evaluate(
        """() => {
          window.took = [];
          new PerformanceObserver(list => {
            for (const {duration} of list.getEntriesByName("patch")) window.took?.push(duration);
          }).observe({type: "measure"});
        }"""
    )
    session = page.context.new_cdp_session(page)

    def heap() -> int:
        for _ in range(3):  # what one collection frees may hold what the next one frees
            session.send("HeapProfiler.collectGarbage")
        used: int = session.send("Runtime.getHeapUsage")["usedSize"]
        return used

    server.flood(3_000)  # what is made once, compiled code above all, is made now
    _drawn(page, 3_001)
    took = sorted(
        page.evaluate("() => { const {took} = window; delete window.took; return took; }")
    )
    before = heap()
    server.flood(5_000, at_once=5)
    _drawn(page, 8_001)
    between = heap()
    server.flood(5_000, at_once=5)
    _drawn(page, 13_001)
    after = heap()
    median, worst = took[len(took) // 2], took[int(len(took) * 0.95)]
    print(f"patch of 29 coins: median {median:.1f} ms, 95 % {worst:.1f} ms, {len(took)} measured")
    print(
        f"heap {before / 1e6:.2f} MB -> {between / 1e6:.2f} MB -> {after / 1e6:.2f} MB "
        f"over twice 5,000 patches"
    )
    assert len(took) > 50 and median < 16
    # what leaks grows in both halves; what the browser makes once, it makes in one of them
    assert min(between / before, after / between) <= 1.05
    assert len(shown(page)) == COINS


def _drawn(page: Page, sequence: int) -> None:
    expect(page.locator("html")).to_have_attribute("data-seq", str(sequence), timeout=180_000)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")

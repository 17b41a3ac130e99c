"""An opened coin: prices that differ look different, the chart follows, a halt is marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from actors.dashboard.actor import LIBRARY_FILE
from tests.conftest import missing
from tests.support.page_server import PageServer

Serve = Callable[..., PageServer]
Document = dict[str, Any]
CHEAP, CHINESE = "PEPEUSDT", "币安人生USDT"
HOURS_MS, M5_MS = 3_600_000, 300_000


@pytest.fixture(autouse=True)
def library() -> None:
    if not LIBRARY_FILE.exists():
        missing("the chart library is not installed (npm ci)")


def with_odd_coins(data: Document, _now_ms: int) -> Document:
    """Rename two coins; one costs a hundredth of a cent."""
    text = json.dumps(data, ensure_ascii=False)
    changed: Document = json.loads(
        text.replace("ICPUSDT", CHINESE).replace("SEIUSDT", CHEAP).replace('"ICP"', '"币安人生"')
    )
    for each in changed["coinData"]:
        if each["symbol"] == CHEAP:
            each |= {"price": 1.234e-5, "tick": 1e-8}
    ribbon = changed["taSignals"][CHEAP]["ema_ribbon"]
    ribbon["values"] = [1.2341e-5 + step * 3e-10 for step in range(6)]
    return changed


def halted(series: Document) -> Document:
    """Take three hours out of a series."""
    gone = slice(440, 476)
    first, until = (series["candles"][i][0] for i in (gone.start, gone.stop))
    del series["candles"][gone]
    lists = [*series["ema"].values(), *series["squeeze"].values(), *series["stochRsi"].values(),
             series["ribbonState"], series["atr"]]  # fmt: skip
    for values in lists:
        del values[gone]
    return series | {"gaps": [{"fromMs": first, "untilMs": until, "confirmed": True}]}


def opened(page: Page, server: PageServer, symbol: str) -> None:
    page.goto(server.url)
    page.locator(f"#cards > [data-symbol={symbol}] .symbol").click()
    expect(page.locator("#chart")).to_have_attribute("data-drawn", f"{symbol} 5m")


def test_the_last_candle_is_at_the_price_above_it(page: Page, serve: Serve) -> None:
    server = serve()
    opened(page, server, "BTCUSDT")
    coin = next(c for c in server.document["coinData"] if c["symbol"] == "BTCUSDT")
    chart, head = page.locator("#chart"), page.locator("#detail-price")
    for price, text in (
        (coin["price"], "61,234.56"),
        (61_250.5, "61,250.50"),
        (61_199, "61,199.00"),
    ):
        changed = coin | {"price": price, "priceAtMs": server.now_ms()}
        server.patch(coins={"BTCUSDT": changed})
        expect(head).to_contain_text(text)
        expect(chart).to_have_attribute("data-last", text)


@pytest.mark.complains
def test_a_series_read_before_its_newest_close_was_written_is_read_again(
    page: Page, serve: Serve
) -> None:
    server = serve()
    coin = next(c for c in server.document["coinData"] if c["symbol"] == "BTCUSDT")
    chart, answers = page.locator("#chart"), list[int]()

    def behind(series: Document) -> Document:
        return series | {"closedUntilMs": coin["closedUntilMs"] - M5_MS}

    def refused(_: Document) -> Document:
        raise web.HTTPServiceUnavailable

    def price(dollars: int) -> None:
        changed = coin | {"price": dollars, "priceAtMs": server.now_ms()}
        server.patch(coins={"BTCUSDT": changed})
        expect(chart).to_have_attribute("data-last", f"{dollars:,}.00")

    page.on("response", lambda a: answers.append(a.status) if "/series/" in a.url else None)
    server.change_series = behind
    opened(page, server, "BTCUSDT")
    prices = iter(range(61_000, 62_000))
    for count, then in ((2, refused), (3, None), (4, None)):
        while len(answers) < count:
            price(next(prices))
        server.change_series = then
    for _ in range(20):
        price(next(prices))
    assert answers == [200, 200, 503, 200]


def test_six_averages_of_a_cheap_coin_are_six_texts(page: Page, serve: Serve) -> None:
    server = serve(with_odd_coins)
    opened(page, server, CHEAP)
    texts = [text.split()[-1] for text in page.locator(".ema").all_inner_texts()]
    assert len(set(texts)) == 6, texts
    page.get_by_role("button", name="Close").click()
    page.locator(f"#cards > [data-symbol={CHEAP}] .ribbon").hover()
    expect(page.locator("#tip")).to_contain_text(
        "0.0000123410 / 0.0000123413 / 0.0000123416 / 0.0000123419 / 0.0000123422 / 0.0000123425"
    )


def test_a_chinese_coin_is_split_found_and_opened(page: Page, serve: Serve) -> None:
    server = serve(with_odd_coins)
    page.goto(server.url)
    card = page.locator(f"#cards > [data-symbol={CHINESE}]")
    expect(card.locator(".symbol b")).to_have_text("币安人生")
    expect(card.locator(".symbol .quote")).to_have_text("USDT")
    page.locator("#text").fill("人生usdt")
    expect(page.locator("#cards > li")).to_have_count(1)
    card.locator(".symbol").click()
    expect(page.locator("#chart")).to_have_attribute("data-drawn", f"{CHINESE} 5m")
    page.reload()
    expect(page.locator("#detail-title")).to_have_text(CHINESE)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_halt_is_marked_on_the_axis_and_said_in_words(
    page: Page, serve: Serve, photograph: Callable[[str], None], theme: str
) -> None:
    server = serve()
    server.change_series = halted
    page.goto(server.url)
    page.locator("#theme").select_option(theme)
    opened(page, server, "LINKUSDT")
    words = page.locator("#chart-gaps")
    expect(words).to_contain_text("Halt: the exchange has no candles from")
    expect(words).to_contain_text("(36 bars)")
    label = page.locator("#chart").get_attribute("aria-label") or ""
    assert words.inner_text() in label
    photograph(f"halt-{theme}")
    warn = words.evaluate("words => getComputedStyle(words).color")
    assert _pixels(page, warn) > 500, "no mark on the canvas"
    server.change_series = None
    page.locator("#timeframes [data-timeframe='1h']").click()
    expect(words).to_be_hidden()


def test_when_candles_cease_it_is_said_since_when_without_a_new_series(
    page: Page, serve: Serve
) -> None:
    server = serve()

    def ends_early(series: Document) -> Document:
        return series | {"candles": series["candles"][:-1]}

    server.change_series = ends_early
    opened(page, server, "LINKUSDT")
    words = page.locator("#chart-gaps")
    expect(words).to_be_hidden()
    server.later_ms = 3 * 300_000
    server.patch(set={})
    expect(words).to_contain_text("No candles since")


def _pixels(page: Page, colour: str) -> int:
    """Count the pixels of a colour on the chart's canvases."""
    found: int = page.evaluate(
        """colour => {
          const wanted = colour.match(/\\d+/g).map(Number);
          let count = 0;
          for (const canvas of document.querySelectorAll("#chart canvas")) {
            if (!canvas.width || !canvas.height) continue;
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            for (let i = 0; i < data.length; i += 4) {
              if (wanted.every((part, at) => data[i + at] === part)) count += 1;
            }
          }
          return count;
        }""",
        colour,
    )
    return found

"""The whole platform in front of a browser: what is shown is what is on the bus."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from shared.clock import SystemClock
from shared.messages.actors import Quarantine
from tests.support.platform_run import Platform, wait_for

COINS = 29
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\'"&lt;'
CLOCK = SystemClock()

# With the flood of patches in test_page.py on one process: beside it, a live page falls so far
# behind that it is never seen to agree with the bus.
pytestmark = pytest.mark.xdist_group("busy")


# One platform for all of them: each test leaves it as well as it found it.
@pytest.fixture(scope="module")
def platform(redis_binary: str) -> Iterator[Platform]:
    home = Path(tempfile.mkdtemp(prefix="coinex-"))
    running = Platform(home / "var")
    try:
        running.start()
        wait_for(lambda: running.health()[1]["status"] == "ok", 40, "health ok")
        yield running
        running.stop()
    finally:
        for process in psutil.process_iter():
            try:
                if str(home) in " ".join(process.cmdline()):
                    process.kill()
            except psutil.Error:
                continue
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def address(platform: Platform) -> str:
    """Where the dashboard is."""
    return f"http://127.0.0.1:{platform.actor('dashboard')['port']}/"


@pytest.fixture
def board(page: Page, address: str) -> Page:
    """Return the page, all coins live."""
    page.goto(address)
    expect(page.locator("#feed")).to_have_text("29 live, 0 stale", timeout=40_000)
    page.evaluate("window.stays = true")
    return page


def soon(page: Page, condition: Callable[[], Any], within_s: float, what: str) -> Any:
    """Wait while the page goes on living."""

    def pumped() -> Any:
        page.wait_for_timeout(50)
        return condition()

    return wait_for(pumped, within_s, what)


READ_CARDS = """() => Object.fromEntries([...document.querySelectorAll("#cards > li")].map(card => {
  const text = name => [...card.querySelectorAll(name)].map(e => e.hidden ? "" : e.textContent);
  return [card.dataset.symbol, {
    price: text(".price")[0], change: text(".change")[0], side: text(".side")[0],
    sum: text(".sum")[0], other: text(".other")[0], ribbon: text(".ribbon-row"),
    squeeze: text(".squeeze")[0], divergence: text(".divergence")[0], state: text(".state")[0],
    age: text(".age")[0], foot: text(".card-foot")[0],
    dot: card.querySelector(".squeeze").dataset.squeeze,
    solid: card.querySelector(".divergence").dataset.strength,
  }];
}))"""
GLYPHS = {"bullish": "▲", "bearish": "▼", "mixed": "◆", None: ""}


def close_to(shown: str, number: float, decimals: int) -> bool:
    """Tell whether a text is this number, allowing for either rounding of a half."""
    value = float(shown.replace(",", "").replace("\u2212", "-").replace("+", ""))
    return bool(abs(value - number) <= 0.5 * 10**-decimals + 1e-9)


def differences(platform: Platform, page: Page) -> list[str]:
    """Return where the cards differ from the bus now."""
    cards = page.evaluate(READ_CARDS)
    assert len(cards) == COINS
    with platform.redis() as client:
        scan = json.loads(str(client.get("scan:latest")))
        raw = {s: client.mget(f"ta:latest:{s}", f"cache:candles:{s}") for s in cards}
    scores = {score["symbol"]: score for score in scan["coins"]}
    found = []
    for symbol, card in cards.items():
        signal_raw, window_raw = raw[symbol]
        signal, window = json.loads(signal_raw), json.loads(window_raw)
        expected = _expected(signal, scores[symbol])
        found += [
            f"{symbol} {name}: shown {card[name]!r}, on the bus {value!r}"
            for name, value in expected.items()
            if card[name] != value
        ]
        decimals = len(card["price"].partition(".")[2])
        if not close_to(card["price"], window["close"][-1], decimals):
            found.append(f"{symbol} price {card['price']} is not {window['close'][-1]}")
        for row, timeframe in zip(card["ribbon"], ("5m", "1h"), strict=True):
            ribbon = signal["ema_ribbon"]
            state, spread = ribbon[f"state_{timeframe}"], ribbon[f"spread_{timeframe}"]
            told = re.fullmatch(rf"{timeframe}{GLYPHS[state]} {state}([\d.]+)\u00a0%", row)
            if told is None or not close_to(told[1], spread, 1):
                found.append(f"{symbol} ribbon {row!r} is not {state} {spread}")
    return found


def _bars(count: int) -> str:
    return f"{count} {'bar' if count == 1 else 'bars'}"


def _bars_ago(bars: int) -> str:
    return f"{_bars(bars)} ago".replace(" ", "\u00a0")


def _expected(signal: dict[str, Any], score: dict[str, Any]) -> dict[str, str]:
    """Return what a card must say, computed from the bus without the page's code."""
    bonus = signal["composite_score_adjustment"]
    sides = {
        side: (score[side]["score"], bonus[f"{side}_bonus"]) for side in ("long", "short")
    }  # base, bonus
    lead = sides["long"][0] - sides["short"][0] or sides["long"][1] - sides["short"][1]
    side, other = ("long", "short") if lead >= 0 else ("short", "long")
    base, points = sides[side]
    squeeze, divergence = signal["ttm_squeeze"], signal["stoch_rsi_divergence"]
    if squeeze["fired"]:
        glyph = GLYPHS[squeeze["fired_direction"] or squeeze["direction"]]
        ago = squeeze["fired_bars_ago"]
        words = f"{glyph} fired now" if ago == 0 else f"{glyph} fired {_bars_ago(ago)}"
    elif squeeze["squeeze"]:
        words = f"{GLYPHS[squeeze['direction']]} squeeze on, {_bars(squeeze['bars_in_squeeze'])}"
    else:
        words = f"{GLYPHS[squeeze['direction']]} no squeeze"
    kind = divergence["divergence"]
    badge = "no divergence"
    if kind != "none":
        strength = math.floor(100 * divergence["strength"] + 1e-9) / 100
        ago = _bars_ago(divergence["candles_ago"])
        badge = f"{GLYPHS[kind]} {kind} div. {strength:.2f} · {ago}"
    return {
        "side": "◆ EVEN" if lead == 0 else {"long": "▲ LONG", "short": "▼ SHORT"}[side],
        "sum": f"{base} + {points} = {base + points}",
        "other": f"{other} +{sides[other][1]}" if sides[other][1] else "",
        "squeeze": words,
        "dot": "fired" if squeeze["fired"] else "on" if squeeze["squeeze"] else "off",
        "divergence": badge,
        "solid": "none" if kind == "none" else ("outlined", "solid")[divergence["strength"] >= 0.3],
        "state": "",
    }


def test_every_number_on_the_cards_is_the_one_on_the_bus(platform: Platform, board: Page) -> None:
    last: list[str] = []

    def agree() -> bool:
        last[:] = differences(platform, board)
        return not last

    try:
        soon(board, agree, 30, "cards equal to the bus")
    except AssertionError:
        raise AssertionError("\n".join(last)) from None


def test_a_frame_each_quarter_second_at_most_however_fast_the_bus(
    platform: Platform, page: Page, address: str
) -> None:
    times: list[float] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda _: times.append(time.monotonic())),
    )
    page.goto(address)
    expect(page.locator("#feed")).to_contain_text("live")
    with platform.redis() as client:
        signal_raw = json.loads(str(client.get("ta:latest:BTCUSDT")))
        begin = time.monotonic()
        published = 0
        while time.monotonic() < begin + 4:
            signal_raw["computed_at_ms"] = CLOCK.now_ms()
            signal_raw["ema_ribbon"]["spread_5m"] = published % 100
            client.publish("signals:ta:BTCUSDT", json.dumps(signal_raw))
            published += 1
            page.wait_for_timeout(4)
    frames = [t for t in times if begin <= t < begin + 4]
    print(f"{published} messages in 4 s became {len(frames)} frames")
    assert published > 100
    assert 4 <= len(frames) <= 17


def test_a_killed_actor_is_named_with_its_cause_and_heals(platform: Platform, board: Page) -> None:
    name = "indicators-majors"
    row = board.locator("#actors tbody tr", has_text=name)
    expect(row).to_contain_text("ready")
    pid = platform.kill_actor(name)
    expect(row).to_contain_text("SIGKILL", timeout=15_000)
    platform.wait_replaced(name, pid)
    expect(row).to_contain_text("ready", timeout=15_000)
    expect(row.locator("td").nth(2)).to_have_text(str(platform.actor(name)["restarts"]))
    expect(board.locator("#feed")).to_have_text("29 live, 0 stale", timeout=30_000)


def test_coins_of_a_stopped_actor_grow_old_turn_stale_and_heal(
    platform: Platform, board: Page, photograph: Callable[[str], None]
) -> None:
    assert platform.run("stop", "indicators-defi").returncode == 0
    try:
        age = board.locator("[data-symbol=ARBUSDT] .age")
        soon(board, lambda: _seconds(age.inner_text()) > 15, 40, "the age to grow")
        assert _seconds(board.locator("[data-symbol=BTCUSDT] .age").inner_text()) < 15
        state = board.locator("[data-symbol=ARBUSDT] .state")
        expect(state).to_have_text("stale", timeout=60_000)
        expect(board.locator("#feed")).to_have_text("22 live, 7 stale")
        board.get_by_role("button", name="Stale").click()
        expect(board.locator("#cards > li")).to_have_count(7)
        photograph("stale")
        board.get_by_role("button", name="Show all").first.click()
    finally:
        platform.run("start", "indicators-defi")
    expect(board.locator("#feed")).to_have_text("29 live, 0 stale", timeout=30_000)


def _seconds(text: str) -> int:
    return int(re.findall(r"\d+", text)[0])


def test_a_coin_in_quarantine_says_why_and_hostile_words_stay_words(
    platform: Platform, board: Page, photograph: Callable[[str], None]
) -> None:
    until_ms = CLOCK.now_ms() + 60_000
    entry = Quarantine(
        symbol="ETHUSDT", stage="compute", reason=HOSTILE, since_ms=until_ms - 60_000,
        until_ms=until_ms,
    )  # fmt: skip
    fields = {name: getattr(entry, name) for name in entry.__slots__}
    platform.run("stop", "indicators-majors")  # its owner would remove what it has not written
    with platform.redis() as client:
        client.set("quarantine:compute:ETHUSDT", json.dumps(fields), px=60_000)
    card = board.locator("[data-symbol=ETHUSDT]")
    expect(card.locator(".state")).to_have_text("quarantined", timeout=20_000)
    expect(card.locator(".reason")).to_contain_text(HOSTILE)
    photograph("quarantined")
    with platform.redis() as client:
        client.delete("quarantine:compute:ETHUSDT")
    platform.run("start", "indicators-majors")
    expect(card.locator(".state")).to_be_hidden(timeout=30_000)
    assert board.evaluate("window.pwned") is None


def test_without_redis_prices_go_on_ta_does_not_and_all_is_back_without_a_reload(
    platform: Platform, board: Page, photograph: Callable[[str], None]
) -> None:
    redis_pid = platform.status()["supervisor"]["redis_pid"]
    os.kill(redis_pid, signal.SIGSTOP)
    try:
        expect(board.locator("#redis")).to_have_text("Redis down", timeout=30_000)
        expect(board.locator("#alerts")).to_contain_text(
            "straight from the simulated exchange", timeout=40_000
        )
        states = board.locator("#cards .state")
        expect(states).to_have_text(["TA unavailable"] * COINS, timeout=15_000)
        text = board.locator("#cards").inner_text()
        assert not re.search(r"mixed|no squeeze|no divergence|LONG|SHORT", text)
        prices = board.locator("#cards .price")
        before = prices.all_inner_texts()
        soon(board, lambda: prices.all_inner_texts() != before, 45, "a newer price")
        photograph("platform-redis-down")
    finally:
        os.kill(redis_pid, signal.SIGCONT)
    expect(board.locator("#feed")).to_have_text("29 live, 0 stale", timeout=60_000)
    expect(board.locator("#redis")).to_have_text("Redis up")
    expect(board.locator("#alerts > *")).to_have_count(0)
    assert board.evaluate("window.stays") is True


@pytest.mark.complains
def test_a_killed_dashboard_is_found_again_by_its_page_and_nothing_is_doubled(
    platform: Platform, board: Page
) -> None:
    count = len(platform.actors())
    pid = platform.kill_actor("dashboard")
    expect(board.locator("#alerts")).to_contain_text("Connection to the dashboard lost")
    platform.wait_replaced("dashboard", pid)
    expect(board.locator("#feed")).to_have_text("29 live, 0 stale", timeout=40_000)
    expect(board.locator("#cards > li")).to_have_count(COINS)
    expect(board.locator("#actors tbody tr")).to_have_count(count)
    assert board.evaluate("window.stays") is True


OPEN_SOCKET = """url => new Promise(done => {
  const socket = new WebSocket(url);
  socket.onmessage = () => done("open");
  socket.onerror = () => done("refused");
})"""


@pytest.mark.complains
def test_a_page_of_another_site_gets_no_socket(context: BrowserContext, address: str) -> None:
    context.route(
        "http://other.example/**",
        lambda route: route.fulfill(body="<p>other</p>", content_type="text/html"),
    )
    socket = address.replace("http", "ws") + "ws"
    own, other = context.new_page(), context.new_page()
    own.goto(address)
    assert own.evaluate(OPEN_SOCKET, socket) == "open"
    other.goto("http://other.example/")
    assert other.evaluate(OPEN_SOCKET, socket) == "refused"


@pytest.mark.parametrize("timeframe", ["5m", "1h", "4h"])
def test_an_opened_coin_shows_what_the_bus_holds(
    platform: Platform, page: Page, address: str, timeframe: str
) -> None:
    page.goto(f"{address}?coin=BTCUSDT&timeframe={timeframe}")
    expect(page.locator("#chart")).to_have_attribute(
        "data-drawn", f"BTCUSDT {timeframe}", timeout=40_000
    )
    if timeframe == "4h":
        return
    suffix = "" if timeframe == "5m" else f"_{timeframe}"

    def agree() -> bool:
        told = platform.signal_of("BTCUSDT")
        assert told is not None
        values = told["ema_ribbon"][f"values{suffix}"]
        texts = [text.split()[-1] for text in page.locator(".ema").all_inner_texts()]
        shown = [float(text.replace(",", "")) for text in texts if text != "–"]
        # The chart's EMAs know 1000 bars, the signal's 500: EMA89 differs by 0.02 bps, no more.
        return shown == pytest.approx(values, rel=1e-5)

    soon(page, agree, 20, "EMAs of the legend equal to the signal's")

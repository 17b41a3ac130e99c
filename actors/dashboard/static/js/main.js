/** Entry point: the feed into the store, the store onto the page. */

/** @import {ServerMessage} from "./contract.js" */
/** @import {FeedState} from "./socket.js" */
/** @import {Change, State} from "./store.js" */
/** @import {View} from "./filter.js" */

import { drawAlerts } from "./alerts.js";
import { setClock } from "./clock.js";
import { bindDetail, drawDetail, repaintChart } from "./detail.js";
import { byId } from "./dom.js";
import { searchOf, viewOf } from "./filter.js";
import { drawCards, orderCards, tickCards } from "./grid.js";
import { drawPositionLines } from "./position_lines.js";
import { drawActors } from "./panels/actors.js";
import { drawBalance } from "./panels/balance.js";
import { drawEvents } from "./panels/events.js";
import { drawHistory } from "./panels/history.js";
import { drawPositions } from "./panels/positions.js";
import { drawProblems } from "./panels/problems.js";
import { drawTrader } from "./panels/trader.js";
import { bindSetting, onSettings } from "./settings.js";
import { Feed } from "./socket.js";
import { applyPatch, applySnapshot } from "./store.js";
import { drawStrip } from "./strip.js";
import { bindToolbar, drawToolbar, offerGroups } from "./toolbar.js";
import { refreshTooltip } from "./tooltip.js";

/** @type {State | null} */
let state = null;
/** @type {FeedState} */
let feedState = { phase: "connecting", retryAtMs: null };
let view = viewOf(location.search);
/** What changed since the page was drawn last. */
/** @type {Change} */
let pending = { coins: new Set(), topics: new Set() };
let isScheduled = false;

/** Which panel shows which topics. */
/** @type {[draw: (state: State) => void, ...topics: string[]][]} */
const PANELS = [
  [drawPositions, "positions"],
  [drawPositionLines, "positions"],
  [drawBalance, "balance", "equity", "trader"],
  [drawTrader, "trader", "outside", "actors", "redis"],
  [drawEvents, "tradeEvents", "trader", "outside", "actors"],
  [drawHistory, "signalHistory"],
  [drawActors, "actors"],
];

/** @param {Change} change */
function schedule(change) {
  for (const symbol of change.coins) pending.coins.add(symbol);
  for (const topic of change.topics) pending.topics.add(topic);
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(draw);
}

function draw() {
  isScheduled = false;
  const { coins, topics } = pending;
  pending = { coins: new Set(), topics: new Set() };
  if (state === null) return;
  const start = performance.now();
  drawCards(state, view, coins);
  if (topics.has("groups")) offerGroups(Object.keys(state.data.groups), view);
  orderCards(state, view, { forced: topics.has("view") });
  for (const [panel, ...shown] of PANELS) if (shown.some((topic) => topics.has(topic))) panel(state);
  drawProblems(state);
  drawDetail(state, view);
  drawAround();
  refreshTooltip();
  const end = performance.now();
  performance.measure("patch", { start, end });
  performance.clearMeasures("patch");
  document.documentElement.dataset["drawnMs"] ??= String(Math.round(end));
}

function drawAround() {
  drawStrip(state, feedState);
  drawAlerts(state, feedState.phase);
  document.documentElement.dataset["feed"] = feedState.phase;
}

/** @param {ServerMessage} message */
function receive(message) {
  let change;
  if (message.type === "snapshot") {
    setClock(message.data.asOf);
    ({ state, change } = applySnapshot(message.data));
  } else {
    setClock(message.asOf);
    if (state === null) return;
    ({ state, change } = applyPatch(state, message));
  }
  document.documentElement.dataset["seq"] = String(message.seq);
  schedule(change);
}

function everything() {
  return { coins: new Set(state?.coins.keys()), topics: new Set(PANELS.flatMap(([, ...topics]) => topics)) };
}

/** @param {Partial<View>} change */
function changeView(change) {
  const before = view;
  view = { ...view, ...change };
  const search = searchOf(view);
  if (search !== searchOf(before)) {
    const url = `${location.pathname}${search}`;
    // Back closes a coin; a filter typed letter by letter adds no history entry.
    if (view.coin && !before.coin) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }
  drawToolbar(view);
  const changed = everything();
  changed.topics.add("view");
  schedule(changed);
}

/** @param {1 | -1} step */
function walk(step) {
  const symbols = [...document.querySelectorAll("#cards > li")].map((card) => card.getAttribute("data-symbol") ?? "");
  const at = symbols.indexOf(view.coin);
  const next = symbols[(at + step + symbols.length) % symbols.length];
  if (next) changeView({ coin: next });
}

byId("cards", HTMLUListElement).addEventListener("click", (event) => {
  if (!(event.target instanceof Element) || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (event.target.closest("button") || String(getSelection())) return;
  const symbol = event.target.closest("li")?.getAttribute("data-symbol");
  if (!symbol) return;
  event.preventDefault();
  changeView({ coin: symbol });
});
addEventListener("popstate", () => changeView(viewOf(location.search)));

bindSetting(byId("theme", HTMLSelectElement), "theme");
bindSetting(byId("palette", HTMLSelectElement), "palette");
bindSetting(byId("zone", HTMLSelectElement), "zone");
onSettings(() => {
  schedule(everything());
  repaintChart();
});
bindToolbar(() => view, changeView);
bindDetail(changeView, walk);
drawToolbar(view);
drawAround();

const feed = new Feed({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
  onMessage: receive,
  onState: (next) => {
    feedState = next;
    drawAround();
  },
});
feed.start();
addEventListener("online", () => feed.hurry());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) feed.hurry();
});

/** Update ages and countdowns every second. */
setInterval(() => {
  if (document.hidden) return;
  tickCards();
  if (state !== null) for (const [panel, ...topics] of PANELS) if (!topics.includes("signalHistory")) panel(state);
  drawAround();
  refreshTooltip();
}, 1000);

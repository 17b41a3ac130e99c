/** When coins became candidate or strong, and when they ceased to be. */

/** @import {State} from "../store.js" */

import { byId } from "../dom.js";
import { price, time } from "../format.js";
import { zone } from "../settings.js";
import { makeTable } from "../table.js";

const table = makeTable(byId("history", HTMLElement), "Signal history", [
  { name: "Close" }, { name: "Coin" }, { name: "Side" }, { name: "Event" },
  { name: "Base + bonus", numeric: true }, { name: "Price", numeric: true },
]);
const GLYPHS = /** @type {Record<string, string>} */ ({ long: "▲ ", short: "▼ " });
const SHOWN = 50;

/** @param {State} state */
export function drawHistory({ data, coins }) {
  const rows = data.signalHistory.slice(0, SHOWN).map((entry) => [
    time(entry.atMs, zone(), "moment"), entry.symbol,
    { text: `${GLYPHS[entry.side] ?? ""}${entry.side}`, tone: entry.side === "long" ? "up" : entry.side === "short" ? "down" : "none" },
    `${entry.event} ${entry.label}`,
    entry.bonus === null ? `${entry.base} + ?` : `${entry.base} + ${entry.bonus} = ${entry.base + entry.bonus}`,
    price(entry.close, coins.get(entry.symbol)?.tick),
  ]);
  table.draw(rows, "No coin has entered candidate or strong yet.");
}

/** Events of the trader. */

/** @import {State} from "../store.js" */

import { nowMs } from "../clock.js";
import { traderView } from "../trading.js";
import { byId, show } from "../dom.js";
import { fixed, price, signed, time } from "../format.js";
import { zone } from "../settings.js";
import { makeTable } from "../table.js";
import { toneOf } from "../tone.js";

const section = byId("events", HTMLElement);
const table = makeTable(section, "Trade events", [
  { name: "Time" }, { name: "Event" }, { name: "Coin" }, { name: "What", wide: true },
  { name: "Price", numeric: true }, { name: "Fee", numeric: true }, { name: "PnL", numeric: true },
]);

/** @param {State} state */
export function drawEvents({ data, coins }) {
  show(section, data.traderKind !== "none");
  const rows = data.tradeEvents.map((event) => [
    time(event.at_ms, zone(), "instant"), event.kind, event.symbol ?? "", event.text,
    event.price === null ? "" : price(event.price, coins.get(event.symbol ?? "")?.tick),
    event.fee_quote === null ? "" : fixed(event.fee_quote, 2),
    event.pnl_quote === null ? "" : { text: signed(event.pnl_quote, 2), tone: toneOf(event.pnl_quote) },
  ]);
  table.draw(rows, traderView(data, nowMs()).kind === "absent" ? "No trader running, so no trade events." : "Nothing has happened yet.");
}

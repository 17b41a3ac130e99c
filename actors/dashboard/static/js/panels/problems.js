/** All current problems. */

/** @import {State} from "../store.js" */

import { byId } from "../dom.js";
import { zone } from "../settings.js";
import { makeTable } from "../table.js";
import { troubles } from "../trouble.js";

const table = makeTable(byId("problems", HTMLElement), "Problems", [
  { name: "Where" }, { name: "How bad" }, { name: "What", wide: true },
]);

/** @param {State} state */
export function drawProblems(state) {
  const rows = troubles(state, zone()).map(({ what, severity, text }) => [
    what, { text: severity === "bad" ? "✕ serious" : "▲ warning", tone: severity }, text,
  ]);
  table.draw(rows, "Nothing is wrong.");
}

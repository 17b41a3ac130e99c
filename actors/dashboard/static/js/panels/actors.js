/** The processes: states, and the last death with its cause. */

/** @import {ActorRow} from "../contract.js" */
/** @import {State} from "../store.js" */

import { nowMs } from "../clock.js";
import { byId, el, setText } from "../dom.js";
import { NOTHING, age, time } from "../format.js";
import { zone } from "../settings.js";
import { makeTable } from "../table.js";

const LOOKS = /** @type {Record<string, {glyph: string, tone: string}>} */ ({
  ready: { glyph: "●", tone: "good" },
  starting: { glyph: "◐", tone: "warn" },
  stopping: { glyph: "◐", tone: "warn" },
  stalled: { glyph: "▲", tone: "warn" },
  backoff: { glyph: "↻", tone: "warn" },
  quarantined: { glyph: "✕", tone: "bad" },
  stopped: { glyph: "○", tone: "none" },
});

const section = byId("actors", HTMLElement);
const newest = section.appendChild(el("p", { class: "newest" }));
const table = makeTable(section, "Actors", [
  { name: "Actor" }, { name: "State" }, { name: "For", numeric: true }, { name: "Restarts", numeric: true },
  { name: "Beat", numeric: true }, { name: "Last death", wide: true }, { name: "Doing", wide: true },
]);

/** @param {State} state */
export function drawActors({ data }) {
  table.draw(data.actors.map(row), "No actor is known yet.");
  setText(newest, newestDeath(data.actors));
}

/** @param {ActorRow[]} actors */
function newestDeath(actors) {
  const dead = actors.filter(({ lastDeath }) => lastDeath !== null);
  const last = dead.sort((a, b) => (b.lastDeath?.atMs ?? 0) - (a.lastDeath?.atMs ?? 0))[0];
  if (last === undefined || last.lastDeath === null) return actors.length ? "No actor has died." : "";
  const { atMs, cause, lastWords } = last.lastDeath;
  return `Last death: ${last.name}, ${age(nowMs() - atMs)} ago, ${cause}${lastWords ? ` – “${lastWords}”` : ""}`;
}

/** @param {ActorRow} actor */
function row(actor) {
  const { glyph, tone } = LOOKS[actor.state] ?? { glyph: "?", tone: "none" };
  const retry = actor.backoffUntilMs === null ? "" : `, next try ${time(actor.backoffUntilMs, zone(), "second")}`;
  const death = actor.lastDeath;
  return [
    actor.name,
    { text: `${glyph} ${actor.state}${actor.state === "backoff" || actor.state === "quarantined" ? retry : ""}`, tone },
    age(nowMs() - actor.sinceMs), String(actor.restarts),
    actor.beatAtMs === null ? NOTHING : age(nowMs() - actor.beatAtMs),
    death === null ? "none" : { text: `${time(death.atMs, zone(), "second")} ${death.cause}`, title: death.lastWords },
    actor.reason || actor.doing,
  ];
}

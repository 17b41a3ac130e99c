/** Theme, palette and time zone: chosen by the person, kept in this browser. */

/** @import {Zone} from "./format.js" */

/** @typedef {{theme: "auto" | "dark" | "light", palette: "standard" | "okabe-ito", zone: Zone}} Settings */

/** @type {{[K in keyof Settings]: readonly Settings[K][]}} */
const CHOICES = {
  theme: ["auto", "dark", "light"],
  palette: ["standard", "okabe-ito"],
  zone: ["utc", "local"],
};

/**
 * @template {keyof Settings} K
 * @param {K} name
 * @returns {Settings[K]}
 */
function stored(name) {
  /** @type {string | null} */
  let found = null;
  try {
    found = localStorage.getItem(name);
  } catch {
    // storage is switched off: the choice then lasts as long as the page
  }
  const choices = CHOICES[name];
  return choices.find((choice) => choice === found) ?? /** @type {Settings[K]} */ (choices[0]);
}

/** @type {Settings} */
const settings = { theme: stored("theme"), palette: stored("palette"), zone: stored("zone") };
/** @type {Set<() => void>} */
const listeners = new Set();

/** Return the zone times are shown in. */
export function zone() {
  return settings.zone;
}

/** @param {() => void} listener Called after a choice. */
export function onSettings(listener) {
  listeners.add(listener);
}

function dress() {
  const root = document.documentElement;
  root.dataset["theme"] = settings.theme;
  root.dataset["palette"] = settings.palette;
}

/**
 * Let a `<select>` choose one setting.
 * @template {keyof Settings} K
 * @param {HTMLSelectElement} select
 * @param {K} name
 */
export function bindSetting(select, name) {
  select.value = settings[name];
  select.addEventListener("change", () => {
    settings[name] = CHOICES[name].find((each) => each === select.value) ?? settings[name];
    try {
      localStorage.setItem(name, settings[name]);
    } catch {
      // as above
    }
    dress();
    for (const listener of listeners) listener();
  });
}

dress();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const listener of listeners) listener();
});

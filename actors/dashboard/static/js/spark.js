/** The sparkline of a day's closes. */

import { setAttribute, svg } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 32;
const MARGIN = 2;

/**
 * Return the path of a line through these values, over the whole box.
 * @param {number[]} values
 */
export function sparkPath(values) {
  if (values.length < 2) return "";
  const low = Math.min(...values);
  const range = Math.max(...values) - low;
  const step = WIDTH / (values.length - 1);
  const room = HEIGHT - 2 * MARGIN;
  const points = values.map((value, i) => {
    const y = range === 0 ? HEIGHT / 2 : MARGIN + room * (1 - (value - low) / range);
    return `${(i * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}

/** Make an empty sparkline; its meaning is beside it in words. */
export function makeSpark() {
  const line = svg("path", { d: "" });
  const picture = svg("svg", {
    class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true",
  }, line);
  return {
    picture,
    /** @param {number[]} values */
    draw(values) {
      const rise = values.length > 1 ? Number(values.at(-1)) - Number(values[0]) : 0;
      setAttribute(line, "d", sparkPath(values));
      setAttribute(picture, "data-tone", rise > 0 ? "up" : rise < 0 ? "down" : "none");
    },
  };
}

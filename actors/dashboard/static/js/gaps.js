/** Marks where candles are missing: a band on the panes, a label on the time axis. */

/** @import {Gap, Series} from "./contract.js" */
/** @import {IChartApi, ISeriesPrimitive, SeriesAttachedParameter, Time} from "lightweight-charts" */

import { chartTime, gapLabel } from "./series.js";

const BAND_PX = 4;
const DASH_PX = 3;
/** Of a label on the axis, about. */
const CHARACTER_PX = 7;
const PADDING_PX = 18;

/** @typedef {{line: string, text: string, back: string}} GapColours */

/** @implements {ISeriesPrimitive<Time>} */
export class Gaps {
  /**
   * @param {Series} series
   * @param {Gap[]} gaps
   * @param {GapColours} colours
   * @param {boolean} isLabelled Whether the time axis says what it is; one series of a chart does.
   */
  constructor(series, gaps, colours, isLabelled) {
    this.colours = colours;
    /** @type {IChartApi | null} */
    this.chart = null;
    this.places = gaps.map((gap) => ({ text: gapLabel(series, gap), ...around(series, gap) }));
    this.views = [{ renderer: () => ({ draw: this.draw.bind(this) }) }];
    this.labels = isLabelled ? this.places.map((place, i) => this.label(place, this.places.slice(i + 1))) : [];
  }

  /** @param {SeriesAttachedParameter<Time>} to */
  attached({ chart }) {
    this.chart = /** @type {IChartApi} */ (chart);
  }

  detached() {
    this.chart = null;
  }

  paneViews() {
    return this.views;
  }

  timeAxisViews() {
    return this.labels;
  }

  /**
   * @param {Place} place
   * @param {Place[]} newer They have the axis where both do not fit.
   */
  label(place, newer) {
    return {
      coordinate: () => this.x(place) ?? -1000,
      text: () => place.text,
      textColor: () => this.colours.text,
      backColor: () => this.colours.back,
      visible: () => {
        const end = this.extent(place)?.[1];
        return end !== undefined && newer.every((other) => end < (this.extent(other)?.[0] ?? Infinity));
      },
    };
  }

  /**
   * Return from where to where a label reaches, which the library keeps inside the axis; null out of sight.
   * @param {Place} place
   * @returns {[start: number, end: number] | null}
   */
  extent(place) {
    const x = this.x(place);
    if (x === null) return null;
    const width = place.text.length * CHARACTER_PX + PADDING_PX;
    const start = Math.max(0, Math.min(x - width / 2, (this.chart?.timeScale().width() ?? 0) - width));
    return [start, start + width];
  }

  /**
   * Return the middle between the bars around a gap; null where one is out of sight.
   * @param {Place} place
   */
  x({ before, after }) {
    const scale = this.chart?.timeScale();
    if (scale === undefined) return null;
    const left = before === null ? null : scale.timeToCoordinate(chartTime(before));
    if (left === null) return null;
    const right = after === null ? left + scale.options().barSpacing : scale.timeToCoordinate(chartTime(after));
    return right === null || right < 0 || left > scale.width() ? null : (left + right) / 2;
  }

  /** @param {{useBitmapCoordinateSpace: (draw: (scope: {context: CanvasRenderingContext2D, bitmapSize: {height: number}, horizontalPixelRatio: number, verticalPixelRatio: number}) => void) => void}} target */
  draw(target) {
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: h, verticalPixelRatio: v }) => {
      for (const place of this.places) {
        const x = this.x(place);
        if (x === null) continue;
        context.strokeStyle = this.colours.line;
        context.lineWidth = Math.max(1, Math.round(h));
        context.setLineDash([DASH_PX * v, DASH_PX * v]);
        for (const side of [-BAND_PX / 2, BAND_PX / 2]) {
          context.beginPath();
          context.moveTo((x + side) * h, 0);
          context.lineTo((x + side) * h, bitmapSize.height);
          context.stroke();
        }
        context.setLineDash([]);
      }
    });
  }
}

/** @typedef {{text: string, before: number | null, after: number | null}} Place */

/**
 * Return the open times of the candles on both sides of a gap.
 * @param {Series} series
 * @param {Gap} gap
 */
function around({ candles }, { fromMs, untilMs }) {
  const before = candles.findLast(([openMs]) => openMs < fromMs)?.[0] ?? null;
  return { before, after: untilMs };
}

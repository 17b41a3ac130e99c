/** Straight lines between two points of a chart: a divergence between its pivots. */

/** @import {IChartApi, ISeriesApi, ISeriesPrimitive, SeriesAttachedParameter, Time} from "lightweight-charts" */

/**
 * @typedef {object} Segment
 * @property {Time} fromTime
 * @property {number} fromValue
 * @property {Time} toTime
 * @property {number} toValue
 * @property {string} colour
 * @property {boolean} solid Else dashed.
 */

const DASH_PX = 4;
const WIDTH_PX = 2;
const DOT_PX = 3;

/** @implements {ISeriesPrimitive<Time>} */
export class Segments {
  /** @param {Segment[]} segments */
  constructor(segments) {
    this.segments = segments;
    /** @type {IChartApi | null} */
    this.chart = null;
    /** @type {ISeriesApi<any> | null} */
    this.series = null;
    this.views = [{ renderer: () => ({ draw: this.draw.bind(this) }) }];
  }

  /** @param {SeriesAttachedParameter<Time>} to */
  attached({ chart, series }) {
    this.chart = /** @type {IChartApi} */ (chart);
    this.series = series;
  }

  detached() {
    this.chart = null;
    this.series = null;
  }

  paneViews() {
    return this.views;
  }

  /** @param {{useBitmapCoordinateSpace: (draw: (scope: {context: CanvasRenderingContext2D, horizontalPixelRatio: number, verticalPixelRatio: number}) => void) => void}} target */
  draw(target) {
    const { chart, series } = this;
    if (chart === null || series === null) return;
    target.useBitmapCoordinateSpace(({ context, horizontalPixelRatio: h, verticalPixelRatio: v }) => {
      for (const { fromTime, fromValue, toTime, toValue, colour, solid } of this.segments) {
        const x1 = chart.timeScale().timeToCoordinate(fromTime);
        const x2 = chart.timeScale().timeToCoordinate(toTime);
        const y1 = series.priceToCoordinate(fromValue);
        const y2 = series.priceToCoordinate(toValue);
        if (x1 === null || x2 === null || y1 === null || y2 === null) continue;
        context.beginPath();
        context.strokeStyle = colour;
        context.fillStyle = colour;
        context.lineWidth = WIDTH_PX * h;
        context.setLineDash(solid ? [] : [DASH_PX * h, DASH_PX * h]);
        context.moveTo(x1 * h, y1 * v);
        context.lineTo(x2 * h, y2 * v);
        context.stroke();
        context.setLineDash([]);
        for (const [x, y] of /** @type {[number, number][]} */ ([[x1, y1], [x2, y2]])) {
          context.beginPath();
          context.arc(x * h, y * v, DOT_PX * h, 0, 2 * Math.PI);
          context.fill();
        }
      }
    });
  }
}

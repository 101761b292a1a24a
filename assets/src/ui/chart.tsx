/** A line over time, in the colours of the theme. The library is fetched when the first one is shown. */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { prefersDark, theme } from "./state";

export interface Series {
  label: string;
  /** Name of a CSS colour variable. */
  colour: string;
  values: (number | null)[];
  dashed?: boolean;
}

export interface ChartProps {
  title: string;
  /** Seconds since 1970. */
  times: number[];
  series: Series[];
  text: (value: number) => string;
  /** Steps of the axis are powers of two. */
  binary?: boolean;
  /** The axis goes so far up at least. */
  least?: number;
  /** What is measured, in a sentence. */
  hint?: string;
}

const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);

function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

export function Chart({ title, times, series, text, binary, least = 1e-3, hint }: ChartProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const data = [times, ...series.map((one) => one.values)] as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;
  const chosen = `${theme.value} ${prefersDark.value}`;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let over = false;
    let watch: ResizeObserver | undefined;
    void import("uplot").then(({ default: Plot }) => {
      if (over) return;
      // A canvas knows no variables: the browser says what colour one is here.
      const colour = (name: string) => {
        element.style.color = `var(--${name})`;
        const found = getComputedStyle(element).color;
        element.style.color = "";
        return found;
      };
      const axis: uPlot.Axis = {
        stroke: colour("muted"),
        grid: { stroke: colour("line"), width: 1 },
        ticks: { show: false },
        font: "11px system-ui, sans-serif",
      };
      const size = () => ({ width: Math.max(120, element.clientWidth), height: 150 });
      plot.current = new Plot(
        {
          ...size(),
          legend: { show: false },
          cursor: { show: false },
          scales: {
            // A minute at least, so that the first moments are not a whole width.
            x: { range: (_, from, to) => [Math.min(from, to - 60), to] },
            y: { range: (_, __, most) => [0, Math.max(most || 0, least) * 1.1] },
          },
          axes: [
            { ...axis, space: 80, size: 30, values: (_, ticks) => ticks.map(clock) },
            { ...axis, size: 62, ...(binary ? { incrs: BINARY } : {}), values: (_, ticks) => ticks.map((tick) => text(tick)) },
          ],
          series: [
            {},
            ...series.map((one) => ({
              label: one.label,
              stroke: colour(one.colour),
              width: one.dashed ? 1 : 2,
              spanGaps: false,
              points: { show: false },
              ...(one.dashed ? { dash: [4, 4] } : { fill: colour(one.colour).replace("rgb(", "rgba(").replace(")", ", 0.14)") }),
            })),
          ],
        },
        latest.current,
        element,
      );
      watch = new ResizeObserver(() => plot.current?.setSize(size()));
      watch.observe(element);
    });
    return () => {
      over = true;
      watch?.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
    // Drawn anew for another theme; new values go the short way below.
  }, [chosen, series.length]);

  useEffect(() => {
    plot.current?.setData(latest.current);
  }, [times.length, times.at(-1)]);

  const lines = series.filter((one) => !one.dashed);
  const last = (one: Series) => one.values.findLast((value) => value !== null);
  const shown = (value: number | null | undefined) => (value === undefined || value === null ? "–" : text(value));
  return (
    <figure class="chart">
      <figcaption>
        <strong title={hint}>{title}</strong>
        {lines.length === 1 ? (
          <span>{lines[0] && shown(last(lines[0]))}</span>
        ) : (
          <span class="keys">
            {lines.map((one) => (
              <span key={one.label}>
                <i class={one.colour} /> {one.label} {shown(last(one))}
              </span>
            ))}
          </span>
        )}
      </figcaption>
      <div ref={box} role="img" aria-label={`${title} over time`} />
    </figure>
  );
}

/** What executors of an agent use, measured while somebody looks, and kept from page to page. */

import type { JSX } from "preact";
import { History, type Measured, type Point } from "../model/usage";
import { bytes, count } from "../model/text";
import { json, ofAgent } from "../net/http";
import { Chart } from "./chart";
import { Card } from "./kit";
import { usePolled } from "./hooks";

/** Of the last agents that were looked at. */
const MOST = 8;
const histories = new Map<string, History>();

function historyOf(agent: string): History {
  const known = histories.get(agent) ?? new History();
  histories.delete(agent);
  histories.set(agent, known);
  const oldest = histories.keys().next().value;
  if (histories.size > MOST && oldest !== undefined) histories.delete(oldest);
  return known;
}

export function useUsage(agent: string | undefined): { history: History | undefined; fault: string | undefined } {
  const polled = usePolled(
    agent === undefined ? undefined : `usage ${agent}`,
    async (signal) => {
      const history = historyOf(agent ?? "");
      history.add(await json<Measured[]>(ofAgent(agent ?? "", "monitor/statistics"), signal));
      return history;
    },
    3000,
  );
  return { history: polled.value, fault: polled.fault };
}

export function UsageCharts({ points, title }: { points: Point[]; title: string }): JSX.Element {
  const times = points.map((point) => point.at);
  return (
    <Card title={title} class="grow">
      {points.length < 2 ? (
        <p class="none">Measuring…</p>
      ) : (
        <div class="charts">
          <Chart
            title="CPUs"
            times={times}
            text={count}
            series={[
              { label: "used", colour: "used", values: points.map((point) => point.cpus) },
              { label: "limit", colour: "muted", dashed: true, values: points.map((point) => point.cpusLimit || null) },
            ]}
          />
          <Chart
            title="Memory"
            times={times}
            text={bytes}
            binary
            series={[
              { label: "used", colour: "offered", values: points.map((point) => point.mem) },
              { label: "limit", colour: "muted", dashed: true, values: points.map((point) => point.memLimit || null) },
            ]}
          />
        </div>
      )}
    </Card>
  );
}

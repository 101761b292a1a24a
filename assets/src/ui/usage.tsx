/** What executors of an agent use, measured while somebody looks, and kept from page to page. */

import type { JSX } from "preact";
import { History, type Measured, type Point, type PressureAnswer, PressureHistory, type PressurePoint } from "../model/usage";
import { bytes, count } from "../model/text";
import { Fault, json, ofAgent } from "../net/http";
import { Chart } from "./chart";
import { Card } from "./kit";
import { usePolled } from "./hooks";

/** Of the last agents that were looked at. */
const MOST = 8;
interface Known {
  usage: History;
  pressure: PressureHistory;
  /** Agents of Apache Mesos do not tell it. */
  tellsPressure: boolean;
}

const histories = new Map<string, Known>();

function historyOf(agent: string): Known {
  const known = histories.get(agent) ?? { usage: new History(), pressure: new PressureHistory(), tellsPressure: true };
  histories.delete(agent);
  histories.set(agent, known);
  const oldest = histories.keys().next().value;
  if (histories.size > MOST && oldest !== undefined) histories.delete(oldest);
  return known;
}

async function readPressure(agent: string, signal: AbortSignal): Promise<PressureHistory> {
  const known = historyOf(agent);
  if (known.tellsPressure) {
    try {
      known.pressure.add(Date.now() / 1000, await json<PressureAnswer>(ofAgent(agent, "monitor/pressure"), signal));
    } catch (error) {
      if (error instanceof Fault && error.status === 404) known.tellsPressure = false;
      else throw error;
    }
  }
  return known.pressure;
}

/** How long somebody waits on an agent; nothing if the agent does not tell. */
export function usePressure(agent: string | undefined): PressureHistory | undefined {
  return usePolled(agent === undefined ? undefined : `pressure ${agent}`, (signal) => readPressure(agent ?? "", signal), 3000).value;
}

export function useUsage(agent: string | undefined): { history: History | undefined; fault: string | undefined } {
  const polled = usePolled(
    agent === undefined ? undefined : `usage ${agent}`,
    async (signal) => {
      const history = historyOf(agent ?? "").usage;
      history.add(await json<Measured[]>(ofAgent(agent ?? "", "monitor/statistics"), signal));
      return history;
    },
    3000,
  );
  return { history: polled.value, fault: polled.fault };
}

const percent = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)}%`;

export function UsageCharts({ points, title, pressure = [] }: { points: Point[]; title: string; pressure?: PressurePoint[] | undefined }): JSX.Element {
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
          {pressure.length > 1 && (
            <Chart
              title="Pressure"
              hint="How much of the last 10 seconds somebody waited for it"
              times={pressure.map((point) => point.at)}
              text={percent}
              least={1}
              series={[
                { label: "CPU", colour: "used", values: pressure.map((point) => point.cpu) },
                { label: "memory", colour: "offered", values: pressure.map((point) => point.memory) },
                { label: "I/O", colour: "warn", values: pressure.map((point) => point.io) },
              ]}
            />
          )}
        </div>
      )}
    </Card>
  );
}

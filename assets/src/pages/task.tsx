import type { JSX } from "preact";
import { link } from "../model/route";
import { count, duration, megabytes } from "../model/text";
import { keyOf } from "../model/usage";
import { json, post } from "../net/http";
import { Act } from "../ui/act";
import { Card, Facts, FaultNote, Health, Id, Page, StateChip, Time } from "../ui/kit";
import { useCluster, usePolled } from "../ui/hooks";
import { AgentLink, FrameworkLink, sandboxLink } from "../ui/tasks";
import { UsageCharts, usePressure, useUsage } from "../ui/usage";

interface Pair {
  key: string;
  value?: string;
}

/** Of the operator API; what this page shows. */
interface Status {
  state: string;
  timestamp?: number;
  reason?: string;
  source?: string;
  message?: string;
  healthy?: boolean;
  container_status?: {
    container_id?: { value: string };
    executor_pid?: number;
    network_infos?: { ip_addresses?: { ip_address?: string }[] }[];
  };
}

interface Full {
  task_id: { value: string };
  state: string;
  statuses?: Status[];
  user?: string;
  labels?: { labels?: Pair[] };
  limits?: Record<string, { value: number | string }>;
  discovery?: { name?: string; visibility?: string; ports?: { ports?: { number: number; name?: string; protocol?: string }[] } };
  container?: { type?: string; mesos?: { image?: { docker?: { name?: string } } }; docker?: { image?: string } };
  health_check?: { type?: string; http?: { port?: number; path?: string }; tcp?: { port?: number }; command?: { value?: string } };
  resources?: { name: string; type: string; ranges?: { range?: { begin: number; end: number }[] } }[];
}

interface Answer {
  get_tasks: { tasks?: Full[]; unreachable_tasks?: Full[]; completed_tasks?: Full[] };
}

const TERMINAL = new Set(["FINISHED", "FAILED", "KILLED", "LOST", "ERROR", "DROPPED", "GONE", "GONE_BY_OPERATOR"]);

export function TaskPage({ framework, task: id }: { framework: string; task: string }): JSX.Element {
  const cluster = useCluster();
  const found = cluster.tasksOf(framework).find(id);
  // What changed of it says when to ask anew.
  const key = found ? `task ${framework} ${id} ${found.state} ${found.updated}` : `task ${framework} ${id}`;
  const query = new URLSearchParams({ framework_id: framework, task_id: id });
  const polled = usePolled(key, (signal) => json<Answer>(`master/overview/task?${query}`, signal), 30_000);
  const lists = polled.value?.get_tasks;
  const full = lists?.tasks?.[0] ?? lists?.unreachable_tasks?.[0] ?? lists?.completed_tasks?.at(-1);
  const runs = !!found && !TERMINAL.has(found.state);
  const measured = runs && cluster.agents.has(found.agent) ? found.agent : undefined;
  const { history } = useUsage(measured);
  const pressures = usePressure(measured);
  const name = cluster.framework(framework)?.name || framework;
  const crumbs = [
    { kind: "Master", href: link("home") },
    { kind: "Framework", text: name, href: link("framework", { framework }) },
    { kind: "Task", text: id, id },
  ];
  if (!found) {
    return (
      <Page title="Task" crumbs={crumbs}>
        <FaultNote title="No task has this id">
          The framework {name} has no task <code>{id}</code>, or it is forgotten: of those that ended, the latest are remembered (
          <code class="flag">--max_completed_tasks_per_framework</code>).
        </FaultNote>
      </Page>
    );
  }
  const executor = found.executor || found.id;
  const whose = keyOf({ framework_id: framework, executor_id: executor });
  const points = history?.points.get(whose) ?? [];
  const statuses = full?.statuses ?? [];
  const last = statuses.at(-1);
  const container = statuses.findLast((status) => status.container_status)?.container_status;
  const addresses = container?.network_infos?.flatMap((info) => info.ip_addresses ?? []).map((one) => one.ip_address) ?? [];
  const ports = full?.resources?.find((one) => one.name === "ports")?.ranges?.range ?? [];
  const labels = full?.labels?.labels ?? [];
  const limit = (kind: string) => full?.limits?.[kind]?.value;
  const image = full?.container?.docker?.image ?? full?.container?.mesos?.image?.docker?.name;
  return (
    <Page
      title={`Task ${id}`}
      crumbs={crumbs}
      actions={
        <>
          {cluster.agents.has(found.agent) && (
            <a class="button" href={sandboxLink(found)}>
              Sandbox
            </a>
          )}
          {runs && (
            <Act
              label="Kill"
              title={`Kill ${id}?`}
              text="The task is told to end, and killed if it does not within its grace period. Its framework is told."
              confirm="Kill the task"
              act={() => post("master/kill", { frameworkId: framework, taskId: id })}
              done={`${id} is being killed`}
            />
          )}
        </>
      }
    >
      {polled.fault && <FaultNote title="The task's history could not be read">{polled.fault}</FaultNote>}
      {last?.message && found.state !== "RUNNING" && found.state !== "FINISHED" && (
        <div class={`note ${TERMINAL.has(found.state) ? "bad" : ""}`}>
          <StateChip state={found.state} /> {last.message}
        </div>
      )}
      <div class="cards">
        <Card title={found.name || id} class="facts-card">
          <Facts
            facts={[
              ["Task ID", <Id key="id" id={id} text={id} what="task id" />],
              ["State", <StateChip key="state" state={found.state} />],
              ["Health", found.healthy === null ? undefined : <Health healthy={found.healthy} />],
              ["Framework", <FrameworkLink key="framework" cluster={cluster} framework={framework} />],
              ["Agent", <AgentLink key="agent" cluster={cluster} agent={found.agent} />],
              [
                "Executor",
                <Id key="executor" id={executor} text={executor} what="executor id" href={cluster.agents.has(found.agent) ? link("executor", { agent: found.agent, framework, executor }) : undefined} />,
              ],
              ["Role", found.role],
              ["User", full?.user],
              ["Started", <Time key="started" at={found.started} />],
              ["Last update", <Time key="updated" at={found.updated} />],
              ["Container", container?.container_id ? <Id id={container.container_id.value} what="container id" /> : undefined],
              ["Image", image],
              ["Addresses", addresses.length ? addresses.join(", ") : undefined],
            ]}
          />
        </Card>
        <Card title="Resources">
          <Facts
            facts={[
              ["CPUs", `${count(found.cpus)}${limit("cpus") !== undefined ? ` (limit ${limit("cpus")})` : ""}`],
              ["GPUs", found.gpus ? count(found.gpus) : undefined],
              ["Memory", `${megabytes(found.mem)}${limit("mem") !== undefined ? ` (limit ${limit("mem")} MB)` : ""}`],
              ["Disk", megabytes(found.disk)],
              ["Ports", ports.length ? ports.map((range) => (range.begin === range.end ? `${range.begin}` : `${range.begin}–${range.end}`)).join(", ") : undefined],
              ["Discovery", full?.discovery?.name],
              ["Health check", full?.health_check?.type],
            ]}
          />
          {labels.length > 0 && (
            <>
              <h3>Labels</h3>
              <Facts facts={labels.map((label) => [label.key, label.value ?? ""])} />
            </>
          )}
        </Card>
        {runs && <UsageCharts title="Usage of its executor" points={points} pressure={pressures?.of(whose)} />}
      </div>
      <section class="table" aria-label="History">
        <header>
          <h2>History</h2>
        </header>
        {statuses.length === 0 ? (
          <p class="none">{polled.value ? "Nothing was told of it yet." : "…"}</p>
        ) : (
          <ol class="history">
            {statuses.map((status, at) => {
              const before = statuses[at - 1]?.timestamp;
              const passed = before !== undefined && status.timestamp !== undefined ? status.timestamp - before : undefined;
              return (
                <li key={at}>
                  <StateChip state={status.state} />
                  <span class="when">
                    <Time at={status.timestamp} /> {passed !== undefined && passed >= 0 && <span class="dim">after {duration(passed)}</span>}
                  </span>
                  <span class="what">
                    {status.message && <span>{status.message}</span>}
                    {status.healthy !== undefined && <Health healthy={status.healthy} />}
                    <span class="dim">
                      {[status.source?.replace(/^SOURCE_/, ""), status.reason?.replace(/^REASON_/, "")].filter(Boolean).join(" · ").toLowerCase().replaceAll("_", " ")}
                    </span>
                  </span>
                </li>
              );
            })}
          </ol>
        )}
      </section>
    </Page>
  );
}

import type { JSX } from "preact";
import { link } from "../model/route";
import { amount, count } from "../model/text";
import { keyOf } from "../model/usage";
import { type AgentTask, type Executor, executorOf, fill } from "../net/agent";
import { Card, Facts, FaultNote, Health, Id, StateChip } from "../ui/kit";
import { useCluster } from "../ui/hooks";
import { type Column, Table } from "../ui/table";
import { UsageCharts, usePressure, useUsage } from "../ui/usage";
import { WithAgent } from "./agent";

export function ExecutorPage({ agent, framework, executor }: { agent: string; framework: string; executor: string }): JSX.Element {
  const cluster = useCluster();
  const crumbs = [
    { kind: "Framework", text: cluster.framework(framework)?.name || framework, href: link("agentFramework", { agent, framework }) },
    { kind: "Executor", text: executor, id: executor },
  ];
  return (
    <WithAgent agent={agent} crumbs={crumbs} title={`Executor ${executor}`}>
      {(_, state) => {
        const found = executorOf(state, framework, executor);
        return found ? (
          <Inside agent={agent} framework={framework} found={found} />
        ) : (
          <FaultNote title="The agent does not know this executor">
            <code>{executor}</code> never ran here, or it is forgotten.
          </FaultNote>
        );
      }}
    </WithAgent>
  );
}

function Inside({ agent, framework, found }: { agent: string; framework: string; found: Executor }): JSX.Element {
  const { history } = useUsage(agent);
  const key = keyOf({ framework_id: framework, executor_id: found.id });
  const points = history?.points.get(key) ?? [];
  const pressure = usePressure(agent)?.of(key);
  const params = { agent, framework, executor: found.id };
  const held = fill(found.resources);
  const columns = (kind: "queued" | "active" | "completed"): Column<AgentTask>[] => {
    const limit = (name: "cpus" | "mem", unit: string) => (task: AgentTask) => (task.limits?.[name] === undefined ? "" : `${task.limits[name]}${unit}`);
    const all: (Column<AgentTask> | false)[] = [
      { key: "id", label: "ID", wide: true, value: (one) => one.id, cell: (one) => <Id id={one.id} text={one.id} what="task id" href={link("task", { framework, task: one.id })} /> },
      { key: "name", label: "Name", value: (one) => one.name, cell: (one) => <span class="clip">{one.name}</span> },
      { key: "role", label: "Role", value: (one) => one.role ?? "" },
      kind !== "queued" && { key: "state", label: "State", value: (one) => one.state ?? "", cell: (one) => <StateChip state={one.state ?? ""} /> },
      kind === "active" && { key: "health", label: "Health", optional: true, value: (one) => String(one.statuses?.at(-1)?.healthy ?? ""), cell: (one) => <Health healthy={one.statuses?.at(-1)?.healthy} /> },
      { key: "cpus", label: "CPUs", numeric: true, value: (one) => fill(one.resources).cpus },
      { key: "cpus-limit", label: "CPU limit", numeric: true, optional: true, value: limit("cpus", "") },
      { key: "mem", label: "Mem", numeric: true, value: (one) => fill(one.resources).mem, cell: (one) => amount("mem", fill(one.resources).mem) },
      { key: "mem-limit", label: "Mem limit", numeric: true, optional: true, value: limit("mem", " MB") },
      { key: "disk", label: "Disk", numeric: true, value: (one) => fill(one.resources).disk, cell: (one) => amount("disk", fill(one.resources).disk) },
      kind !== "queued" && { key: "sandbox", label: "", value: () => "", cell: (one) => <a href={link("taskBrowse", { ...params, task: one.id })} aria-label={`Sandbox of ${one.id}`}>Sandbox</a> },
    ];
    return all.filter((column): column is Column<AgentTask> => column !== false);
  };
  return (
    <>
      <div class="cards">
        <Card title={found.name || found.id} class="facts-card">
          <Facts
            facts={[
              ["Executor ID", <Id key="id" id={found.id} text={found.id} what="executor id" />],
              ["Source", found.source || undefined],
              ["Role", found.role],
              ["Type", found.type],
              ["Container", <Id key="container" id={found.container} what="container id" />],
              ["Active tasks", count(found.tasks.length)],
              ["CPUs", amount("cpus", held.cpus)],
              ["GPUs", held.gpus ? amount("gpus", held.gpus) : undefined],
              ["Memory", amount("mem", held.mem)],
              ["Disk", amount("disk", held.disk)],
              [
                "Sandbox",
                <a key="sandbox" href={link("executorBrowse", params)}>
                  Browse
                </a>,
              ],
            ]}
          />
        </Card>
        <UsageCharts title="Usage" points={points} pressure={pressure} />
      </div>
      {found.queued_tasks.length > 0 && <Table name="queued" title="Queued Tasks" rows={found.queued_tasks} id={(one) => one.id} columns={columns("queued")} sort="id" none="No queued tasks." />}
      <Table name="active" title="Tasks" rows={found.tasks} id={(one) => one.id} columns={columns("active")} sort="id" none="No tasks." />
      <Table name="completed" title="Completed Tasks" rows={found.completed_tasks} id={(one) => one.id} columns={columns("completed")} sort="id" none="No completed tasks." />
    </>
  );
}

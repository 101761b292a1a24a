/** Columns of tasks, which many pages have. */

import type { JSX } from "preact";
import { link } from "../model/route";
import { amount } from "../model/text";
import type { Cluster } from "../model/cluster";
import type { Task } from "../model/wire";
import { Health, Id, StateChip, Time } from "./kit";
import type { Column } from "./table";

export function sandboxLink(task: Task): string {
  const params = { agent: task.agent, framework: task.framework, executor: task.executor || task.id, task: task.id };
  return link(task.executor ? "taskBrowse" : "executorBrowse", params);
}

export function taskColumns(cluster: Cluster, kind: "active" | "unreachable" | "completed", rows: Task[], withFramework: boolean): Column<Task>[] {
  // What says nothing in any row takes no room.
  const named = rows.some((task) => task.name !== task.id);
  const hostOf = (task: Task) => cluster.agents.get(task.agent)?.hostname ?? "";
  const columns: (Column<Task> | false)[] = [
    {
      key: "id",
      label: "Task ID",
      wide: true,
      value: (task) => task.id,
      cell: (task) => <Id id={task.id} what="task id" href={link("task", { framework: task.framework, task: task.id })} text={task.id} />,
    },
    named && { key: "name", label: "Name", value: (task) => task.name, cell: (task) => <span class="clip">{task.name}</span> },
    withFramework && {
      key: "framework",
      label: "Framework",
      value: (task) => cluster.framework(task.framework)?.name ?? task.framework,
      text: (task) => `${cluster.framework(task.framework)?.name ?? ""} ${task.framework}`,
      cell: (task) => (
        <Id
          id={task.framework}
          what="framework id"
          href={link("framework", { framework: task.framework })}
          text={cluster.framework(task.framework)?.name || task.framework}
        />
      ),
    },
    { key: "role", label: "Role", value: (task) => task.role },
    kind !== "unreachable" && { key: "state", label: "State", value: (task) => task.state, cell: (task) => <StateChip state={task.state} /> },
    kind === "active" && {
      key: "health",
      label: "Health",
      optional: true,
      value: (task) => (task.healthy === null ? "" : task.healthy ? "Healthy" : "Unhealthy"),
      cell: (task) => <Health healthy={task.healthy} />,
    },
    { key: "started", label: "Started", value: (task) => task.started, text: () => "", cell: (task) => <Time at={task.started} /> },
    kind !== "active" && {
      key: "updated",
      label: kind === "completed" ? "Stopped" : "Since",
      value: (task) => task.updated,
      text: () => "",
      cell: (task) => <Time at={task.updated} />,
    },
    kind === "active" && { key: "cpus", label: "CPUs", numeric: true, value: (task) => task.cpus, text: () => "", cell: (task) => amount("cpus", task.cpus) },
    kind === "active" && { key: "mem", label: "Mem", numeric: true, value: (task) => task.mem, text: () => "", cell: (task) => amount("mem", task.mem) },
    {
      key: "host",
      label: kind === "unreachable" ? "Agent" : "Host",
      value: (task) => hostOf(task) || task.agent,
      text: (task) => `${hostOf(task)} ${task.agent}`,
      cell: (task) => <AgentLink cluster={cluster} agent={task.agent} />,
    },
    kind !== "unreachable" && {
      key: "sandbox",
      label: "",
      value: () => "",
      cell: (task) =>
        cluster.agents.has(task.agent) ? (
          <a href={sandboxLink(task)} aria-label={`Sandbox of ${task.id}`}>
            Sandbox
          </a>
        ) : null,
    },
  ];
  return columns.filter((column): column is Column<Task> => column !== false);
}

export function taskKey(task: Task, at = 0): string {
  return `${task.framework}/${task.id}/${task.updated ?? 0}/${at}`;
}

export function AgentLink({ cluster, agent }: { cluster: Cluster; agent: string }): JSX.Element {
  const found = cluster.agents.get(agent);
  if (found) return <Id id={agent} what="agent id" href={link("agent", { agent })} text={found.hostname} />;
  return <Id id={agent} what="agent id" />;
}

export function FrameworkLink({ cluster, framework }: { cluster: Cluster; framework: string }): JSX.Element {
  const found = cluster.framework(framework);
  return <Id id={framework} what="framework id" href={found ? link("framework", { framework }) : undefined} text={found?.name || framework} />;
}

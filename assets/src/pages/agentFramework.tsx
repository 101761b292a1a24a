import type { JSX } from "preact";
import { link } from "../model/route";
import { KINDS, LABELS, add, amount, bytes, count } from "../model/text";
import { keyOf } from "../model/usage";
import { NOTHING } from "../model/wire";
import { type AgentFramework, type Executor, fill, frameworkOf, rolesOf } from "../net/agent";
import { Card, Facts, FaultNote, Id } from "../ui/kit";
import { useCluster } from "../ui/hooks";
import { type Column, Table } from "../ui/table";
import { useUsage } from "../ui/usage";
import { WithAgent } from "./agent";
import { Roles } from "./frameworks";

export function AgentFrameworkPage({ agent, framework }: { agent: string; framework: string }): JSX.Element {
  const cluster = useCluster();
  const name = cluster.framework(framework)?.name || framework;
  return (
    <WithAgent agent={agent} crumbs={[{ kind: "Framework", text: name, id: framework }]} title={`${name} on this agent`}>
      {(_, state) => {
        const found = frameworkOf(state, framework);
        return found ? (
          <Inside agent={agent} found={found} />
        ) : (
          <FaultNote title="The agent does not know this framework">
            <code>{framework}</code> has run nothing here, or it is forgotten.
          </FaultNote>
        );
      }}
    </WithAgent>
  );
}

function Inside({ agent, found }: { agent: string; found: AgentFramework }): JSX.Element {
  const { history } = useUsage(agent);
  const params = (executor: Executor) => ({ agent, framework: found.id, executor: executor.id });
  const sum = found.executors.reduce((all, executor) => add(all, fill(executor.resources)), NOTHING);
  const columns = (over: boolean): Column<Executor>[] => [
    { key: "id", label: "ID", wide: true, value: (one) => one.id, cell: (one) => <Id id={one.id} text={one.id} what="executor id" href={link("executor", params(one))} /> },
    { key: "name", label: "Name", value: (one) => one.name, cell: (one) => <span class="clip">{one.name}</span> },
    { key: "source", label: "Source", value: (one) => one.source, cell: (one) => <span class="clip">{one.source}</span> },
    { key: "role", label: "Role", value: (one) => one.role ?? "" },
    ...(over
      ? [{ key: "completed", label: "Completed Tasks", numeric: true, value: (one: Executor) => one.completed_tasks.length }]
      : [
          { key: "active", label: "Active Tasks", numeric: true, value: (one: Executor) => one.tasks.length },
          { key: "queued", label: "Queued Tasks", numeric: true, value: (one: Executor) => one.queued_tasks.length },
          ...KINDS.filter((kind) => kind !== "gpus" || sum.gpus > 0).map((kind) => ({
            key: kind,
            label: LABELS[kind],
            numeric: true,
            value: (one: Executor) => fill(one.resources)[kind],
            cell: (one: Executor) => {
              const point = history?.latest(keyOf({ framework_id: found.id, executor_id: one.id }));
              const used = kind === "cpus" ? point?.cpus : kind === "mem" ? point?.mem : undefined;
              return (
                <span title="Used / allocated">
                  {used === undefined || used === null ? "" : `${kind === "mem" ? bytes(used) : count(Math.round(used * 100) / 100)} / `}
                  {amount(kind, fill(one.resources)[kind])}
                </span>
              );
            },
          })),
        ]),
    { key: "sandbox", label: "", value: () => "", cell: (one) => <a href={link("executorBrowse", params(one))} aria-label={`Sandbox of ${one.id}`}>Sandbox</a> },
  ];
  return (
    <>
      <div class="cards">
        <Card title={found.name || "Framework"} class="facts-card">
          <Facts
            facts={[
              ["ID", <Id key="id" id={found.id} what="framework id" href={link("framework", { framework: found.id })} />],
              ["User", found.user],
              ["Roles", <Roles key="roles" roles={rolesOf(found)} />],
              ["Active tasks", count(found.executors.reduce((all, one) => all + one.tasks.length, 0))],
              ["CPUs", amount("cpus", sum.cpus)],
              ["Memory", amount("mem", sum.mem)],
              ["Disk", amount("disk", sum.disk)],
            ]}
          />
        </Card>
      </div>
      <Table name="executors" title="Executors" rows={found.executors} id={(one) => one.container} columns={columns(false)} sort="id" none="No executors." />
      <Table name="completed" title="Completed Executors" rows={found.completed_executors} id={(one) => one.container} columns={columns(true)} sort="id" none="No completed executors." />
    </>
  );
}


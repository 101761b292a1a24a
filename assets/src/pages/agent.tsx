import type { ComponentChildren, JSX } from "preact";
import { link } from "../model/route";
import { KINDS, LABELS, add, amount, bytes, count, sentence } from "../model/text";
import { type History, type Point, keyOf } from "../model/usage";
import { type Agent, type Amounts, NOTHING } from "../model/wire";
import { type AgentFramework, type AgentState, agentState, fill, rolesOf } from "../net/agent";
import { json, ofAgent } from "../net/http";
import { Card, Facts, FaultNote, Id, Meters, Numbers, Page, Time } from "../ui/kit";
import { useCluster, usePolled } from "../ui/hooks";
import { type Column, Table } from "../ui/table";
import { elsewhere, home } from "../ui/state";
import { UsageCharts, usePressure, useUsage } from "../ui/usage";
import { AgentChip } from "./agents";
import { Roles } from "./frameworks";

/** What the page of an agent, and those below it, begin with: the agent as the master and as it itself knows it. */
export function WithAgent({ agent, crumbs, title, children }: { agent: string; crumbs: { kind: string; text?: string; href?: string; id?: string }[]; title: string; children: (known: Agent, state: AgentState) => ComponentChildren }): JSX.Element {
  const cluster = useCluster();
  const known = cluster.agents.get(agent);
  const polled = usePolled(known ? `agent ${agent}` : undefined, (signal) => agentState(agent, signal), 5000);
  const all = [
    { kind: "Master", href: link("home") },
    { kind: "Agents", href: link("agents") },
    { kind: "Agent", text: known?.hostname ?? agent, href: link("agent", { agent }), ...(crumbs.length ? {} : { id: agent }) },
    ...crumbs,
  ];
  if (!known) {
    const why = cluster.unreachable.has(agent)
      ? "It is unreachable: it has not answered for a while, and may come back."
      : cluster.recovered.has(agent)
        ? "It was registered with the master before this one, and is awaited."
        : "It was never registered with this master, or is gone.";
    return (
      <Page title="Agent" crumbs={all}>
        <FaultNote title="No agent of this id is registered">
          The master knows no agent <code>{agent}</code>. {home.value ? <a href={link("home")}>This agent has another id.</a> : why}
        </FaultNote>
      </Page>
    );
  }
  const state = polled.value;
  return (
    <Page title={title || `Agent ${known.hostname}`} crumbs={all}>
      {polled.fault && (
        <FaultNote title="The agent could not be asked">
          {sentence(polled.fault)} {state ? "What is shown is the last it said." : ""}
        </FaultNote>
      )}
      {state ? children(known, state) : !polled.fault && <p class="none">Asking the agent…</p>}
    </Page>
  );
}

export function AgentPage({ agent }: { agent: string }): JSX.Element {
  return (
    <WithAgent agent={agent} crumbs={[]} title="">
      {(known, state) => <Inside known={known} state={state} />}
    </WithAgent>
  );
}

function Inside({ known, state }: { known: Agent; state: AgentState }): JSX.Element {
  const { history } = useUsage(known.id);
  const pressure = usePressure(known.id);
  const metrics = usePolled(`metrics ${known.id}`, (signal) => json<Record<string, number>>(ofAgent(known.id, "metrics/snapshot"), signal), 5000).value;
  const tasks = (name: string) => (metrics ? (metrics[`slave/tasks_${name}`] ?? 0) : undefined);
  const points: Point[] = history?.total ?? [];
  const now = points.at(-1);
  const leader = home.value?.leader;
  const logs = state.log_dir !== undefined || state.external_log_file !== undefined;
  return (
    <>
      <div class="cards">
        <Card title={known.hostname} class="facts-card">
          <Facts
            facts={[
              ["ID", <Id key="id" id={known.id} what="agent id" />],
              ["State", <AgentChip key="state" agent={known} />],
              ["Address", known.pid.replace(/^.*@/, "")],
              ["Version", state.version],
              [
                "Built",
                <span key="built">
                  <Time at={state.build_time} /> by <em>{state.build_user}</em>
                </span>,
              ],
              ["Started", <Time key="started" at={state.start_time} />],
              ["Registered", known.registered === null ? undefined : <Time at={known.registered} />],
              ["Re-registered", known.reregistered ? <Time at={known.reregistered} /> : undefined],
              ["Master", leader ? <a href={elsewhere(leader.authority, "#/")}>{leader.authority}</a> : state.master_hostname],
              ["Region, zone", known.region ? `${known.region}, ${known.zone}` : undefined],
              ["Attributes", Object.entries(known.attributes).map(([name, value]) => `${name}: ${value}`).join(", ") || undefined],
              [
                "Log",
                <span key="log" class="links">
                  <a href={link("agentFile", { agent: known.id }, { path: "/slave/log" })}>LOG</a>
                  {logs && <a href={ofAgent(known.id, "files/download", { path: "/slave/log" })}>Download</a>}
                </span>,
              ],
            ]}
          />
        </Card>
        <Card title="Resources" class="grow">
          <Meters total={known.total} rest="Available" parts={[{ name: "Allocated", tone: "used", held: known.used }]} />
          {now && (
            <p class="dim used-now">
              In use now: {now.cpus === null ? "…" : count(Math.round(now.cpus * 100) / 100)} CPUs, {bytes(now.mem)} of memory
            </p>
          )}
        </Card>
        <Card title="Tasks">
          <Numbers
            numbers={[
              ["Staging", tasks("staging"), "new"],
              ["Starting", tasks("starting"), "new"],
              ["Running", tasks("running"), "good"],
              ["Killing", tasks("killing"), "warn"],
              ["Finished", tasks("finished"), "done"],
              ["Killed", tasks("killed"), "warn"],
              ["Failed", tasks("failed"), "bad"],
              ["Lost", tasks("lost"), "bad"],
            ]}
          />
        </Card>
        <UsageCharts title="Usage" points={points} pressure={pressure?.machine} />
      </div>
      <Frameworks known={known} state={state} history={history} />
      <Reservations known={known} state={state} />
    </>
  );
}

function Frameworks({ known, state, history }: { known: Agent; state: AgentState; history: History | undefined }): JSX.Element {
  const allocated = (one: AgentFramework): Amounts => one.executors.reduce((sum, executor) => add(sum, fill(executor.resources)), NOTHING);
  const usedBy = (one: AgentFramework) => history?.sum(one.executors.map((executor) => keyOf({ framework_id: one.id, executor_id: executor.id })));
  const columns = (over: boolean): Column<AgentFramework>[] => [
    { key: "id", label: "ID", value: (one) => one.id, cell: (one) => <Id id={one.id} what="framework id" href={link("agentFramework", { agent: known.id, framework: one.id })} /> },
    { key: "name", label: "Name", wide: true, value: (one) => one.name, cell: (one) => <span class="clip">{one.name}</span> },
    { key: "user", label: "User", value: (one) => one.user },
    { key: "roles", label: "Roles", value: (one) => rolesOf(one).join(" "), cell: (one) => <Roles roles={rolesOf(one)} /> },
    { key: "executors", label: "Executors", numeric: true, value: (one) => (over ? one.completed_executors : one.executors).length },
    { key: "tasks", label: "Active Tasks", numeric: true, value: (one) => one.executors.reduce((sum, executor) => sum + executor.tasks.length + executor.queued_tasks.length, 0) },
    ...(over
      ? []
      : KINDS.filter((kind) => kind !== "gpus" || known.total.gpus > 0).map((kind) => ({
          key: kind,
          label: LABELS[kind],
          numeric: true,
          value: (one: AgentFramework) => allocated(one)[kind],
          cell: (one: AgentFramework) => {
            const used = usedBy(one);
            const now = kind === "cpus" ? used?.cpus : kind === "mem" ? used?.mem : undefined;
            return (
              <span title="Used / allocated">
                {now === undefined || now === null ? "" : `${kind === "mem" ? bytes(now) : count(Math.round(now * 100) / 100)} / `}
                {amount(kind, allocated(one)[kind])}
              </span>
            );
          },
        }))),
  ];
  return (
    <>
      <Table name="frameworks" title="Frameworks" rows={state.frameworks} id={(one) => one.id} columns={columns(false)} sort="id" none="No framework runs anything here." />
      {state.completed_frameworks.length > 0 && (
        <Table name="completed" title="Completed Frameworks" rows={state.completed_frameworks} id={(one) => one.id} columns={columns(true)} sort="id" none="None." />
      )}
    </>
  );
}

function Reservations({ known, state }: { known: Agent; state: AgentState }): JSX.Element {
  const number = (part: Record<string, number | string> | undefined): Amounts => ({
    cpus: Number(part?.cpus ?? 0),
    gpus: Number(part?.gpus ?? 0),
    mem: Number(part?.mem ?? 0),
    disk: Number(part?.disk ?? 0),
  });
  const rows = [
    { role: "", held: number(state.unreserved_resources), ports: String(state.unreserved_resources.ports ?? "") },
    ...Object.entries(state.reserved_resources).map(([role, held]) => ({ role, held: number(held), ports: String(held.ports ?? "") })),
  ];
  return (
    <Table
      name="reservations"
      title="Resource Reservations"
      rows={rows}
      id={(one) => one.role}
      sort="role"
      none="None."
      columns={[
        { key: "role", label: "Role", wide: true, value: (one) => one.role, cell: (one) => one.role || <em>Unreserved</em> },
        ...KINDS.filter((kind) => kind !== "gpus" || known.total.gpus > 0).map((kind) => ({
          key: kind,
          label: LABELS[kind],
          numeric: true,
          value: (one: (typeof rows)[number]) => one.held[kind],
          cell: (one: (typeof rows)[number]) => amount(kind, one.held[kind]),
        })),
        { key: "ports", label: "Ports", value: (one) => one.ports },
      ]}
    />
  );
}

import type { JSX } from "preact";
import type { Cluster } from "../model/cluster";
import { natural } from "../model/order";
import { link } from "../model/route";
import { KINDS, type Kind, LABELS, amount } from "../model/text";
import type { Agent } from "../model/wire";
import { Chip, Held, Id, Page, Time } from "../ui/kit";
import { useCluster, useDerived } from "../ui/hooks";
import { place, setQuery } from "../ui/state";
import { type Column, Table } from "../ui/table";

export function Agents(): JSX.Element {
  const cluster = useCluster();
  const agents = useDerived((known) => [...known.agents.values()]);
  const counts = useDerived((known) => known.tasksByAgent());
  const away = useDerived((known) => [...known.unreachable.values()]);
  const awaited = useDerived((known) => [...known.recovered.values()]);
  const view = place.value.query.get("view") === "map" ? "map" : "list";
  return (
    <Page
      title="Agents"
      crumbs={[{ kind: "Master", href: link("home") }, { kind: "Agents" }]}
      actions={
        <div class="switch" role="group" aria-label="View">
          {(["list", "map"] as const).map((one) => (
            <button type="button" key={one} aria-pressed={view === one} onClick={() => setQuery({ view: one === "list" ? undefined : one })}>
              {one === "list" ? "List" : "Map"}
            </button>
          ))}
        </div>
      }
    >
      {view === "map" ? (
        <HeatMap agents={agents} counts={counts} />
      ) : (
        <Table name="agents" title="Agents" rows={agents} id={(one) => one.id} columns={columns(cluster, counts)} sort="id" none="No agents are registered." />
      )}
      {away.length > 0 && (
        <Table
          name="unreachable"
          title="Unreachable Agents"
          rows={away}
          id={(one) => one.id}
          sort="-since"
          none="None."
          columns={[
            { key: "id", label: "ID", value: (one) => one.id, cell: (one) => <Id id={one.id} what="agent id" /> },
            { key: "since", label: "Since", value: (one) => one.since, cell: (one) => <Time at={one.since} /> },
          ]}
        />
      )}
      {awaited.length > 0 && (
        <Table
          name="awaited"
          title="Agents that are awaited since this master leads"
          rows={awaited}
          id={(one) => one.id}
          sort="id"
          none="None."
          columns={[
            { key: "id", label: "ID", value: (one) => one.id, cell: (one) => <Id id={one.id} what="agent id" /> },
            { key: "host", label: "Host", value: (one) => one.hostname },
          ]}
        />
      )}
    </Page>
  );
}

export function AgentChip({ agent }: { agent: Agent }): JSX.Element {
  return agent.active ? <Chip tone="good">Active</Chip> : <Chip tone="warn">Deactivated</Chip>;
}

function columns(cluster: Cluster, counts: Map<string, number>): Column<Agent>[] {
  const gpus = cluster.totals.total.gpus > 0;
  return [
    { key: "id", label: "ID", value: (one) => one.id, cell: (one) => <Id id={one.id} what="agent id" href={link("agent", { agent: one.id })} /> },
    { key: "host", label: "Host", wide: true, value: (one) => one.hostname, cell: (one) => <a href={link("agent", { agent: one.id })}>{one.hostname}</a> },
    { key: "state", label: "State", value: (one) => (one.active ? "Active" : "Deactivated"), cell: (one) => <AgentChip agent={one} /> },
    { key: "tasks", label: "Tasks", numeric: true, value: (one) => counts.get(one.id) ?? 0, text: () => "" },
    ...KINDS.filter((kind) => gpus || kind !== "gpus").map((kind) => ({
      key: kind,
      label: LABELS[kind],
      numeric: true,
      value: (one: Agent) => one.used[kind],
      text: () => "",
      cell: (one: Agent) => <Held kind={kind} held={one.used[kind]} total={one.total[kind]} />,
    })),
    {
      key: "attributes",
      label: "Attributes",
      optional: true,
      value: (one) => Object.entries(one.attributes).map(([name, value]) => `${name}:${value}`).join(" "),
      cell: (one) => <span class="clip">{Object.entries(one.attributes).map(([name, value]) => `${name}:${value}`).join(", ")}</span>,
    },
    { key: "version", label: "Version", value: (one) => one.version },
    { key: "registered", label: "Registered", value: (one) => one.registered, text: () => "", cell: (one) => <Time at={one.registered} /> },
    { key: "reregistered", label: "Re-Registered", optional: true, value: (one) => one.reregistered, text: () => "", cell: (one) => <Time at={one.reregistered} /> },
  ];
}

/** Steps of colour. */
const STEPS = 5;
/** More would be no picture any more, and slow to draw. */
const MOST = 12_000;

function HeatMap({ agents, counts }: { agents: Agent[]; counts: Map<string, number> }): JSX.Element {
  const query = place.value.query;
  const kind = (KINDS.find((one) => one === query.get("by")) ?? "cpus") as Kind;
  const group = query.get("group") ?? "";
  const names = [...new Set(agents.flatMap((agent) => Object.keys(agent.attributes)))].sort();
  const groupOf = (agent: Agent) => (group === "" ? "" : group === "zone" ? agent.zone : String(agent.attributes[group] ?? ""));
  const groups = new Map<string, Agent[]>();
  const ordered = [...agents].sort((a, b) => (natural(a.hostname + a.id) < natural(b.hostname + b.id) ? -1 : 1)).slice(0, MOST);
  for (const agent of ordered) groups.set(groupOf(agent), [...(groups.get(groupOf(agent)) ?? []), agent]);
  const partOf = (agent: Agent) => (agent.total[kind] > 0 ? agent.used[kind] / agent.total[kind] : undefined);
  const step = (part: number | undefined) => (part === undefined ? "none" : part === 0 ? "h0" : `h${Math.min(STEPS, Math.ceil(part * STEPS))}`);
  return (
    <section class="map" aria-label="Map of agents">
      <header>
        <label>
          Colour by{" "}
          <select value={kind} onChange={(event) => setQuery({ by: event.currentTarget.value === "cpus" ? undefined : event.currentTarget.value })}>
            {KINDS.map((one) => (
              <option key={one} value={one}>
                {LABELS[one]}
              </option>
            ))}
          </select>
        </label>
        <label>
          Group by{" "}
          <select value={group} onChange={(event) => setQuery({ group: event.currentTarget.value || undefined })}>
            <option value="">nothing</option>
            {agents.some((agent) => agent.zone) && <option value="zone">zone</option>}
            {names.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <span class="scale" aria-hidden="true">
          0% {["h0", "h1", "h2", "h3", "h4", "h5"].map((one) => <i key={one} class={one} />)} 100%
        </span>
      </header>
      {agents.length === 0 && <p class="none">No agents are registered.</p>}
      {[...groups].map(([name, members]) => (
        <div key={name}>
          {group && (
            <h3>
              {name || "(none)"} <span class="count">{members.length}</span>
            </h3>
          )}
          <div class={`cells ${agents.length > 400 ? "small" : ""}`}>
            {members.map((agent) => {
              const part = partOf(agent);
              const label = `${agent.hostname}: ${part === undefined ? "no" : `${Math.round(100 * part)}% of ${amount(kind, agent.total[kind])}`} ${LABELS[kind]}, ${counts.get(agent.id) ?? 0} tasks${agent.active ? "" : ", deactivated"}`;
              return <a key={agent.id} href={link("agent", { agent: agent.id })} class={`${step(part)} ${agent.active ? "" : "off"}`} title={label} aria-label={label} />;
            })}
          </div>
        </div>
      ))}
    </section>
  );
}

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Cluster } from "../model/cluster";
import { link } from "../model/route";
import { amount, share } from "../model/text";
import type { Framework } from "../model/wire";
import { Chip, Id, Page, Time } from "../ui/kit";
import { useCluster, useDerived } from "../ui/hooks";
import { type Column, Table } from "../ui/table";

export function Frameworks(): JSX.Element {
  const cluster = useCluster();
  const active = useDerived((known) => [...known.frameworks.values()].filter((one) => one.active || one.connected));
  const inactive = useDerived((known) => [...known.frameworks.values()].filter((one) => !one.active && !one.connected));
  const completed = useDerived((known) => known.completedFrameworks);
  return (
    <Page title="Frameworks" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Frameworks" }]}>
      <Table name="active" title="Active Frameworks" rows={active} id={(one) => one.id} columns={columns(cluster, "active")} sort="-registered" none="No active frameworks." />
      <Table name="inactive" title="Inactive Frameworks" rows={inactive} id={(one) => one.id} columns={columns(cluster, "inactive")} sort="-registered" none="No inactive frameworks." />
      <Table name="completed" title="Completed Frameworks" rows={completed} id={(one) => one.id} columns={columns(cluster, "completed")} sort="-unregistered" none="No completed frameworks." />
    </Page>
  );
}

function columns(cluster: Cluster, kind: "active" | "inactive" | "completed"): Column<Framework>[] {
  const running = (one: Framework) => cluster.tasksOf(one.id).active.size;
  const there: Column<Framework>[] = [
    { key: "tasks", label: "Active Tasks", numeric: true, value: running, text: () => "" },
    ...(["cpus", "gpus", "mem", "disk"] as const).map((of) => ({
      key: of,
      label: { cpus: "CPUs", gpus: "GPUs", mem: "Mem", disk: "Disk" }[of],
      numeric: true,
      optional: of === "gpus",
      value: (one: Framework) => one.used[of],
      text: () => "",
      cell: (one: Framework) => amount(of, one.used[of]),
    })),
    {
      key: "share",
      label: "Max Share",
      numeric: true,
      value: (one) => share(one.used, cluster.totals.total),
      text: () => "",
      cell: (one) => `${(100 * share(one.used, cluster.totals.total)).toFixed(1)}%`,
    },
  ];
  return [
    { key: "id", label: "ID", value: (one) => one.id, cell: (one) => <Id id={one.id} what="framework id" href={link("framework", { framework: one.id })} /> },
    {
      key: "name",
      label: "Name",
      wide: true,
      value: (one) => one.name,
      cell: (one) => (
        <span class="clip">
          {one.name} {kind === "active" && !one.active && <Chip tone="warn">Suppressed</Chip>} {one.recovered && <Chip tone="warn">Recovered</Chip>}
        </span>
      ),
    },
    { key: "host", label: "Host", optional: true, value: (one) => one.hostname },
    { key: "user", label: "User", value: (one) => one.user },
    { key: "roles", label: "Roles", value: (one) => one.roles.join(" "), cell: (one) => <Roles roles={one.roles} /> },
    { key: "principal", label: "Principal", optional: true, value: (one) => one.principal },
    ...(kind === "completed" ? [] : there),
    { key: "registered", label: "Registered", value: (one) => one.registered, text: () => "", cell: (one) => <Time at={one.registered} /> },
    kind === "completed"
      ? { key: "unregistered", label: "Unregistered", value: (one) => one.unregistered, text: () => "", cell: (one) => <Time at={one.unregistered} /> }
      : { key: "reregistered", label: "Re-Registered", optional: true, value: (one) => one.reregistered, text: () => "", cell: (one) => <Time at={one.reregistered} /> },
  ];
}

const open = new Set<string>();

/** Many roles are one word, which opens. */
export function Roles({ roles }: { roles: string[] }): JSX.Element {
  const key = roles.join("\n");
  const [opened, setOpened] = useState(open.has(key));
  if (roles.length === 0) return <span class="dim">–</span>;
  if (roles.length === 1) return <>{roles[0]}</>;
  const toggle = () => {
    if (opened) open.delete(key);
    else open.add(key);
    setOpened(!opened);
  };
  return (
    <>
      <button type="button" class="plain" aria-expanded={opened} onClick={toggle}>
        {opened ? "▾" : "▸"} {roles.length} roles
      </button>
      {opened && (
        <ul class="plain">
          {roles.map((role) => (
            <li key={role}>{role}</li>
          ))}
        </ul>
      )}
    </>
  );
}

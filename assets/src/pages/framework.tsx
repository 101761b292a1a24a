import type { JSX } from "preact";
import { link } from "../model/route";
import { duration, safeUrl } from "../model/text";
import type { Task } from "../model/wire";
import { Act } from "../ui/act";
import { Card, Chip, Facts, FaultNote, Id, Meters, Numbers, Page, Time } from "../ui/kit";
import { useCluster, useDerived } from "../ui/hooks";
import { post } from "../net/http";
import { Table } from "../ui/table";
import { taskColumns, taskKey } from "../ui/tasks";
import { Roles } from "./frameworks";

export function FrameworkPage({ framework: id }: { framework: string }): JSX.Element {
  const cluster = useCluster();
  const found = cluster.framework(id);
  const active = useDerived((known) => [...known.tasksOf(id).active.values()], [id]);
  const away = useDerived((known) => [...known.tasksOf(id).unreachable.values()], [id]);
  const completed = useDerived((known) => known.tasksOf(id).completed, [id]);
  const crumbs = [{ kind: "Master", href: link("home") }, { kind: "Frameworks", href: link("frameworks") }, { kind: "Framework", text: found?.name || id, id }];
  if (!found) {
    return (
      <Page title="Framework" crumbs={crumbs}>
        <FaultNote title="No framework has this id">
          The master knows no framework <code>{id}</code>. Completed ones are forgotten after a while (<code class="flag">--max_completed_frameworks</code>).
        </FaultNote>
      </Page>
    );
  }
  const over = cluster.isCompleted(id);
  const url = safeUrl(found.webui_url);
  const of = (state: string, list: Task[]) => list.reduce((sum, task) => sum + (task.state === state ? 1 : 0), 0);
  const states: [string, string, Task[], string][] = [
    ["Staging", "STAGING", active, "new"],
    ["Starting", "STARTING", active, "new"],
    ["Running", "RUNNING", active, "good"],
    ["Unreachable", "UNREACHABLE", away, "warn"],
    ["Killing", "KILLING", active, "warn"],
    ["Finished", "FINISHED", completed, "done"],
    ["Killed", "KILLED", completed, "warn"],
    ["Failed", "FAILED", completed, "bad"],
    ["Lost", "LOST", completed, "bad"],
  ];
  return (
    <Page
      title={`Framework ${found.name}`}
      crumbs={crumbs}
      actions={
        over ? undefined : (
          <Act
            label="Tear down"
            title={`Tear down ${found.name || id}?`}
            text={`The framework ends, and ${active.length === 1 ? "its active task is" : `its ${active.length} active tasks are`} killed. This cannot be undone.`}
            confirm="Tear down"
            word={found.name || id}
            act={() => post("master/teardown", { frameworkId: id })}
            done={`${found.name || id} is torn down`}
          />
        )
      }
    >
      <div class="cards">
        <Card title={found.name || "Framework"} class="facts-card">
          <Facts
            facts={[
              ["ID", <Id key="id" id={id} what="framework id" />],
              [
                "State",
                over ? (
                  <Chip tone="done">Completed</Chip>
                ) : found.active ? (
                  <Chip tone="good">Active</Chip>
                ) : found.connected ? (
                  <Chip tone="warn">Deactivated</Chip>
                ) : (
                  <Chip tone="warn">Disconnected</Chip>
                ),
              ],
              [
                "Web UI",
                found.webui_url ? (
                  url ? (
                    <a href={url} rel="noopener noreferrer nofollow">
                      {found.webui_url}
                    </a>
                  ) : (
                    found.webui_url
                  )
                ) : undefined,
              ],
              ["Host", found.hostname],
              ["User", found.user],
              ["Roles", <Roles key="roles" roles={found.roles} />],
              ["Principal", found.principal || undefined],
              ["Registered", <Time key="registered" at={found.registered} />],
              ["Re-registered", found.reregistered ? <Time at={found.reregistered} /> : undefined],
              ["Unregistered", over ? <Time at={found.unregistered} /> : undefined],
              ["Failover timeout", duration(found.failover_timeout)],
              ["Checkpoints", found.checkpoint ? "yes" : "no"],
              ["Capabilities", found.capabilities.length ? <span class="caps">{found.capabilities.map((one) => one.toLowerCase().replaceAll("_", " ")).join(", ")}</span> : undefined],
            ]}
          />
        </Card>
        <Card title="Tasks">
          <Numbers numbers={[["Active", active.length, "good"], ...states.map(([name, state, list, tone]) => [name, of(state, list), tone] as [string, number, string])]} />
        </Card>
        {!over && (
          <Card title="Resources" class="grow">
            <Meters
              total={cluster.totals.total}
              rest="Of others, or idle"
              parts={[
                { name: "Allocated", tone: "used", held: found.used },
                { name: "Offered", tone: "offered", held: found.offered },
              ]}
            />
          </Card>
        )}
      </div>
      <Table name="active" title="Active Tasks" rows={active} id={taskKey} columns={taskColumns(cluster, "active", active, false)} sort="-started" none="No active tasks." />
      {away.length > 0 && (
        <Table name="unreachable" title="Unreachable Tasks" rows={away} id={taskKey} columns={taskColumns(cluster, "unreachable", away, false)} sort="-updated" none="No unreachable tasks." />
      )}
      <Table name="completed" title="Completed Tasks" rows={completed} id={taskKey} columns={taskColumns(cluster, "completed", completed, false)} sort="-updated" none="No completed tasks." />
    </Page>
  );
}

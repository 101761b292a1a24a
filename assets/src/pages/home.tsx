import type { JSX } from "preact";
import { link } from "../model/route";
import { count } from "../model/text";
import { Card, Facts, Meters, Numbers, Page, Time } from "../ui/kit";
import { useCluster, useDerived } from "../ui/hooks";
import { Table } from "../ui/table";
import { taskColumns, taskKey } from "../ui/tasks";

export function Home(): JSX.Element {
  const cluster = useCluster();
  const { master, totals } = cluster;
  const active = useDerived((known) => known.all("active"));
  const away = useDerived((known) => known.all("unreachable"));
  const completed = useDerived((known) => known.all("completed"));
  const tasks = (name: string) => totals.tasks[name] ?? 0;
  const other = ["error", "dropped", "gone", "gone_by_operator"].reduce((sum, name) => sum + tasks(name), 0);
  return (
    <Page title={`Cluster ${master.cluster ?? ""}`} crumbs={[{ kind: "Master", text: master.id, id: master.id }]}>
      <div class="cards home">
        <Card title="Cluster" class="facts-card">
          <Facts
            facts={[
              ["Cluster", master.cluster ?? <span title="--cluster gives it one">(Unnamed)</span>],
              ["Leader", `${master.hostname}:${master.port}`],
              ["Version", master.version],
              [
                "Built",
                <span key="built">
                  <Time at={master.build_time} /> by <em>{master.build_user}</em>
                </span>,
              ],
              ["Started", <Time key="started" at={master.start_time} />],
              ["Elected", <Time key="elected" at={master.elected_time} />],
              ["Frameworks", <a key="frameworks" href={link("frameworks")}>{count(cluster.frameworks.size)}</a>],
              ["Offers", <a key="offers" href={link("offers")}>{count(totals.offers)}</a>],
              [
                "Log",
                <span key="log" class="links">
                  <a href={link("log")}>LOG</a>
                  {master.has_log && <a href="files/download?path=/master/log">Download</a>}
                </span>,
              ],
            ]}
          />
        </Card>
        <Card title="Resources" class="grow">
          <Meters
            total={totals.total}
            parts={[
              { name: "Allocated", tone: "used", held: totals.used },
              { name: "Offered", tone: "offered", held: totals.offered },
            ]}
          />
        </Card>
        <div class="pair">
        <Card title="Agents" actions={<a href={link("agents")}>All</a>}>
          <Numbers
            numbers={[
              ["Activated", totals.agents.active, "good"],
              ["Deactivated", totals.agents.inactive, "warn"],
              ["Unreachable", totals.agents.unreachable, "bad"],
              ...(totals.agents.recovered > 0 ? [["Awaited", totals.agents.recovered, "warn"] as [string, number, string]] : []),
            ]}
          />
        </Card>
        <Card title="Tasks">
          <Numbers
            numbers={[
              ["Staging", tasks("staging"), "new"],
              ["Starting", tasks("starting"), "new"],
              ["Running", tasks("running"), "good"],
              ["Unreachable", tasks("unreachable"), "warn"],
              ["Killing", tasks("killing"), "warn"],
              ["Finished", tasks("finished"), "done"],
              ["Killed", tasks("killed"), "warn"],
              ["Failed", tasks("failed"), "bad"],
              ["Lost", tasks("lost"), "bad"],
              ...(other > 0 ? [["Other ends", other, "bad"] as [string, number, string]] : []),
            ]}
          />
        </Card>
        </div>
      </div>
      <Table
        name="active"
        title="Active Tasks"
        rows={active}
        id={taskKey}
        columns={taskColumns(cluster, "active", active, true)}
        sort="-started"
        none="No active tasks."
        size={20}
      />
      {away.length > 0 && (
        <Table
          name="unreachable"
          title="Unreachable Tasks"
          rows={away}
          id={taskKey}
          columns={taskColumns(cluster, "unreachable", away, true)}
          sort="-updated"
          none="No unreachable tasks."
          size={20}
        />
      )}
      <Table
        name="completed"
        title="Completed Tasks"
        rows={completed}
        id={taskKey}
        columns={taskColumns(cluster, "completed", completed, true)}
        sort="-updated"
        none="No completed tasks."
        size={20}
      />
    </Page>
  );
}

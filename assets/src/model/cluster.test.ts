import { describe, expect, it } from "vitest";
import { Cluster, type Told } from "./cluster";

const columns = {
  agent: ["id", "hostname", "total", "used", "attributes", "reserved"],
  recovered: ["id", "hostname"],
  unreachable: ["id", "since"],
  framework: ["id", "name", "used", "offered"],
  task: ["id", "name", "agent", "executor", "role", "state", "healthy", "started", "updated", "cpus", "gpus", "mem", "disk"],
};

const task = (id: string, state: string) => [id, "n", "S0", "", "r", state, null, 1, 2, 0.5, 0, 32, 0];

function whole(): Told {
  return {
    at: "m:3",
    columns,
    totals: { agents: { active: 1, inactive: 0, unreachable: 0, recovered: 0 }, tasks: { running: 1 }, total: [4, 0, 1024, 0], used: [1, 0, 32, 0], offered: [0, 0, 0, 0], offers: 0 },
    agents: { set: [["S0", "h", [4, 0, 1024, 0], [1, 0, 32, 0], { rack: "a" }, { web: [1, 0, 0, 0] }]] },
    frameworks: { set: [["F0", "f", [1, 0, 32, 0], [0, 0, 0, 0]]] },
    tasks: { F0: { active: { set: [task("t1", "RUNNING")] }, completed: { added: [task("old", "FINISHED")] } } },
  };
}

describe("a cluster", () => {
  it("is read whole", () => {
    const cluster = Cluster.of(whole());
    expect(cluster.at).toBe("m:3");
    expect(cluster.totals.total).toEqual({ cpus: 4, gpus: 0, mem: 1024, disk: 0 });
    expect(cluster.agents.get("S0")?.reserved.web?.cpus).toBe(1);
    expect(cluster.tasksOf("F0").find("t1")).toMatchObject({ framework: "F0", state: "RUNNING", mem: 32, healthy: null });
    expect(cluster.all("completed").map((one) => one.id)).toEqual(["old"]);
    expect(cluster.tasksByAgent().get("S0")).toBe(1);
  });

  it("follows what changes", () => {
    const cluster = Cluster.of(whole());
    cluster.apply({ tasks: { F0: { active: { gone: ["t1"], set: [task("t2", "STAGING")] }, completed: { dropped: 1, added: [task("t1", "FAILED")] } } } });
    const tasks = cluster.tasksOf("F0");
    expect([...tasks.active.keys()]).toEqual(["t2"]);
    expect(tasks.completed.map((one) => [one.id, one.state])).toEqual([["t1", "FAILED"]]);
    cluster.apply({ agents: { gone: ["S0"] }, unreachable: { set: [["S0", 5]] } });
    expect(cluster.agents.size).toBe(0);
    expect(cluster.unreachable.get("S0")?.since).toBe(5);
  });

  it("keeps what completed frameworks ran, and forgets it with them", () => {
    const cluster = Cluster.of(whole());
    cluster.apply({
      frameworks: { gone: ["F0"] },
      completed_frameworks: { added: [["F0", "f", [], []]] },
      completed_framework_tasks: { F0: { completed: { added: [task("t1", "KILLED")] } } },
    });
    expect(cluster.isCompleted("F0")).toBe(true);
    expect(cluster.tasksOf("F0").active.size).toBe(0);
    expect(cluster.tasksOf("F0").completed.map((one) => one.state)).toEqual(["KILLED"]);
    cluster.apply({ completed_frameworks: { dropped: 1 } });
    expect(cluster.framework("F0")).toBeUndefined();
    expect(cluster.tasks.size).toBe(0);
  });
});

import { expect, it } from "vitest";
import { Cluster } from "./cluster";
import { search } from "./search";

const cluster = Cluster.of({
  columns: {
    agent: ["id", "hostname", "pid"],
    framework: ["id", "name", "user", "roles"],
    task: ["id", "name", "agent", "executor", "role", "state"],
  },
  agents: { set: [["m-S0", "node-1", "slave(1)@10.0.0.1:5051"]] },
  frameworks: { set: [["m-0000", "marathon", "root", ["prod/web"]]] },
  tasks: { "m-0000": { active: { set: [["web.1", "web", "m-S0", "", "prod/web", "RUNNING"]] }, completed: { added: [["web.2", "web", "m-S0", "", "prod/web", "FAILED"]] } } },
});

it("finds agents, frameworks, tasks and pages, the closest first", () => {
  const hits = (wanted: string) => search(cluster, wanted).map((hit) => `${hit.kind} ${hit.label}`);
  expect(hits("web")[0]).toBe("task web.1");
  expect(hits("web")).toContain("framework marathon");
  expect(hits("10.0.0.1")).toEqual(["agent node-1"]);
  expect(hits("MARA")).toEqual(["framework marathon"]);
  expect(hits("offers")).toEqual(["page Offers"]);
  expect(hits("slaves")).toEqual(["page Agents"]);
  expect(hits("web nothing")).toEqual([]);
  expect(hits("  ")).toEqual([]);
  expect(search(cluster, "web.1")[0]?.href).toBe("#/frameworks/m-0000/tasks/web.1");
});

/** Every page, on a cluster without anything and on one with tasks: draws, says no error, can be read by all. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster, LOOKS, type Watched, album, closeBrowser, open, shot, sideways, unreachable, until } from "./harness";

/** Names that would be markup, or paths, if anybody took them for such. */
const HOSTILE = `<img src=x onerror=alert(1)>'"&{{7*7}}`;

/** A page of the same document: nothing is loaded anew. */
async function go(watched: Watched, hash: string, ready: string): Promise<void> {
  await watched.page.evaluate((to) => {
    location.hash = to;
  }, hash);
  await watched.page.getByText(ready).first().waitFor();
}

async function sound(watched: Watched, name: string): Promise<void> {
  const { page, faults } = watched;
  expect(faults, name).toEqual([]);
  expect(await sideways(page), `${name} is wider than its window`).toBeLessThanOrEqual(0);
  expect(await unreachable(page), name).toEqual([]);
}

const SIMPLE: [string, string, string][] = [
  ["home", "#/", "No active tasks."],
  ["frameworks", "#/frameworks", "No active frameworks."],
  ["agents", "#/agents", "Registered"],
  ["map", "#/agents?view=map", "Colour by"],
  ["roles", "#/roles", "Columns"],
  ["offers", "#/offers", "No offers are out."],
  ["maintenance", "#/maintenance", "No maintenance is scheduled."],
  ["help", "#/help", "/master/state"],
  ["help-page", "#/help/master/state", "USAGE"],
];

const UNKNOWN: [string, string, string][] = [
  ["agent", "#/agents/none", "No agent of this id is registered"],
  ["slave", "#/slaves/none", "No agent of this id is registered"],
  ["framework", "#/frameworks/none", "No framework has this id"],
  ["task", "#/frameworks/none/tasks/none", "No task has this id"],
  ["sandbox", "#/agents/none/frameworks/f/executors/e/browse", "The agent is not registered"],
  ["page", "#/nonsense", "There is no page at this address"],
];

describe("without agents or frameworks", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(["--cluster=empty"], 1);
  });
  afterAll(() => cluster.stop());

  for (const look of LOOKS) {
    it(`pages are sound, ${look.name}`, async () => {
      const watched = await open(cluster.url, look);
      const pages = [...SIMPLE.map(([name, ...rest]) => [`empty-${name}`, ...rest] as const), ...UNKNOWN.map(([name, ...rest]) => [`unknown-${name}`, ...rest] as const)];
      for (const [name, hash, text] of pages) {
        await go(watched, hash, text);
        await shot(watched.page, `${look.name}-${name}`);
        await sound(watched, name);
      }
      await watched.close();
    });
  }

  it("without a log, the page says how to get one", async () => {
    const watched = await open(`${cluster.url}#/log`);
    await watched.page.getByText("Logging to a file is not enabled").waitFor();
    await album(watched.page, "no-log");
    await watched.close();
  });
});

describe("with tasks", () => {
  let cluster: Cluster;
  let at: { framework: string; agent: string };
  beforeAll(async () => {
    cluster = await Cluster.start(["--cluster=tasks"], 2);
    const failing = cluster.execute("fails", "echo out; echo err >&2; exit 3");
    await until("the task that fails has ended", async () => failing.ended);
    cluster.execute("sleeper", `echo 'one line'; printf '\\033[31mred\\033[0m words\\n'; i=0; while [ $i -lt 200 ]; do echo "line $i"; i=$((i+1)); done; while :; do sleep 0.5; date; done`);
    cluster.execute(HOSTILE, "sleep 1000");
    at = await cluster.running("sleeper");
    await cluster.running(HOSTILE);
  });
  afterAll(async () => {
    await cluster.stop();
  });

  const pages = (): [string, string, string][] => {
    const { framework, agent } = at;
    const executor = `#/agents/${agent}/frameworks/${framework}/executors/sleeper`;
    return [
      ["home", "#/", "Active Tasks"],
      ["frameworks", "#/frameworks", "Completed Frameworks"],
      ["framework", `#/frameworks/${framework}`, "Completed Tasks"],
      ["task", `#/frameworks/${framework}/tasks/sleeper`, "History"],
      ["agents", "#/agents", "Registered"],
      ["map", "#/agents?view=map", "Colour by"],
      ["agent", `#/agents/${agent}`, "Resource Reservations"],
      ["agent-framework", `#/agents/${agent}/frameworks/${framework}`, "Completed Executors"],
      ["executor", executor, "Completed Tasks"],
      ["sandbox", `${executor}/browse`, "stdout"],
      ["roles", "#/roles", "Columns"],
      ["offers", "#/offers", "Outstanding Offers"],
      ["maintenance", "#/maintenance", "All machines are up."],
      ["help", "#/help", "/master/state"],
      ["help-page", "#/help/master/overview", "USAGE"],
    ];
  };

  for (const look of LOOKS) {
    it(`pages are sound, ${look.name}`, async () => {
      const watched = await open(cluster.url, look);
      for (const [name, hash, text] of pages()) {
        await go(watched, hash, text);
        await shot(watched.page, `${look.name}-${name}`);
        await sound(watched, name);
      }
      await watched.page.getByText("stdout").first().waitFor({ state: "detached" });
      await watched.close();
    });
  }

  it("a file is followed, searched and coloured", async () => {
    const watched = await open(`${cluster.url}#/agents/${at.agent}/frameworks/${at.framework}/executors/sleeper/browse`);
    const { page } = watched;
    await page.getByRole("link", { name: "stdout", exact: true }).click();
    await page.getByText("one line").waitFor();
    expect(await page.locator(".fg-ansi-red").textContent()).toBe("red");
    const lines = page.getByRole("log");
    const before = (await lines.textContent())?.length ?? 0;
    await until("it grows", async () => ((await lines.textContent())?.length ?? 0) > before);
    const atEnd = () => lines.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 10);
    expect(await atEnd()).toBe(true);
    await page.getByLabel("Search in the file").fill("line 19");
    await page.getByText("11 lines").waitFor();
    await page.getByLabel("Only these").check();
    await until("only those are shown", async () => (await page.locator(".l").count()) === 11);
    await album(page, "file");
    expect(watched.faults).toEqual([]);
    await watched.close();
  });

  it("the menu of a narrow window leads to the pages", async () => {
    const narrow = LOOKS[2];
    const watched = await open(cluster.url, narrow);
    const { page } = watched;
    await page.getByText("Active Tasks").waitFor();
    await page.getByRole("button", { name: "Menu" }).click();
    for (const look of LOOKS.slice(2)) {
      await page.emulateMedia({ colorScheme: look.colorScheme });
      await shot(page, `${look.name}-menu`, false);
      await sound(watched, "menu");
    }
    await page.getByRole("navigation").getByRole("link", { name: "Roles" }).click();
    await page.getByText("Columns").waitFor();
    await watched.close();
  });

  it("a download is the file", async () => {
    const watched = await open(`${cluster.url}#/agents/${at.agent}/frameworks/${at.framework}/executors/sleeper/browse`);
    const [download] = await Promise.all([watched.page.waitForEvent("download"), watched.page.getByRole("link", { name: "Download stdout" }).click()]);
    expect(download.suggestedFilename()).toBe("stdout");
    await watched.close();
  });

  it("names are texts, whatever is in them", async () => {
    const watched = await open(cluster.url);
    const { page } = watched;
    await page.getByText(HOSTILE).first().waitFor();
    expect(await page.locator("main img").count()).toBe(0);
    await page.getByRole("link", { name: HOSTILE }).first().click();
    await page.getByText("History").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("onerror");
    await page.getByRole("option").first().waitFor();
    await album(page, "search", { full: false });
    expect(watched.faults).toEqual([]);
    await watched.close();
  });

  it("what is new comes by itself, without asking for everything", async () => {
    const watched = await open(cluster.url);
    const { page } = watched;
    await page.getByText("Active Tasks").waitFor();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    cluster.execute("newcomer", "sleep 1000");
    await page.getByRole("link", { name: "newcomer" }).first().waitFor();
    expect(asked).toEqual([]);
    expect(watched.faults).toEqual([]);
    await watched.close();
  });

  it("a task is killed, after a question", async () => {
    const doomed = cluster.execute("doomed", "sleep 1000");
    const { framework } = await cluster.running("doomed");
    const watched = await open(`${cluster.url}#/frameworks/${framework}/tasks/doomed`);
    const { page } = watched;
    await page.getByRole("button", { name: "Kill" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(await page.getByRole("dialog").count()).toBe(0);
    await page.getByRole("button", { name: "Kill" }).click();
    await album(page, "kill", { full: false });
    await page.getByRole("button", { name: "Kill the task" }).click();
    await page.getByText("KILLED").first().waitFor();
    await page.getByRole("button", { name: "Kill" }).waitFor({ state: "detached" });
    await album(page, "killed");
    await until("the scheduler heard of it", async () => doomed.ended);
    expect(watched.faults).toEqual([]);
    await watched.close();
  });

  it("a framework is torn down, once its name was typed", async () => {
    cluster.execute("torn", "sleep 1000");
    const { framework } = await cluster.running("torn");
    const watched = await open(`${cluster.url}#/frameworks/${framework}`);
    const { page } = watched;
    await page.getByRole("button", { name: "Tear down" }).click();
    const confirm = page.getByRole("dialog").getByRole("button", { name: "Tear down" });
    expect(await confirm.isDisabled()).toBe(true);
    await album(page, "teardown", { full: false });
    await page.getByRole("dialog").getByRole("textbox").fill((await page.getByRole("dialog").locator("b").textContent()) ?? "");
    await confirm.click();
    await page.getByText("Completed", { exact: true }).first().waitFor();
    await album(page, "torn-down");
    expect(watched.faults).toEqual([]);
    await watched.close();
  });

  it("other sites cannot change anything, nor frame a page", async () => {
    const { framework } = at;
    const kill = (headers: Record<string, string>) =>
      fetch(`${cluster.url}master/kill`, { method: "POST", body: new URLSearchParams({ frameworkId: framework, taskId: "none" }), headers });
    expect((await kill({ Origin: "http://elsewhere.example" })).status).toBe(403);
    expect((await kill({ Origin: `http://${cluster.address}` })).status).not.toBe(403);
    const headers = (await fetch(cluster.url)).headers;
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  });

  it("the address keeps what was found and sorted", async () => {
    const watched = await open(`${cluster.url}#/?active.find=sleeper&active.sort=name`);
    const { page } = watched;
    const table = page.getByRole("region", { name: "Active Tasks" });
    await table.getByRole("link", { name: "sleeper", exact: true }).waitFor();
    expect(await table.locator("tbody tr").count()).toBe(1);
    await table.getByRole("button", { name: "CPUs" }).click();
    await until("the address says so", async () => page.url().includes("active.sort=cpus"));
    await table.getByRole("searchbox").fill("nothing has this");
    await table.getByText("Nothing has").waitFor();
    await page.reload();
    await table.getByText("Nothing has").waitFor();
    await album(page, "found-nothing");
    expect(watched.faults).toEqual([]);
    await watched.close();
  });
});

afterAll(closeBrowser);

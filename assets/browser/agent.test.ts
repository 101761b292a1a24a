/** The pages that an agent serves itself: what runs on it, and the way to its master. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { Daemon, album, closeBrowser, freePort, open, scratch, until } from "./harness";

const dir = scratch();
let [master, agent]: Daemon[] = [];
let [atMaster, atAgent] = [0, 0];

beforeAll(async () => {
  [atMaster, atAgent] = [await freePort(), await freePort()];
  master = Daemon.start(["master", "--ip=127.0.0.1", "--hostname=127.0.0.1", `--port=${atMaster}`, `--work_dir=${dir}/master`]);
  await until("the master serves", async () => (await fetch(`http://127.0.0.1:${atMaster}/health`)).ok);
  agent = Daemon.start(["slave", "--ip=127.0.0.1", "--hostname=127.0.0.1", `--port=${atAgent}`, `--master=127.0.0.1:${atMaster}`, `--work_dir=${dir}/agent`, `--log_dir=${dir}/logs`]);
  Daemon.start(["execute", `--master=127.0.0.1:${atMaster}`, "--name=sleeper", "--command=echo one line; sleep 1000"]);
  await until("the task runs", async () => {
    const { frameworks } = (await (await fetch(`http://127.0.0.1:${atMaster}/state`)).json()) as { frameworks: { tasks: { state: string }[] }[] };
    return frameworks[0]?.tasks[0]?.state === "TASK_RUNNING";
  });
});
afterAll(closeBrowser);

it("an agent shows what runs on it, and leads to its master", async () => {
  const watched = await open(`http://127.0.0.1:${atAgent}/`);
  const { page } = watched;
  const sound = (name: string) => album(page, `of-agent-${name}`);
  await page.getByRole("heading", { level: 1, name: "Agent 127.0.0.1" }).waitFor();
  await page.getByText("Resource Reservations").waitFor();
  await page.getByText("Measuring…").waitFor({ state: "detached" });
  await sound("home");
  await page.getByRole("region", { name: "Frameworks" }).locator("tbody a").first().click();
  await page.getByRole("region", { name: "Executors", exact: true }).locator("tbody a").first().waitFor();
  await sound("framework");
  await page.getByRole("region", { name: "Executors", exact: true }).getByRole("link", { name: "sleeper", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Executor sleeper" }).waitFor();
  await sound("executor");
  await page.getByRole("link", { name: "Browse" }).click();
  await page.getByRole("link", { name: "stdout", exact: true }).waitFor();
  await sound("sandbox");
  await page.getByRole("link", { name: "stdout", exact: true }).click();
  await page.getByText("one line").waitFor();
  await sound("file");
  await page.getByRole("link", { name: "Mesos, the first page" }).click();
  await page.getByRole("link", { name: "LOG" }).click();
  await page.getByText("agent serves").first().waitFor();
  await sound("log");
  await page.getByRole("link", { name: "Help" }).click();
  await page.getByRole("link", { name: "/slave(1)/monitor/pressure", exact: true }).waitFor();
  await sound("help");
  await page.getByRole("link", { name: "/slave(1)/monitor/pressure", exact: true }).click();
  await page.getByText("TL;DR").waitFor();
  await sound("help-page");
  await page.evaluate(() => (location.hash = "#/frameworks"));
  await page.getByText("This is an agent").waitFor();
  await sound("elsewhere");
  expect(watched.faults).toEqual([]);

  // The same place at the master, and from there the agent as the master knows it.
  await page.locator(".note").getByRole("link").click();
  await page.waitForURL(`http://127.0.0.1:${atMaster}/#/frameworks`);
  await page.getByRole("region", { name: "Active Frameworks" }).locator("tbody tr").first().waitFor();
  expect(watched.faults.filter((fault) => !fault.startsWith("foreign"))).toEqual([]);
  await watched.close();
});

it("is safe, and says so when the agent or its master is gone", async () => {
  const answer = await fetch(`http://127.0.0.1:${atAgent}/`);
  expect(answer.headers.get("content-security-policy")).toContain("connect-src 'self'");
  expect(answer.headers.get("x-frame-options")).toBe("DENY");
  const watched = await open(`http://127.0.0.1:${atAgent}/`);
  const { page } = watched;
  await page.getByRole("navigation").getByRole("link", { name: "To the master" }).waitFor();
  await page.locator(".numbers .good dd").getByText("1", { exact: true }).waitFor();
  await agent?.stop();
  await page.getByText(`Failed to connect to 127.0.0.1:${atAgent}!`).waitFor({ timeout: 30_000 });
  await page.getByText("Resource Reservations").waitFor();
  await album(page, "of-agent-gone");
  await watched.close();
  await master?.stop();
});

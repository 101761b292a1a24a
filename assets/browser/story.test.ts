/** The old tutorial's walk, click by click, with a picture of each step. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, expect, it } from "vitest";
import { Daemon, album, closeBrowser, freePort, open, scratch, shot, until } from "./harness";

afterAll(closeBrowser);

/** The master is back, and the page finds out: by the button, unless it was quicker by itself. */
async function backAgain(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => undefined);
  await page.getByText("Failed to connect").waitFor({ state: "detached" });
}

it("the tutorial can be followed", async () => {
  const dir = scratch();
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const pages = process.env.MESOS_WEBUI_DIR ? [`--webui_dir=${process.env.MESOS_WEBUI_DIR}`] : [];
  const start = (...more: string[]) => Daemon.start(["master", "--ip=127.0.0.1", `--port=${port}`, `--work_dir=${dir}/master`, ...pages, ...more]);
  const serves = () => until("the master serves", async () => (await fetch(`http://${address}/health`)).ok);
  let master = start();
  await serves();
  const agent = Daemon.start(["slave", "--ip=127.0.0.1", `--port=${await freePort()}`, `--master=${address}`, `--work_dir=${dir}/agent`, `--log_dir=${dir}/agent-logs`]);

  const watched = await open(`http://${address}/`);
  const { page } = watched;
  const picture = (name: string) => shot(page, `story-${name}`);

  // The first page, and the agents: they come by themselves.
  await page.getByRole("heading", { name: "Active Tasks" }).waitFor();
  await picture("01-home");
  await page.getByRole("link", { name: "Agents", exact: true }).click();
  await page.locator("tbody tr").first().waitFor();
  await picture("02-agents");

  // The master is killed: it is said, and what was seen stays.
  await master.stop("SIGKILL");
  await page.getByText(`Failed to connect to ${address}!`).waitFor();
  await page.getByText(/Retrying in \d+ second/).waitFor();
  expect(await page.locator("tbody tr").count()).toBe(1);
  await picture("03-not-connected");
  await album(page, "not-connected");
  master = start();
  await serves();
  await backAgain(page);
  await page.locator("tbody tr").first().waitFor();

  // LOG: first without a log, then with one.
  await page.getByRole("link", { name: "Mesos, the first page" }).click();
  await page.getByRole("link", { name: "LOG" }).click();
  await page.getByText("Logging to a file is not enabled").waitFor();
  await picture("04-no-log");
  await page.getByRole("link", { name: "Close" }).click();
  await master.stop("SIGKILL");
  master = start(`--log_dir=${dir}/logs`);
  await serves();
  await backAgain(page);
  await page.getByRole("link", { name: "LOG" }).click();
  await page.getByText("master serves").first().waitFor();
  await picture("05-log");
  await album(page, "log");

  // Help, and what it says of one endpoint.
  await page.getByRole("link", { name: "Help" }).click();
  await page.getByRole("link", { name: "/logging/toggle", exact: true }).click();
  await page.getByText("TL;DR").waitFor();
  await picture("06-help");
  expect((await fetch(`http://${address}/logging/toggle?level=3&duration=1mins`)).ok).toBe(true);

  // A framework, its tasks, a sandbox, what was written there.
  const running = Daemon.start(["execute", `--master=${address}`, "--name=pi", "--command=echo computing pi >&2; sleep 1000"]);
  await page.getByRole("link", { name: "Frameworks", exact: true }).click();
  const active = page.getByRole("region", { name: "Active Frameworks" });
  await active.locator("tbody tr").first().waitFor();
  await picture("07-frameworks");
  await active.locator("tbody a").first().click();
  await page.getByRole("region", { name: "Active Tasks" }).getByText("RUNNING").waitFor();
  await picture("08-framework");
  await page.getByRole("link", { name: "Sandbox of pi" }).click();
  await page.getByRole("link", { name: "stderr", exact: true }).click();
  await page.getByText("computing pi").waitFor();
  await picture("09-stderr");

  // A task whose program cannot be fetched: its files say why.
  writeFileSync(join(dir, "job.json"), JSON.stringify(lost(dir)));
  const failing = Daemon.start(["execute", `--master=${address}`, `--task=${join(dir, "job.json")}`]);
  await until("the task is over", async () => failing.ended);
  await page.getByRole("link", { name: "Mesos, the first page" }).click();
  const completed = page.getByRole("region", { name: "Completed Tasks" });
  await completed.getByText("FAILED").or(completed.getByText("LOST")).first().waitFor();
  await picture("10-lost");
  await album(page, "lost");
  await completed.getByRole("link", { name: "Sandbox of spark" }).first().click();
  await page.getByRole("link", { name: "stderr", exact: true }).click();
  await page.getByText("spark.tgz").first().waitFor();
  await picture("11-why");
  await album(page, "why");

  // Only what a master that was killed, and a log that is absent, make a browser say.
  const own = watched.faults.filter((fault) => !fault.includes("Failed to load resource"));
  expect(own).toEqual([]);
  await watched.close();
  await Promise.all([running.stop(), agent.stop()]);
  await master.stop();
});

function lost(dir: string) {
  return {
    name: "spark",
    task_id: { value: "spark" },
    agent_id: { value: "" },
    resources: [
      { name: "cpus", type: "SCALAR", scalar: { value: 0.1 } },
      { name: "mem", type: "SCALAR", scalar: { value: 32 } },
    ],
    command: { value: "./spark", uris: [{ value: join(dir, "spark.tgz") }] },
  };
}


/** Another master takes over while a page is open. */

import { afterAll, expect, it } from "vitest";
import { Daemon, closeBrowser, freePort, open, scratch, shot, until } from "./harness";

const ENSEMBLE = process.env.MESOS_ENSEMBLE;

afterAll(closeBrowser);

it.skipIf(!ENSEMBLE)("the page follows the leader", async () => {
  const dir = scratch();
  const pages = process.env.MESOS_WEBUI_DIR ? [`--webui_dir=${process.env.MESOS_WEBUI_DIR}`] : [];
  const ports = [await freePort(), await freePort()] as const;
  const start = (port: number) =>
    Daemon.start(["master", "--ip=127.0.0.1", "--hostname=127.0.0.1", `--port=${port}`, `--zk=${ENSEMBLE}`, "--zk_session_timeout=1secs", `--work_dir=${dir}/${port}`, ...pages]);
  const known = async (port: number) => (await fetch(`http://127.0.0.1:${port}/master/leader`)).json() as Promise<{ leads: boolean; leader: { port: number } | null }>;
  let first = start(ports[0]);
  await until("the first leads", async () => (await known(ports[0])).leads);
  const second = start(ports[1]);
  await until("the second knows", async () => (await known(ports[1])).leader?.port === ports[0]);
  const agent = Daemon.start(["slave", "--ip=127.0.0.1", `--port=${await freePort()}`, `--master=${ENSEMBLE}`, `--work_dir=${dir}/agent`]);

  // A standby sends one on to the leader, to the same page.
  const standby = await open(`http://127.0.0.1:${ports[1]}/#/agents`);
  await standby.page.getByText("This master is not the leader").waitFor();
  await shot(standby.page, "standby");
  await standby.page.getByRole("link", { name: "Go now" }).click();
  await standby.page.waitForURL(`http://127.0.0.1:${ports[0]}/#/agents`);
  await standby.page.locator("tbody tr").first().waitFor();
  await standby.close();

  const watched = await open(`http://127.0.0.1:${ports[0]}/#/agents`);
  const { page } = watched;
  await page.locator("tbody tr").first().waitFor();
  await first.stop("SIGKILL");
  await page.getByText(`Failed to connect to 127.0.0.1:${ports[0]}!`).waitFor();
  expect(await page.locator("tbody tr").count()).toBe(1);
  await until("the second leads", async () => (await known(ports[1])).leads);
  // The first comes back as a standby: the page learns there who leads, and goes to it by itself.
  first = start(ports[0]);
  await until("the first knows", async () => (await known(ports[0])).leader?.port === ports[1]);
  await page.waitForURL(`http://127.0.0.1:${ports[1]}/#/agents`, { timeout: 60_000 });
  await page.locator("tbody tr").first().waitFor({ timeout: 30_000 });
  const own = watched.faults.filter((fault) => !fault.includes("Failed to load resource") && !fault.startsWith("foreign"));
  expect(own).toEqual([]);
  await watched.close();
  await agent.stop();
  await Promise.all([first.stop(), second.stop()]);
}, 120_000);

it("says aloud what it did not try", () => {
  if (!ENSEMBLE) console.warn("failover: SKIPPED, MESOS_ENSEMBLE names no ensemble that masters could elect a leader through");
});

/** Another master takes over while a page is open. */

import { afterAll, expect, it } from "vitest";
import { Daemon, album, closeBrowser, freePort, open, scratch, until } from "./harness";

const ENSEMBLE = process.env.MESOS_ENSEMBLE;

afterAll(closeBrowser);

it.skipIf(!ENSEMBLE)("the page follows the leader", async () => {
  const dir = scratch();
  const pages = process.env.MESOS_WEBUI_DIR ? [`--webui_dir=${process.env.MESOS_WEBUI_DIR}`] : [];
  const ports = [await freePort(), await freePort()] as const;
  const start = (port: number) =>
    Daemon.start(["master", "--ip=127.0.0.1", "--hostname=127.0.0.1", `--port=${port}`, `--zk=${ENSEMBLE}`, "--zk_session_timeout=5secs", `--work_dir=${dir}/${port}`, ...pages]);
  const known = async (port: number) => (await fetch(`http://127.0.0.1:${port}/master/leader`)).json() as Promise<{ leads: boolean; leader: { port: number } | null; masters: { authority: string }[] }>;
  let first = start(ports[0]);
  await until("the first leads", async () => (await known(ports[0])).leads);
  const second = start(ports[1]);
  await until("the second knows", async () => (await known(ports[1])).leader?.port === ports[0]);
  const agent = Daemon.start(["slave", "--ip=127.0.0.1", `--port=${await freePort()}`, `--master=${ENSEMBLE}`, `--work_dir=${dir}/agent`]);

  // A standby sends one on to the leader, to the same page.
  const standby = await open(`http://127.0.0.1:${ports[1]}/#/agents`);
  await standby.page.getByText("This master is not the leader").waitFor();
  await album(standby.page, "standby", { hasty: true });
  await standby.page.getByRole("link", { name: "Go now" }).click();
  await standby.page.waitForURL(`http://127.0.0.1:${ports[0]}/#/agents`);
  await standby.page.locator("tbody tr").first().waitFor();
  await standby.close();

  const watched = await open(`http://127.0.0.1:${ports[0]}/#/agents`);
  const { page } = watched;
  await page.locator("tbody tr").first().waitFor();
  // It is gone for good, and nobody leads at first: the last that was read stays.
  second.process.kill("SIGSTOP");
  await first.stop("SIGKILL");
  await page.getByText(`Failed to connect to 127.0.0.1:${ports[0]}!`).waitFor();
  await page.getByRole("link", { name: `127.0.0.1:${ports[1]}` }).waitFor();
  expect(await page.locator("tbody tr").count()).toBe(1);
  await album(page, "not-connected-others", { hasty: true });
  // The page goes to the next leader by itself.
  second.process.kill("SIGCONT");
  await page.waitForURL(`http://127.0.0.1:${ports[1]}/#/agents`, { timeout: 60_000 });
  await page.locator("tbody tr").first().waitFor({ timeout: 30_000 });
  // A standby that comes while the page is open is one to go to as well.
  first = start(ports[0]);
  await until("the leader knows both", async () => (await known(ports[1])).masters.length === 2);
  await second.stop("SIGKILL");
  await page.waitForURL(`http://127.0.0.1:${ports[0]}/#/agents`, { timeout: 60_000 });
  await page.locator("tbody tr").first().waitFor({ timeout: 30_000 });
  const own = watched.faults.filter((fault) => !fault.includes("Failed to load resource") && !fault.startsWith("foreign"));
  expect(own).toEqual([]);
  await watched.close();
  await agent.stop();
  await first.stop();

  // Who may read where the leader is: pages of masters, and of no other site.
  const third = start(ports[0]);
  await until("it knows itself", async () => (await known(ports[0])).masters.length === 1);
  const asked = (origin: string) => fetch(`http://127.0.0.1:${ports[0]}/master/leader`, { headers: { Origin: origin } });
  expect((await asked(`http://127.0.0.1:${ports[0]}`)).headers.get("access-control-allow-origin")).toBe(`http://127.0.0.1:${ports[0]}`);
  expect((await asked("http://elsewhere.example")).headers.get("access-control-allow-origin")).toBeNull();
  await third.stop();
}, 180_000);

it("a standby that knows no leader says so", async () => {
  const [port, nobody] = [await freePort(), await freePort()];
  const master = Daemon.start(["master", "--ip=127.0.0.1", "--hostname=127.0.0.1", `--port=${port}`, `--zk=zk://127.0.0.1:${nobody}/mesos`, `--work_dir=${scratch()}`]);
  await until("it serves", async () => (await fetch(`http://127.0.0.1:${port}/health`)).status > 0);
  const { page, close } = await open(`http://127.0.0.1:${port}/`);
  await page.getByText("No master is currently leading").waitFor();
  await album(page, "no-leader");
  await close();
  await master.stop();
});

it("says aloud what it did not try", () => {
  if (!ENSEMBLE) console.warn("failover: SKIPPED, MESOS_ENSEMBLE names no ensemble that masters could elect a leader through");
});

/** Apache Mesos 1.11's own pages, unchanged, on our endpoints: the same numbers as ours. They are not kept here. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, expect, it } from "vitest";
import { Cluster, closeBrowser, open, shot, until } from "./harness";

const APACHE = process.env.MESOS_APACHE_WEBUI;
const THERE = APACHE !== undefined && existsSync(join(APACHE, "app/controllers.js"));

afterAll(closeBrowser);

/** Our pages on a master that serves others: what would come from the binary comes from the folder. */
async function ours(page: Page, url: string): Promise<void> {
  const dist = resolve("dist");
  await page.route(`${url}*`, async (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname === "/") await route.fulfill({ path: join(dist, "index.html") });
    else await route.fallback();
  });
  for (const folder of ["app", "assets"]) {
    await page.route(`${url}${folder}/**`, (route) => route.fulfill({ path: join(dist, new URL(route.request().url()).pathname) }));
  }
}

it.skipIf(!THERE)("both show the same", async () => {
  const cluster = await Cluster.start([`--webui_dir=${APACHE}`, "--cluster=both"], 3);
  const failing = cluster.execute("fails", "exit 1");
  const ending = cluster.execute("ends", "true");
  await until("two have ended", async () => failing.ended && ending.ended);
  for (const name of ["one", "two"]) cluster.execute(name, "sleep 1000");
  const { agent } = await cluster.running("one");
  await cluster.running("two");

  const theirs = await open(cluster.url);
  const well = async (name: string) => (await theirs.page.locator(".well tr", { has: theirs.page.getByText(name, { exact: true }) }).first().locator("td").last().textContent())?.trim();
  await until("they know the tasks", async () => (await well("Running")) === "2");

  const own = await open("about:blank");
  await ours(own.page, cluster.url);
  await own.page.goto(cluster.url);
  const number = async (card: string, name: string) =>
    (await own.page.locator(".card", { has: own.page.getByRole("heading", { name: card, exact: true }) }).locator(".numbers > div", { has: own.page.getByText(name, { exact: true }) }).locator("dd").textContent())?.trim();
  await own.page.getByText("Active Tasks").waitFor();

  for (const name of ["Activated", "Deactivated", "Unreachable"]) expect(await number("Agents", name), name).toBe(await well(name));
  for (const name of ["Staging", "Starting", "Running", "Killing", "Finished", "Killed", "Failed", "Lost"]) expect(await number("Tasks", name), name).toBe(await well(name));
  await shot(theirs.page, "apache-home");

  const rows = (page: Page) => page.locator("tbody tr:visible").count();
  for (const [hash, count] of [
    ["#/agents", 3],
    ["#/frameworks", 4],
  ] as const) {
    for (const page of [theirs.page, own.page]) {
      await page.evaluate((to) => (location.hash = to), hash);
      await until(`${hash} has ${count} rows`, async () => (await rows(page)) === count);
    }
  }
  // Its pages of one agent ask the agent itself, by script.
  await theirs.page.evaluate((to) => (location.hash = to), `#/agents/${agent}`);
  await theirs.page.getByText("Resource Reservations").waitFor();
  await theirs.page.locator("tbody a", { hasText: "-000" }).first().click();
  await theirs.page.locator("tbody a", { hasText: "Sandbox" }).first().click();
  await theirs.page.getByRole("link", { name: "stdout" }).waitFor();
  await shot(theirs.page, "apache-sandbox");
  expect(own.faults.filter((fault) => !fault.startsWith("foreign"))).toEqual([]);
  // Its own fault: it stumbles over paths that have a name twice.
  expect(theirs.faults.filter((fault) => !fault.startsWith("foreign") && !fault.includes("ngRepeat:dupes"))).toEqual([]);
  await Promise.all([own.close(), theirs.close()]);
  await cluster.stop();
}, 120_000);

it("says aloud what it did not try", () => {
  if (!THERE) console.warn("apache: SKIPPED, MESOS_APACHE_WEBUI does not name the folder src/webui of Apache Mesos 1.11");
});

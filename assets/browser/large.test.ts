/** Thousands of agents and tasks: the pages stay quick, and what they cost is printed. */

import type { Page } from "playwright-core";
import { afterAll, expect, it } from "vitest";
import { closeBrowser, open, shot, sideways, unreachable, until } from "./harness";

const LARGE = process.env.MESOS_LARGE;

afterAll(closeBrowser);

/** Scrolls down a screen at a time, and says how long the slowest frame took. */
function scrolled(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((done) => {
        let [before, slowest] = [performance.now(), 0];
        const frame = (now: number) => {
          slowest = Math.max(slowest, now - before);
          before = now;
          const y = scrollY;
          scrollBy(0, innerHeight / 4);
          if (scrollY === y) done(Math.round(slowest));
          else requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
      }),
  );
}

it.skipIf(!LARGE)("a large cluster can be looked at", async () => {
  const url = LARGE ?? "";
  const state = (await (await fetch(`${url}state-summary`)).json()) as { slaves: unknown[]; frameworks: { id: string; TASK_RUNNING: number }[] };
  const agents = state.slaves.length;
  const tasks = state.frameworks.reduce((sum, one) => sum + one.TASK_RUNNING, 0);
  const figures: [string, string][] = [["cluster", `${agents} agents, ${tasks} tasks`]];

  // The browser's own start is not what is looked at.
  await (await open("about:blank")).close();
  const began = performance.now();
  const watched = await open(url);
  const { page } = watched;
  // Emulated agents serve nothing that could be read through the master.
  await page.route("**/master/agent/**", (route) => route.fulfill({ status: 502, body: "it is emulated" }));
  const table = page.getByRole("region", { name: "Active Tasks" });
  await table.locator("tbody tr").nth(19).waitFor();
  figures.push(["first page", `${Math.round(performance.now() - began)} ms`]);
  expect(await table.locator(".count").first().textContent()).toBe(tasks.toLocaleString("en-US"));
  await shot(page, "large-home");

  const step = async (name: string, act: () => Promise<unknown>) => {
    const start = performance.now();
    await act();
    figures.push([name, `${Math.round(performance.now() - start)} ms`]);
  };
  await step("last page of the tasks", async () => {
    await table.getByRole("button", { name: "Next" }).waitFor();
    await table.locator(".pager button").nth(-2).click();
    await table.getByText(`of ${tasks.toLocaleString("en-US")}`).waitFor();
    await until("it is the last", async () => (await table.getByRole("button", { name: "Next" }).isDisabled()) === true);
  });
  // All of them can be reached, and the address says where one is.
  const last = Math.ceil(tasks / 20);
  const range = `${((last - 1) * 20 + 1).toLocaleString("en-US")}–${tasks.toLocaleString("en-US")} of ${tasks.toLocaleString("en-US")}`;
  expect(await table.locator("footer").textContent()).toContain(range);
  expect(await table.locator("tbody tr").count()).toBe(tasks - (last - 1) * 20);
  expect(page.url()).toContain(`active.page=${last}`);
  await step("500 rows", async () => {
    await table.getByLabel("Rows").selectOption("500");
    await until("they are drawn", async () => (await table.locator("tbody tr").count()) === Math.min(500, tasks));
  });
  figures.push(["longest frame while those are scrolled", `${await scrolled(page)} ms`]);
  await table.getByLabel("Rows").selectOption("20");
  await step("order by id", async () => {
    await table.getByRole("button", { name: "Task ID", exact: true }).click();
    await until("it is ordered", async () => page.url().includes("active.sort=id"));
    await table.locator("tbody tr").first().waitFor();
  });
  await step("find", async () => {
    await table.getByRole("searchbox").fill("agent-0-17.");
    await until("few are left", async () => (await table.locator("tbody tr").count()) < 20);
  });
  await step("search everything", async () => {
    await page.locator("h1").focus();
    await page.keyboard.press("/");
    await page.keyboard.type("agent-0-4242");
    await page.getByRole("option", { name: /agent-0-4242/ }).first().waitFor();
    await page.keyboard.press("Escape");
  });
  await step("map of agents", async () => {
    await page.evaluate(() => (location.hash = "#/agents?view=map"));
    await until("all are drawn", async () => (await page.locator(".cells a").count()) === agents);
  });
  await shot(page, "large-map", false);
  expect(await sideways(page)).toBeLessThanOrEqual(0);
  await step("agents", async () => {
    await page.evaluate(() => (location.hash = "#/agents?agents.sort=-tasks"));
    await page.locator("tbody tr").nth(49).waitFor();
  });

  // Every other page, too: drawn, not wider than its window, and without a fault.
  const framework = state.frameworks[0]?.id ?? "";
  for (const [name, hash, text] of [
    ["frameworks", "#/frameworks", "Active Frameworks"],
    ["framework", `#/frameworks/${framework}`, "Active Tasks"],
    ["roles", "#/roles", "Quota Consumption"],
    ["offers", "#/offers", "Outstanding Offers"],
    ["maintenance", "#/maintenance", "No maintenance is scheduled."],
    ["help", "#/help", "/master/state"],
  ] as const) {
    await step(name, async () => {
      await page.evaluate((to) => (location.hash = to), hash);
      await page.getByText(text).first().waitFor();
    });
    expect(await sideways(page), name).toBeLessThanOrEqual(0);
    expect(await unreachable(page), name).toEqual([]);
  }
  await page.evaluate((to) => (location.hash = to), `#/frameworks/${framework}`);
  await step("a task", async () => {
    await table.locator("tbody a").first().click();
    await page.getByText("History").waitFor();
  });
  // Its agent shows no state: that is said.
  await page.locator(".facts a[href^='#/agents/']").first().click();
  await page.getByText("The agent could not be asked").waitFor();
  const faults = watched.faults.filter((fault) => !fault.includes("/master/agent/"));

  // What an open page costs while nothing happens, and what it holds.
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Performance.enable");
  let received = 0;
  session.on("Network.dataReceived", ({ encodedDataLength, dataLength }) => (received += encodedDataLength || dataLength));
  const seconds = Number(process.env.MESOS_IDLE ?? 0);
  if (seconds > 0) {
    await new Promise((done) => setTimeout(done, seconds * 1000));
    figures.push([`received in ${seconds} idle seconds`, `${received} bytes`]);
  }
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const heap = metrics.find((one) => one.name === "JSHeapUsedSize")?.value ?? 0;
  figures.push(["memory of scripts", `${(heap / 1048576).toFixed(0)} MiB`]);
  expect(heap / (agents + tasks), "bytes for each agent or task").toBeLessThan(4096);

  const whole = await fetch(`${url}master/overview`, { headers: { "Accept-Encoding": "identity" } });
  figures.push(["/master/overview", `${((await whole.arrayBuffer()).byteLength / 1048576).toFixed(1)} MiB plain`]);
  const real = await fetch(`${url}state`, { headers: { "Accept-Encoding": "identity" } });
  // Source: `app.js` and `controllers.js` of Apache Mesos 1.11: how often a page of so many agents reads all.
  const steps = [[500, 10], [1000, 20], [5000, 60], [10_000, 120], [15_000, 240], [20_000, 480]] as const;
  const period = steps.find(([most]) => agents < most)?.[1] ?? 960;
  figures.push([`/state, which a page of Apache Mesos reads every ${period} s`, `${((await real.arrayBuffer()).byteLength / 1048576).toFixed(1)} MiB plain`]);
  console.info(figures.map(([name, value]) => `  ${name}: ${value}`).join("\n"));
  expect(faults).toEqual([]);
  await watched.close();
}, 240_000);

it("says aloud what it did not try", () => {
  if (!LARGE) console.warn("large: SKIPPED, MESOS_LARGE names no master with thousands of agents");
});

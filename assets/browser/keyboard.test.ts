/** Everything can be done without a mouse. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { Cluster, closeBrowser, open, until } from "./harness";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start([], 1);
  cluster.execute("sleeper", "sleep 1000");
  await cluster.running("sleeper");
});
afterAll(async () => {
  await cluster.stop();
  await closeBrowser();
});

it("keys lead everywhere", async () => {
  const watched = await open(cluster.url);
  const { page } = watched;
  const key = (name: string) => page.keyboard.press(name);
  await page.getByText("Active Tasks").waitFor();
  const title = (text: string) => page.getByRole("heading", { level: 1, name: text }).waitFor();

  await key("g");
  await key("a");
  await title("Agents");
  await key("g");
  await key("h");
  await title("Cluster");

  // Search, choose, arrive.
  await key("/");
  await page.keyboard.type("sleep");
  await page.getByRole("option", { selected: true }).waitFor();
  expect(await page.getByRole("combobox").inputValue()).toBe("sleep");
  await key("ArrowDown");
  await key("ArrowUp");
  await key("Enter");
  await title("Task sleeper");
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("H1");

  // Escape leaves the search.
  await key("/");
  await page.getByRole("combobox").waitFor();
  await key("Escape");
  expect(await page.getByRole("combobox").count()).toBe(0);

  // On with Tab until the button is reached; the focus can be seen on the way.
  const reached = async (label: string) => {
    for (let step = 0; step < 60; step++) {
      await key("Tab");
      const found = await page.evaluate(() => document.activeElement?.textContent?.trim() ?? "");
      if (found === label) return;
    }
    throw new Error(`Tab never leads to ${label}`);
  };
  await reached("Kill");
  expect(await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle)).not.toBe("none");
  await key("Enter");
  await page.getByRole("dialog").waitFor();
  await reached("Kill the task");
  await key("Enter");
  await page.getByText("KILLED").first().waitFor();

  // Times change for all.
  await key("t");
  await until("times are exact", async () => /\d{4}-\d\d-\d\dT/.test((await page.locator("time").first().textContent()) ?? ""));
  await key("t");
  expect(watched.faults).toEqual([]);
  await watched.close();
});

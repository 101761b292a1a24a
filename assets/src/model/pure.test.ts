import { describe, expect, it } from "vitest";
import { spans } from "./ansi";
import { read as readHelp } from "./help";
import { natural, pages, sorted, found } from "./order";
import { type Pail, PAGE, after, appended, before, blocks, first, parted, plain, prepended } from "./pail";
import { steps } from "./paths";
import { read as readRoles, shown, tree } from "./roles";
import { isOfMasters, link, parse, setMasters } from "./route";
import { bytes, duration, iso, megabytes, relative, safeUrl, sentence, share, short } from "./text";
import { History, PressureHistory } from "./usage";

describe("routes", () => {
  it("are those of Apache Mesos, and ours", () => {
    const of = (hash: string) => [parse(hash).name, parse(hash).params];
    expect(of("")).toEqual(["home", {}]);
    expect(of("#/")).toEqual(["home", {}]);
    expect(of("#/slaves/S0")).toEqual(["agent", { agent: "S0" }]);
    expect(of("#/agents/S0/frameworks/F/executors/e%2F1/tasks/t/browse")).toEqual(["taskBrowse", { agent: "S0", framework: "F", executor: "e/1", task: "t" }]);
    expect(of("#/agents/S0/browse?path=%2Fa%20b")).toEqual(["agentBrowse", { agent: "S0" }]);
    expect(parse("#/agents/S0/browse?path=%2Fa%20b").query.get("path")).toBe("/a b");
    expect(of("#/nonsense/x")).toEqual([undefined, {}]);
    expect(of("#/agents/%zz")).toEqual(["agent", { agent: "%zz" }]);
  });

  it("lead back to what they were made of", () => {
    const hash = link("executor", { agent: "a b", framework: "F/1", executor: "é?#" }, { find: "x&y", page: undefined });
    const place = parse(hash);
    expect(place.params).toEqual({ agent: "a b", framework: "F/1", executor: "é?#" });
    expect(Object.fromEntries(place.query)).toEqual({ find: "x&y" });
  });
});

describe("tables", () => {
  it("sort as people count", () => {
    const ids = ["task-59", "task-9", "Task-10", "task-1", "task-100", "a", "task-1000000000000", "task-09"];
    expect(sorted(ids, (id) => id, false)).toEqual(["a", "task-1", "task-9", "task-09", "Task-10", "task-59", "task-100", "task-1000000000000"]);
    expect(natural("a2b") < natural("a10b")).toBe(true);
    expect(sorted([3, null, 1, 2], (one) => one, true)).toEqual([3, 2, 1, null]);
    expect(sorted([3, null, 1, 2], (one) => one, false)).toEqual([1, 2, 3, null]);
  });

  it("find every word", () => {
    const rows = ["web one", "web two", "batch"];
    expect(found(rows, (row) => [row], "TWO web")).toEqual(["web two"]);
    expect(found(rows, (row) => [row], " ")).toBe(rows);
  });

  it("offer pages", () => {
    expect(pages(1, 1)).toEqual([1]);
    expect(pages(1, 5)).toEqual([1, 2, 0, 5]);
    expect(pages(3, 5)).toEqual([1, 2, 3, 4, 5]);
    expect(pages(50, 100)).toEqual([1, 0, 49, 50, 51, 0, 100]);
  });
});

describe("texts", () => {
  it("makes sentences of reasons", () => {
    expect(["it cannot be reached", "Done.", "why?", ""].map(sentence)).toEqual(["It cannot be reached.", "Done.", "Why?", "."]);
  });

  it("of times, past and to come", () => {
    const now = 1_000_000_000;
    expect(relative(now - 2, now)).toBe("just now");
    expect(relative(now - 65, now)).toBe("a minute ago");
    expect(relative(now - 150, now)).toBe("2 minutes ago");
    expect(relative(now + 3600, now)).toBe("in an hour");
    expect(relative(now - 3 * 86_400, now)).toBe("3 days ago");
    expect(relative(now - 6 * 365.25 * 86_400, now)).toBe("6 years ago");
    expect(iso(0.5)).toBe("1970-01-01T00:00:00Z");
    expect(iso(1e300)).toBe("");
    expect(duration(4830)).toBe("1 h 20 min");
    expect(duration(0.0123)).toBe("12 ms");
  });

  it("of sizes and ids", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(1536)).toBe("1.5 kB");
    expect(megabytes(4096)).toBe("4.0 GB");
    expect(short("36c7a176-bd41-4fb0-9e1f-e0203f022501-S12")).toBe("…e0203f022501-S12");
    expect(short("my-task")).toBe("my-task");
    expect(share({ cpus: 1, gpus: 0, mem: 512, disk: 0 }, { cpus: 4, gpus: 0, mem: 1024, disk: 0 })).toBe(0.5);
    expect(safeUrl("javascript:alert(1)")).toBeUndefined();
    expect(safeUrl("http://h:1/")).toBe("http://h:1/");
  });
});

describe("a file", () => {
  const chunk = (start: number, text: string) => ({ start, end: start + text.length, text });

  it("is read from its end, backwards and on", () => {
    expect(first(10)).toEqual({ offset: 0, length: 10 });
    expect(first(PAGE + 5)).toEqual({ offset: 5, length: PAGE });
    let pail: Pail = [chunk(100, "b\n")];
    expect(before(pail)).toEqual({ offset: 0, length: 100 });
    expect(after(pail, 102)).toBeUndefined();
    expect(after(pail, 50)).toBe("cut");
    expect(after(pail, 105)).toEqual({ offset: 102, length: 3 });
    pail = appended(pail, chunk(102, "cd\n"));
    expect(pail).toEqual([{ start: 100, end: 105, text: "b\ncd\n" }]);
    pail = prepended(pail, { start: 0, end: 100, text: "a\nx" });
    expect(before(pail)).toBeUndefined();
    expect(blocks(pail).map((block) => block.lines)).toEqual([["a"], ["xb", "cd"]]);
  });

  it("is held within a bound", () => {
    let pail: Pail = [];
    for (let at = 0; at < 50; at++) pail = appended(pail, { start: at * PAGE, end: (at + 1) * PAGE, text: "" }, 10 * PAGE);
    expect([pail.length, pail[0]?.start]).toEqual([10, 40 * PAGE]);
    pail = prepended(pail, { start: 39 * PAGE, end: 40 * PAGE, text: "" }, 10 * PAGE);
    expect([pail.length, pail[0]?.start, pail.at(-1)?.end]).toEqual([10, 39 * PAGE, 49 * PAGE]);
  });

  it("is shown without what only terminals read", () => {
    expect(plain("\u001b[31mred\u001b[0m <b>\r")).toBe("red <b>");
    expect(plain("10%\r20%\r30%")).toBe("30%");
    expect(spans("\u001b[1;31mred\u001b[0m plain\u001b[2K")).toEqual([
      { text: "red", classes: "fg-ansi-red ansi-bold" },
      { text: " plain", classes: "" },
    ]);
    expect(spans("<img src=x>")).toEqual([{ text: "<img src=x>", classes: "" }]);
    expect(spans("\u001b[38;2;1;2;3mx\u001b[0m")[0]?.classes).toBe("");
    expect(parted("aXbx", "x")).toEqual(["a", "X", "b", "x", ""]);
  });

  it("knows the way up, also where names come twice", () => {
    const run = "/var/lib/mesos/slaves/S0/frameworks/F/executors/e/runs/u";
    expect(steps(`${run}/work/x/work`).map((step) => step.label)).toEqual(["sandbox", "work", "x", "work"]);
    expect(steps(`${run}/work/x/work`)[1]?.path).toBe(`${run}/work`);
    expect(steps("/slave/log")).toEqual([{ label: "/slave/log", path: "/slave/log" }]);
  });
});

describe("roles", () => {
  it("are a tree", () => {
    const roots = tree(readRoles({ roles: [{ name: "b" }, { name: "a/x/10" }, { name: "a/x/9" }, { name: "a" }] }));
    const names = (closed: string[]) => shown(roots, new Set(closed)).map((node) => `${node.depth}${node.label}${node.role ? "" : "?"}`);
    expect(names([])).toEqual(["0a", "1x?", "29", "210", "0b"]);
    expect(names(["a"])).toEqual(["0a", "0b"]);
  });
});

describe("usage", () => {
  it("is time between two measurements", () => {
    const history = new History(3);
    const at = (timestamp: number, secs: number) => [{ framework_id: "F", executor_id: "e", statistics: { timestamp, cpus_user_time_secs: secs, mem_rss_bytes: 7 } }];
    history.add(at(10, 1));
    expect(history.latest("F/e")?.cpus).toBeNull();
    history.add(at(12, 2));
    history.add(at(12, 2));
    expect(history.latest("F/e")).toMatchObject({ cpus: 0.5, mem: 7 });
    expect(history.sum(["F/e", "F/none"])).toEqual({ cpus: 0.5, mem: 7, disk: 0 });
    for (let time = 13; time < 20; time++) history.add(at(time, 2));
    expect(history.points.get("F/e")?.length).toBe(3);
    history.add([]);
    expect(history.points.size).toBe(0);
  });
});

describe("help", () => {
  it("is heads, code and text", () => {
    const text = "### USAGE ###\n>        /state\n>        /master/state\n\n### TL;DR; ###\nShows all.\n\n### DESCRIPTION ###\nMuch\nmore.\n\nEnd.";
    expect(readHelp(text)).toEqual([
      { kind: "head", text: "USAGE" },
      { kind: "code", text: "/state\n/master/state" },
      { kind: "head", text: "TL;DR;" },
      { kind: "text", text: "Shows all." },
      { kind: "head", text: "DESCRIPTION" },
      { kind: "text", text: "Much more." },
      { kind: "text", text: "End." },
    ]);
  });
});

describe("pressure", () => {
  it("is kept for a while, of the machine and of executors that tell it", () => {
    const history = new PressureHistory(2);
    const at = (avg10: number) => ({ some: { avg10 } });
    for (const [time, share] of [[1, 10], [2, 20], [3, 30]] as const) {
      history.add(time, { machine: { cpu: at(share), io: {} }, executors: [{ framework_id: "f", executor_id: "e", pressure: { memory: at(share) } }] });
    }
    expect(history.machine).toEqual([
      { at: 2, cpu: 20, memory: null, io: null },
      { at: 3, cpu: 30, memory: null, io: null },
    ]);
    expect(history.of("f/e").at(-1)).toEqual({ at: 3, cpu: null, memory: 30, io: null });
    // An executor that is gone leaves nothing, and a kernel that tells nothing makes no points.
    history.add(4, { machine: {}, executors: [] });
    expect([history.of("f/e").length, history.machine.length]).toEqual([0, 2]);
  });
});

describe("the pages of an agent", () => {
  it("lead to the master for what only that has", () => {
    setMasters("http://m:5050/");
    expect(link("framework", { framework: "f" })).toBe("http://m:5050/#/frameworks/f");
    expect(link("executor", { agent: "a", framework: "f", executor: "e" })).toBe("#/agents/a/frameworks/f/executors/e");
    expect([isOfMasters("agents"), isOfMasters("agent")]).toEqual([true, false]);
    setMasters("");
    expect(link("agents")).toBe("#/agents");
  });
});

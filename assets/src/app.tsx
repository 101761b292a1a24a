/** The frame of every page: bar, search, what is said when the master is gone, and the page of the address. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Name, type Place, isOfMasters, link } from "./model/route";
import { AgentPage } from "./pages/agent";
import { AgentFrameworkPage } from "./pages/agentFramework";
import { Agents } from "./pages/agents";
import { BrowsePage, SandboxPage } from "./pages/browse";
import { ExecutorPage } from "./pages/executor";
import { FilePage, LogPage } from "./pages/file";
import { FrameworkPage } from "./pages/framework";
import { Frameworks } from "./pages/frameworks";
import { HelpIndex, HelpPage } from "./pages/help";
import { Home } from "./pages/home";
import { MaintenancePage } from "./pages/maintenance";
import { OffersPage } from "./pages/offers";
import { RolesPage } from "./pages/roles";
import { TaskPage } from "./pages/task";
import { Connection, Standing } from "./ui/connection";
import { FaultNote, Icon, Page } from "./ui/kit";
import { Search, call, takes } from "./ui/search";
import { cluster, elsewhere, home, isStale, place, revision, said, status, theme, times, toggleTimes } from "./ui/state";

const NAV: [Name, string, string][] = [
  ["frameworks", "Frameworks", "f"],
  ["agents", "Agents", "a"],
  ["roles", "Roles", "r"],
  ["offers", "Offers", "o"],
  ["maintenance", "Maintenance", "m"],
  ["help", "Help", "e"],
];

/** Of an agent's own pages; what is called otherwise is with its master. */
const NAV_OF_AGENT: [Name, string, string][] = [
  ["home", "Agent", "h"],
  ["help", "Help", "e"],
];

export function App(): JSX.Element {
  const [searching, setSearching] = useState(false);
  useKeys(() => setSearching(true));
  useArrival();
  const known = cluster.value;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.querySelector<HTMLElement>("main h1")?.focus())}>
        To the page
      </a>
      <Bar search={() => setSearching(true)} />
      <Connection />
      <main id="main" class={known && isStale.value ? "stale" : ""}>
        {known ? <Content place={place.value} /> : <First />}
      </main>
      {searching && known && <Search close={() => setSearching(false)} />}
      <p class="unseen" role="status">
        {said.value}
      </p>
    </>
  );
}

function First(): JSX.Element | null {
  if (status.value.kind === "standby") return <Standing known={status.value.known} />;
  return status.value.kind === "connecting" ? <p class="none first">Reading the cluster…</p> : null;
}

function Content({ place: { name, params } }: { place: Place }): JSX.Element {
  const get = (key: string) => params[key] ?? "";
  if (home.value && name !== undefined && isOfMasters(name)) return <OfMasters />;
  switch (name) {
    case "home":
      return home.value ? <AgentPage agent={[...(cluster.value?.agents.keys() ?? [])][0] ?? ""} /> : <Home />;
    case "frameworks":
      return <Frameworks />;
    case "framework":
      return <FrameworkPage framework={get("framework")} />;
    case "task":
      return <TaskPage framework={get("framework")} task={get("task")} />;
    case "agents":
      return <Agents />;
    case "agent":
      return <AgentPage agent={get("agent")} />;
    case "agentBrowse":
      return <BrowsePage agent={get("agent")} />;
    case "agentFile":
      return <FilePage agent={get("agent")} />;
    case "agentFramework":
      return <AgentFrameworkPage agent={get("agent")} framework={get("framework")} />;
    case "executor":
      return <ExecutorPage agent={get("agent")} framework={get("framework")} executor={get("executor")} />;
    case "executorBrowse":
    case "taskBrowse":
      return <SandboxPage agent={get("agent")} framework={get("framework")} executor={get("executor")} task={params.task} />;
    case "roles":
      return <RolesPage />;
    case "offers":
      return <OffersPage />;
    case "maintenance":
      return <MaintenancePage />;
    case "log":
      return <LogPage />;
    case "help":
      return <HelpIndex />;
    case "helpPage":
      return <HelpPage process={get("process")} endpoint={get("endpoint")} />;
    case undefined:
      return (
        <Page title="No such page" crumbs={[{ kind: "Master", href: link("home") }]}>
          <FaultNote title="There is no page at this address">
            <code>{location.hash}</code> – <a href={link("home")}>to the first page</a>
          </FaultNote>
        </Page>
      );
  }
}

/** What an agent does not know of. */
function OfMasters(): JSX.Element {
  const leader = home.value?.leader;
  return (
    <Page title="A page of the master" crumbs={[{ kind: "Master" }, { kind: "Agent", text: home.value?.hostname, href: link("home") }]}>
      <p class="note">
        This is an agent: it shows what runs on it.{" "}
        {leader ? (
          <>
            The rest is at the master: <a href={elsewhere(leader.authority)}>{leader.authority}</a>
          </>
        ) : (
          "The rest is at the master, but this agent knows of none that leads now."
        )}
      </p>
    </Page>
  );
}

const THEMES = ["auto", "light", "dark"] as const;

function Bar({ search }: { search: () => void }): JSX.Element {
  void revision.value;
  const [open, setOpen] = useState(false);
  const here = place.value.name ?? "home";
  const section = here.startsWith("agent") || here.endsWith("Browse") || here === "executor" ? "agents" : here.startsWith("framework") || here === "task" ? "frameworks" : here.startsWith("help") ? "help" : here;
  const next = THEMES[(THEMES.indexOf(theme.value as (typeof THEMES)[number]) + 1) % THEMES.length] ?? "auto";
  useEffect(() => setOpen(false), [place.value]);
  const master = cluster.value?.master;
  const agent = home.value;
  const authority = agent ? `${agent.hostname}:${agent.port}` : master ? `${master.hostname}:${master.port}` : "";
  return (
    <header class="bar">
      <a class="logo" href={link("home")} aria-label="Mesos, the first page">
        <img src="assets/mesos.svg" alt="" width="26" height="26" />
        <span>Mesos</span>
      </a>
      <button type="button" class="menu" aria-expanded={open} aria-controls="nav" aria-label="Menu" onClick={() => setOpen(!open)}>
        <Icon name="menu" />
      </button>
      <nav id="nav" aria-label="Pages" class={open ? "open" : ""}>
        {(agent ? NAV_OF_AGENT : NAV).map(([name, label]) => (
          <a key={name} href={link(name)} title={name === "agents" ? "Agents, once called slaves" : undefined} aria-current={section === name || (agent && name === "home" && section === "agents") ? "page" : undefined}>
            {label}
          </a>
        ))}
        {agent?.leader && <a href={elsewhere(agent.leader.authority, "#/")}>To the master</a>}
      </nav>
      {!agent && (
        <button type="button" class="search" onClick={search} aria-keyshortcuts="/" aria-label="Search">
          <Icon name="search" />
          <span>Search</span>
          <kbd>/</kbd>
        </button>
      )}
      <button type="button" class="icon-button" title={times.value === "relative" ? "Show exact times (t)" : "Show times as ages (t)"} aria-label="Change how times are shown" aria-pressed={times.value === "absolute"} onClick={toggleTimes}>
        <Icon name="clock" />
      </button>
      <button type="button" class="icon-button" title={`Theme: ${theme.value}`} aria-label={`Theme: ${theme.value}; change to ${next}`} onClick={() => (theme.value = next)}>
        <Icon name={theme.value === "dark" ? "moon" : theme.value === "light" ? "sun" : "auto"} />
      </button>
      <span class="where" title={authority || undefined}>
        <i class={`dot ${status.value.kind}`} aria-hidden="true" />
        <span>{master?.cluster || authority}</span>
        <span class="unseen">{status.value.kind}</span>
      </span>
    </header>
  );
}

/** One comes to a page at its top, and its name is read. */
function useArrival(): void {
  const last = useRef("");
  useEffect(() => {
    const { name, params } = place.value;
    const key = JSON.stringify([name, params]);
    if (last.current && key !== last.current) {
      scrollTo(0, 0);
      document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
    }
    last.current = key;
  }, [place.value]);
  useEffect(() => {
    const title = document.querySelector("main h1")?.textContent;
    const name = cluster.value?.master.cluster;
    document.title = [title, name, "Mesos"].filter(Boolean).join(" · ");
  });
}

function useKeys(search: () => void): void {
  useEffect(() => {
    let going = 0;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as HTMLElement | null;
      if (target?.closest("input, select, textarea, dialog")) return;
      if (takes(event.key)) event.preventDefault();
      else if (event.key === "/" && cluster.peek() && !home.peek()) {
        event.preventDefault();
        call();
        search();
      } else if (event.key === "t") toggleTimes();
      else if (event.key === "g") going = Date.now();
      else if (Date.now() - going < 1500) {
        going = 0;
        const name = event.key === "h" ? "home" : (home.peek() ? NAV_OF_AGENT : NAV).find(([, , key]) => key === event.key)?.[0];
        if (name) location.hash = link(name);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

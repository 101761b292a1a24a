import type { JSX } from "preact";
import { link } from "../model/route";
import { isFolder, nameOf, steps } from "../model/paths";
import { bytes } from "../model/text";
import { type FileInfo, agentState, executorOf, sandboxOf } from "../net/agent";
import { json, ofAgent } from "../net/http";
import { FaultNote, Icon, Page, Time } from "../ui/kit";
import { useCluster, usePolled } from "../ui/hooks";
import { place } from "../ui/state";
import { type Column, Table } from "../ui/table";

/** A folder that its path names. */
export function BrowsePage({ agent }: { agent: string }): JSX.Element {
  const path = place.value.query.get("path") ?? "";
  return path ? (
    <Folder agent={agent} path={path} crumbs={[]} />
  ) : (
    <Page title="Files" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Agent", text: agent, href: link("agent", { agent }) }, { kind: "Files" }]}>
      <FaultNote title="No path is given">The address says no path of a folder.</FaultNote>
    </Page>
  );
}

/** The sandbox of an executor or of one of its tasks: only the agent knows where it is. */
export function SandboxPage({ agent, framework, executor, task }: { agent: string; framework: string; executor: string; task?: string | undefined }): JSX.Element {
  const cluster = useCluster();
  const known = cluster.agents.get(agent);
  const polled = usePolled(
    known ? `sandbox ${agent} ${framework} ${executor}` : undefined,
    async (signal) => executorOf(await agentState(agent, signal), framework, executor) ?? null,
    15_000,
  );
  const crumbs = [
    { kind: "Framework", text: cluster.framework(framework)?.name || framework, href: link("agentFramework", { agent, framework }) },
    { kind: task === undefined ? "Executor" : "Task", text: task ?? executor, href: task === undefined ? link("executor", { agent, framework, executor }) : link("task", { framework, task }) },
  ];
  const wanted = place.value.query.get("path");
  if (polled.value) return <Folder agent={agent} path={wanted ?? sandboxOf(polled.value, task)} crumbs={crumbs} />;
  return (
    <Page title="Sandbox" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Agent", text: known?.hostname ?? agent, href: link("agent", { agent }) }, ...crumbs, { kind: "Sandbox" }]}>
      {!known ? (
        <FaultNote title="The agent is not registered">
          Its files can be read only while it is: <code>{agent}</code>
        </FaultNote>
      ) : polled.fault ? (
        <FaultNote title="The agent could not be asked">{polled.fault}</FaultNote>
      ) : polled.value === null ? (
        <FaultNote title="The agent knows no such sandbox">
          <code>{executor}</code> never ran there, or it is forgotten and its files are gone.
        </FaultNote>
      ) : (
        <p class="none">Looking for the sandbox…</p>
      )}
    </Page>
  );
}

function Folder({ agent, path, crumbs }: { agent: string; path: string; crumbs: { kind: string; text: string; href: string }[] }): JSX.Element {
  const cluster = useCluster();
  const known = cluster.agents.get(agent);
  const polled = usePolled(`files ${agent} ${path}`, (signal) => json<FileInfo[]>(ofAgent(agent, "files/browse", { path }), signal), 5000);
  const columns: Column<FileInfo>[] = [
    {
      key: "name",
      label: "Name",
      wide: true,
      value: (one) => `${isFolder(one.mode) ? " " : "~"}${nameOf(one.path)}`,
      text: (one) => nameOf(one.path),
      cell: (one) => (
        <a class="file" href={link(isFolder(one.mode) ? "agentBrowse" : "agentFile", { agent }, { path: one.path })}>
          <Icon name={isFolder(one.mode) ? "folder" : "file"} />
          {nameOf(one.path)}
        </a>
      ),
    },
    { key: "size", label: "Size", numeric: true, value: (one) => one.size, cell: (one) => (isFolder(one.mode) ? "" : bytes(one.size)) },
    { key: "mtime", label: "Changed", value: (one) => one.mtime, cell: (one) => <Time at={one.mtime} /> },
    { key: "mode", label: "Mode", value: (one) => one.mode, cell: (one) => <code>{one.mode}</code> },
    { key: "nlink", label: "Links", numeric: true, value: (one) => one.nlink },
    { key: "uid", label: "User", value: (one) => one.uid },
    { key: "gid", label: "Group", value: (one) => one.gid },
    {
      key: "download",
      label: "",
      value: () => "",
      cell: (one) =>
        isFolder(one.mode) ? null : (
          <a class="button small" href={ofAgent(agent, "files/download", { path: one.path })} aria-label={`Download ${nameOf(one.path)}`}>
            <Icon name="down" /> Download
          </a>
        ),
    },
  ];
  return (
    <Page
      title={`Files in ${nameOf(path)}`}
      crumbs={[{ kind: "Master", href: link("home") }, { kind: "Agent", text: known?.hostname ?? agent, href: link("agent", { agent }) }, ...crumbs, { kind: "Sandbox", id: path }]}
    >
      <PathSteps agent={agent} path={path} />
      {polled.fault && (
        <FaultNote title="The folder could not be read">
          {polled.fault} <code>{path}</code>
        </FaultNote>
      )}
      {polled.value && (
        <Table name="files" title="Files" rows={polled.value} id={(one) => one.path} columns={columns} sort="name" none="The folder is empty." />
      )}
      {!polled.value && !polled.fault && <p class="none">Reading the folder…</p>}
    </Page>
  );
}

export function PathSteps({ agent, path }: { agent: string; path: string }): JSX.Element {
  const all = steps(path);
  return (
    <nav class="path" aria-label="Path" title={path}>
      {all.map((step, at) => (
        <span key={step.path}>
          {at > 0 && <span class="dim"> / </span>}
          {at < all.length - 1 ? <a href={link("agentBrowse", { agent }, { path: step.path })}>{step.label}</a> : <b>{step.label}</b>}
        </span>
      ))}
    </nav>
  );
}

import type { JSX } from "preact";
import { memo } from "../ui/memo";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { spans } from "../model/ansi";
import { type Block, type Pail, after, appended, before, blocks, first, parted, plain, prepended } from "../model/pail";
import { nameOf } from "../model/paths";
import { link } from "../model/route";
import { bytes } from "../model/text";
import { Fault, why } from "../net/http";
import { type Source, downloadOf, read, sizeOf } from "../net/file";
import { FaultNote, Icon, Page } from "../ui/kit";
import { useCluster } from "../ui/hooks";
import { place, setQuery, wraps } from "../ui/state";
import { PathSteps } from "./browse";

export function FilePage({ agent }: { agent: string }): JSX.Element {
  const cluster = useCluster();
  const path = place.value.query.get("path") ?? "";
  const host = cluster.agents.get(agent)?.hostname ?? agent;
  const isLog = path === "/slave/log";
  return (
    <Page
      title={isLog ? `Log of ${host}` : nameOf(path)}
      crumbs={[{ kind: "Master", href: link("home") }, { kind: "Agent", text: host, href: link("agent", { agent }) }, { kind: isLog ? "Log" : "File", ...(isLog ? {} : { text: nameOf(path), id: path }) }]}
    >
      {!isLog && <PathSteps agent={agent} path={path} />}
      {cluster.agents.has(agent) ? (
        <FileWindow key={`${agent} ${path}`} source={{ agent, path }} isLog={isLog} />
      ) : (
        <FaultNote title="The agent is not registered">Its files can be read only while it is.</FaultNote>
      )}
    </Page>
  );
}

export function LogPage(): JSX.Element {
  return (
    <Page title="Log of the master" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Log" }]}>
      <FileWindow source={{ agent: undefined, path: "/master/log" }} isLog />
    </Page>
  );
}

/** Milliseconds between looks at a file that is followed. */
const PERIOD = 1000;

interface Shown {
  pail: Pail;
  size: number;
  fault: { status: number; text: string } | undefined;
}

function FileWindow({ source, isLog }: { source: Source; isLog: boolean }): JSX.Element {
  const [shown, setShown] = useState<Shown>();
  const [follows, setFollows] = useState(true);
  const query = place.value.query;
  const find = query.get("find") ?? "";
  const only = query.get("only") === "yes";
  const box = useRef<HTMLDivElement>(null);
  const work = useRef<Promise<unknown>>(Promise.resolve());
  const life = useRef(new AbortController());
  const latest = useRef<Shown | undefined>(undefined);
  latest.current = shown;

  /** One after the other: what is read before and behind never crosses. */
  const turn = (step: (signal: AbortSignal) => Promise<Shown | undefined>) => {
    const { signal } = life.current;
    work.current = work.current.then(async () => {
      try {
        const next = await step(signal);
        if (next && !signal.aborted) {
          latest.current = next;
          setShown(next);
        }
      } catch (error) {
        if (signal.aborted) return;
        const fault = { status: error instanceof Fault ? error.status : 0, text: why(error) };
        setShown((present) => ({ pail: present?.pail ?? [], size: present?.size ?? 0, fault }));
      }
    });
    return work.current;
  };

  const look = () =>
    turn(async (signal) => {
      const size = await sizeOf(source, signal);
      const present = latest.current;
      if (!present || present.pail.length === 0) {
        const range = first(size);
        return { pail: range.length > 0 ? [await read(source, range, signal)] : [], size, fault: undefined };
      }
      const range = after(present.pail, size);
      if (range === "cut") return { pail: size > 0 ? [await read(source, first(size), signal)] : [], size, fault: undefined };
      if (!range) return present.fault || present.size !== size ? { ...present, size, fault: undefined } : undefined;
      return { pail: appended(present.pail, await read(source, range, signal)), size, fault: undefined };
    });

  const back = () =>
    turn(async (signal) => {
      const present = latest.current;
      const range = present && before(present.pail);
      if (!present || !range) return undefined;
      const element = box.current;
      const below = element ? element.scrollHeight - element.scrollTop : 0;
      const chunk = await read(source, range, signal);
      hold.current = below;
      return { ...present, pail: prepended(present.pail, chunk), fault: undefined };
    });

  /** How far from the bottom what one reads is, while something comes before it. */
  const hold = useRef<number | undefined>(undefined);

  useEffect(() => {
    life.current = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const next = async () => {
      if (!document.hidden) await look();
      if (!life.current.signal.aborted) timer = setTimeout(next, PERIOD);
    };
    if (follows || !latest.current) void next();
    return () => {
      clearTimeout(timer);
      life.current.abort();
    };
  }, [follows]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (hold.current !== undefined) {
      element.scrollTop = element.scrollHeight - hold.current;
      hold.current = undefined;
    } else if (follows && !find) element.scrollTop = element.scrollHeight;
  }, [shown?.pail, follows]);

  const all = useMemo(() => blocks(shown?.pail ?? []), [shown?.pail]);
  const wanted = find.toLowerCase();
  const hits = useMemo(
    () => (wanted ? all.reduce((sum, block) => sum + block.lines.filter((line) => plain(line).toLowerCase().includes(wanted)).length, 0) : 0),
    [all, wanted],
  );
  const start = shown?.pail[0]?.start ?? 0;

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 8;
    if (follows && !atEnd && hold.current === undefined) setFollows(false);
    else if (!follows && atEnd && !find) setFollows(true);
    if (element.scrollTop < 40 && start > 0) void back();
  };

  const go = (step: number) => {
    const element = box.current;
    if (!element) return;
    const marks = [...element.querySelectorAll<HTMLElement>("mark")];
    if (marks.length === 0) return;
    const present = marks.findIndex((mark) => mark.classList.contains("present"));
    const next = marks[(present < 0 ? (step > 0 ? 0 : marks.length - 1) : present + step + marks.length) % marks.length];
    for (const mark of marks) mark.classList.toggle("present", mark === next);
    setFollows(false);
    next?.scrollIntoView({ block: "center" });
  };

  if (shown?.fault?.status === 404 && shown.pail.length === 0) {
    return isLog ? (
      <div class="note" role="alertdialog" aria-labelledby="no-log">
        <h2 id="no-log">Logging to a file is not enabled</h2>
        <p>
          Set the <code class="flag">--log_dir</code> option of the {source.agent === undefined ? "master" : "agent"} if you wish to access the logs here, for example{" "}
          <code class="flag">--log_dir=/var/log/mesos</code>.
        </p>
        <p>
          <a class="button" href={source.agent === undefined ? link("home") : link("agent", { agent: source.agent })}>
            Close
          </a>
        </p>
      </div>
    ) : (
      <FaultNote title="There is no such file">
        <code>{source.path}</code>
      </FaultNote>
    );
  }
  return (
    <section class="window" aria-label={nameOf(source.path)}>
      <header>
        <label class="tick">
          <input type="checkbox" checked={follows} onChange={(event) => setFollows(event.currentTarget.checked)} /> Follow
        </label>
        <label class="tick">
          <input type="checkbox" checked={wraps.value === "yes"} onChange={(event) => (wraps.value = event.currentTarget.checked ? "yes" : "no")} /> Wrap
        </label>
        <div class={`find ${find ? "on" : ""}`}>
          <Icon name="search" />
          <input
            type="search"
            placeholder="Search…"
            aria-label="Search in the file"
            value={find}
            onInput={(event) => setQuery({ find: event.currentTarget.value || undefined })}
            onKeyDown={(event) => {
              if (event.key === "Enter") {
                event.preventDefault();
                go(event.shiftKey ? -1 : 1);
              } else if (event.key === "Escape") setQuery({ find: undefined });
            }}
          />
        </div>
        {find && (
          <>
            <span class="dim" aria-live="polite">
              {hits} {hits === 1 ? "line" : "lines"}
            </span>
            <button type="button" onClick={() => go(-1)} aria-label="Previous">
              ↑
            </button>
            <button type="button" onClick={() => go(1)} aria-label="Next">
              ↓
            </button>
            <label class="tick">
              <input type="checkbox" checked={only} onChange={(event) => setQuery({ only: event.currentTarget.checked ? "yes" : undefined })} /> Only these
            </label>
          </>
        )}
        <span class="gap" />
        <span class="dim">{shown ? bytes(shown.size) : ""}</span>
        <a class="button small" href={downloadOf(source)}>
          <Icon name="down" /> Download
        </a>
      </header>
      {shown?.fault && <FaultNote title="The file could not be read">{shown.fault.text}; tried again each second.</FaultNote>}
      <div class={`lines ${wraps.value === "yes" ? "wrap" : ""}`} ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-live="off" aria-label="Lines">
        <p class="edge">
          {shown === undefined ? (
            "Reading…"
          ) : start === 0 ? (
            shown.size === 0 ? (
              "The file is empty."
            ) : (
              "At the beginning of the file."
            )
          ) : (
            <button type="button" onClick={() => void back()}>
              Earlier lines ({bytes(start)})
            </button>
          )}
        </p>
        {all.map((block) => (
          <Lines key={block.key} block={block} find={wanted} only={only && wanted !== ""} />
        ))}
      </div>
    </section>
  );
}

interface LinesProps {
  block: Block;
  find: string;
  only: boolean;
}

/** Drawn again only if its own lines changed. */
const Lines = memo(
  ({ block, find, only }: LinesProps) => (
    <pre>
      {block.lines
        .filter((line) => !only || plain(line).toLowerCase().includes(find))
        .map((line, at) => (
          <Line key={at} line={line} find={find} />
        ))}
    </pre>
  ),
  (a: LinesProps, b: LinesProps) => a.find === b.find && a.only === b.only && a.block.lines.length === b.block.lines.length && a.block.lines.at(-1) === b.block.lines.at(-1) && a.block.key === b.block.key,
);

function Line({ line, find }: { line: string; find: string }): JSX.Element {
  const level = /^([WEF])\d{4} /.exec(line)?.[1];
  return (
    <span class={level ? `l ${level}` : "l"}>
      {spans(line).map((span, at) => (
        <span key={at} class={span.classes}>
          {find ? parted(span.text, find).map((part, index) => (index % 2 ? <mark key={index}>{part}</mark> : part)) : span.text}
        </span>
      ))}
      {"\n"}
    </span>
  );
}

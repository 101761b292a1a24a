/** Small parts of pages. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { KINDS, LABELS, amount, iso, relative, short, sentence } from "../model/text";
import type { Amounts } from "../model/wire";
import { elsewhere, home, now, said, times, toggleTimes } from "./state";

export function Icon({ name }: { name: keyof typeof PATHS }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

const PATHS = {
  copy: "M5.5 2.5h6a2 2 0 0 1 2 2v6M4.5 5.5h4a2 2 0 0 1 2 2v4a2 2 0 0 1-2 2h-4a2 2 0 0 1-2-2v-4a2 2 0 0 1 2-2z",
  done: "M3 8.5l3.2 3.2L13 5",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.3 10.3l3.2 3.2",
  close: "M4 4l8 8M12 4l-8 8",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6zM8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 2.5v11M8 5h3.6M8 8h5.4M8 11h3.6",
  clock: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM8 5v3.2l2.2 1.4",
  folder: "M2 4.5a1 1 0 0 1 1-1h3l1.5 1.7H13a1 1 0 0 1 1 1V12a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1z",
  file: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
  down: "M8 2.5v8M4.8 7.6L8 10.8l3.2-3.2M3 13.5h10",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  out: "M6.5 3.5h-3v9h9v-3M9 3h4v4M13 3L7.5 8.5",
} as const;

export function Copy({ text, what }: { text: string; what: string }): JSX.Element {
  const [done, setDone] = useState(false);
  const copy = async () => {
    if (!(await toClipboard(text))) return;
    setDone(true);
    said.value = `${what} copied`;
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" class="copy" title={`Copy ${what}`} aria-label={`Copy ${what} ${text}`} onClick={copy}>
      <Icon name={done ? "done" : "copy"} />
    </button>
  );
}

/** Also where the page came over plain HTTP, when browsers offer no clipboard. */
async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "away";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** An id, shortened to what tells it apart; leads somewhere if `href` says where. */
export function Id({ id, href, what = "id", text }: { id: string; href?: string | undefined; what?: string; text?: string }): JSX.Element {
  const label = text ?? short(id);
  return (
    <span class="id">
      {href ? (
        <a href={href} title={id}>
          {label}
        </a>
      ) : (
        <span title={id}>{label}</span>
      )}
      <Copy text={id} what={what} />
    </span>
  );
}

/** A time; a click changes all between relative and absolute. */
export function Time({ at }: { at: number | null | undefined }): JSX.Element | null {
  if (at === null || at === undefined || at === 0) return <span class="dim">–</span>;
  const exact = iso(at);
  const text = times.value === "absolute" ? exact : relative(at, now.value);
  const other = times.value === "absolute" ? relative(at, now.value) : exact;
  return (
    <time dateTime={exact} title={other} onClick={toggleTimes}>
      {text}
    </time>
  );
}

const TONES: Record<string, string> = {
  RUNNING: "good",
  FINISHED: "done",
  STAGING: "new",
  STARTING: "new",
  KILLING: "warn",
  KILLED: "warn",
  UNREACHABLE: "warn",
  FAILED: "bad",
  LOST: "bad",
  ERROR: "bad",
  DROPPED: "bad",
  GONE: "bad",
  GONE_BY_OPERATOR: "bad",
};

export function StateChip({ state }: { state: string }): JSX.Element {
  const plain = state.replace(/^TASK_/, "");
  return <Chip tone={TONES[plain] ?? "plain"}>{plain}</Chip>;
}

export function Chip({ tone, children }: { tone: string; children: ComponentChildren }): JSX.Element {
  return <span class={`chip ${tone}`}>{children}</span>;
}

export function Health({ healthy }: { healthy: boolean | null | undefined }): JSX.Element {
  if (healthy === null || healthy === undefined) return <span class="dim">–</span>;
  return <Chip tone={healthy ? "good" : "bad"}>{healthy ? "Healthy" : "Unhealthy"}</Chip>;
}

export function Card({ title, children, actions, class: more = "" }: { title?: ComponentChildren; children: ComponentChildren; actions?: ComponentChildren; class?: string }): JSX.Element {
  return (
    <section class={`card ${more}`}>
      {title && (
        <header>
          <h2>{title}</h2>
          {actions && <div class="actions">{actions}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

/** Names and what they stand for; what is undefined is left out. */
export function Facts({ facts }: { facts: [string, ComponentChildren | undefined][] }): JSX.Element {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== undefined && value !== "")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** Numbers by name, some in a tone; a dash for what is not known yet. */
export function Numbers({ numbers }: { numbers: [string, number | undefined, string?][] }): JSX.Element {
  return (
    <dl class="numbers">
      {numbers.map(([name, value, tone]) => (
        <div key={name} class={value ? (tone ?? "") : "zero"}>
          <dt>{name}</dt>
          <dd>{value === undefined ? "–" : value.toLocaleString("en-US")}</dd>
        </div>
      ))}
    </dl>
  );
}

export interface Part {
  name: string;
  tone: string;
  held: Amounts;
}

/** How much of each kind is held by whom, as bars and as a table. */
export function Meters({ total, parts, rest = "Idle" }: { total: Amounts; parts: Part[]; rest?: string }): JSX.Element {
  const kinds = KINDS.filter((kind) => kind !== "gpus" || total.gpus > 0);
  return (
    <div class="meters">
      {kinds.map((kind) => {
        const sum = parts.reduce((all, part) => all + part.held[kind], 0);
        return (
          <div class="meter" key={kind}>
            <div class="head">
              <strong>{LABELS[kind]}</strong>
              <span>
                {amount(kind, parts[0]?.held[kind] ?? 0)} <span class="dim">of {amount(kind, total[kind])}</span>
              </span>
            </div>
            <Bar total={total[kind]} parts={parts.map((part) => [part.held[kind], part.tone])} />
            <ul class="legend">
              {parts.map((part) => (
                <li key={part.name}>
                  <i class={part.tone} />
                  {part.name} <b>{amount(kind, part.held[kind])}</b>
                </li>
              ))}
              <li>
                <i />
                {rest} <b>{amount(kind, Math.max(0, total[kind] - sum))}</b>
              </li>
            </ul>
          </div>
        );
      })}
    </div>
  );
}

export function Bar({ total, parts }: { total: number; parts: [number, string][] }): JSX.Element {
  return (
    <span class="bar">
      {parts.map(([value, tone]) => (
        <i key={tone} class={tone} style={{ width: `${total > 0 ? Math.min(100, (100 * value) / total) : 0}%` }} />
      ))}
    </span>
  );
}

/** `1.5 / 4` with a bar below. */
export function Held({ kind, held, total }: { kind: (typeof KINDS)[number]; held: number; total: number }): JSX.Element {
  return (
    <span class="held">
      <span>
        {amount(kind, held)} <span class="dim">/ {amount(kind, total)}</span>
      </span>
      {total > 0 && <Bar total={total} parts={[[held, "used"]]} />}
    </span>
  );
}

/** What went wrong, where it was looked for. */
export function FaultNote({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="fault" role="alert">
      <strong>{title}</strong>
      {children && <p>{typeof children === "string" ? sentence(children) : children}</p>}
    </div>
  );
}

export interface Crumb {
  kind: string;
  text?: string | undefined;
  href?: string | undefined;
  id?: string | undefined;
}

export function Crumbs({ crumbs }: { crumbs: Crumb[] }): JSX.Element {
  return (
    <nav class="crumbs" aria-label="Breadcrumb">
      <ol>
        {crumbs.map((crumb, at) => {
          const last = at === crumbs.length - 1;
          const inside = (
            <>
              <span class="kind">{crumb.kind}</span>
              {crumb.text && <span class="name">{crumb.text}</span>}
            </>
          );
          return (
            <li key={`${crumb.kind}${at}`} aria-current={last ? "page" : undefined}>
              {crumb.href && !last ? <a href={crumb.href}>{inside}</a> : <span class="here">{inside}</span>}
              {last && crumb.id && <Copy text={crumb.id} what={`${crumb.kind.toLowerCase()} id`} />}
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

/** At an agent, what begins with the master begins with the one that it follows. */
function fromHere(crumbs: Crumb[]): Crumb[] {
  if (!home.value) return crumbs;
  const leader = home.value.leader;
  return crumbs.map((crumb) => (crumb.kind === "Master" ? { kind: "Master", text: leader?.authority, href: leader ? elsewhere(leader.authority, "#/") : undefined } : crumb));
}

export function Page({ title, crumbs, children, actions }: { title: string; crumbs: Crumb[]; children: ComponentChildren; actions?: ComponentChildren }): JSX.Element {
  return (
    <>
      <div class="top">
        <Crumbs crumbs={fromHere(crumbs)} />
        {actions && <div class="actions">{actions}</div>}
      </div>
      <h1 class="title" tabIndex={-1}>
        {title}
      </h1>
      {children}
    </>
  );
}

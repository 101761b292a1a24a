/** A table that can be searched, sorted and paged; all three are kept in the address. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Value, found, pages, sorted } from "../model/order";
import { Icon } from "./kit";
import { place, setQuery } from "./state";

export interface Column<T> {
  key: string;
  label: string;
  /** By which rows are ordered, and found unless `text` says something else. */
  value: (row: T) => Value;
  /** Texts by which rows are found. */
  text?: (row: T) => string;
  /** What is shown; the value if not said. */
  cell?: (row: T) => ComponentChildren;
  numeric?: boolean;
  /** Not shown if it says nothing in any row. */
  optional?: boolean;
  /** Takes what room is left. */
  wide?: boolean;
}

export interface TableProps<T> {
  /** Tells tables of one page apart in its address. */
  name: string;
  title: string;
  rows: T[];
  /** Tells a row apart. */
  id: (row: T) => string;
  columns: Column<T>[];
  /** `-started`: by that column, the largest first. */
  sort: string;
  /** Said when there is no row at all. */
  none: string;
  actions?: ComponentChildren;
  /** Smaller pages, where several tables share one. */
  size?: number;
  /** Which rows stand out. */
  tone?: (row: T) => string;
}

const SIZE = 50;

export function Table<T>(props: TableProps<T>): JSX.Element {
  const { name, title, rows, none } = props;
  const columns = props.columns.filter((column) => !column.optional || rows.some((row) => column.value(row)));
  const query = place.value.query;
  const find = query.get(`${name}.find`) ?? "";
  const sort = query.get(`${name}.sort`) ?? props.sort;
  const size = Number(query.get(`${name}.size`)) || props.size || SIZE;
  const descending = sort.startsWith("-");
  const by = columns.find((column) => column.key === sort.replace(/^-/, "")) ?? columns[0];

  const kept = useMemo(
    () => found(rows, (row) => columns.map((column) => column.text?.(row) ?? String(column.value(row) ?? "")), find),
    [rows, find],
  );
  const all = useMemo(() => (by ? sorted(kept, by.value, descending) : kept), [kept, by?.key, descending]);
  const last = Math.max(1, Math.ceil(all.length / size));
  const page = Math.min(last, Math.max(1, Number(query.get(`${name}.page`)) || 1));
  const shown = all.slice((page - 1) * size, page * size);

  const turn = (to: number) => setQuery({ [`${name}.page`]: to === 1 ? undefined : String(to) });
  const order = (key: string) => {
    const next = by?.key === key ? (descending ? key : `-${key}`) : key;
    setQuery({ [`${name}.sort`]: next === props.sort ? undefined : next, [`${name}.page`]: undefined });
  };

  return (
    <section class="table" aria-label={title}>
      <header>
        <h2>
          {title} <span class="count">{find ? `${all.length.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")}` : rows.length.toLocaleString("en-US")}</span>
        </h2>
        {props.actions}
        {(rows.length > 1 || find) && <Find name={name} title={title} value={find} />}
      </header>
      {rows.length === 0 ? (
        <p class="none">{none}</p>
      ) : (
        <Scroller label={title}>
          <table>
            <thead>
              <tr>
                {columns.map((column) => (
                  <th
                    key={column.key}
                    scope="col"
                    class={column.numeric ? "numeric" : ""}
                    aria-sort={by?.key === column.key ? (descending ? "descending" : "ascending") : undefined}
                  >
                    {column.label ? (
                      <button type="button" onClick={() => order(column.key)}>
                        {column.label}
                        <span class="arrow" aria-hidden="true">
                          {by?.key === column.key ? (descending ? "▼" : "▲") : ""}
                        </span>
                      </button>
                    ) : (
                      <span class="unseen">Links</span>
                    )}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.map((row) => (
                <tr key={props.id(row)} class={props.tone?.(row) ?? ""}>
                  {columns.map((column) => (
                    <td key={column.key} class={`${column.numeric ? "numeric" : ""} ${column.wide ? "wide" : ""}`}>
                      {column.cell ? column.cell(row) : String(column.value(row) ?? "")}
                    </td>
                  ))}
                </tr>
              ))}
              {shown.length === 0 && (
                <tr>
                  <td colSpan={columns.length} class="none">
                    Nothing has “{find}” in it.
                  </td>
                </tr>
              )}
            </tbody>
          </table>
        </Scroller>
      )}
      {all.length > Math.min(size, SIZE) && (
        <footer>
          {last > 1 && <Pager title={title} page={page} last={last} turn={turn} />}
          <span class="dim">
            {((page - 1) * size + 1).toLocaleString("en-US")}–{Math.min(all.length, page * size).toLocaleString("en-US")} of {all.length.toLocaleString("en-US")}
          </span>
          <label class="size">
            Rows{" "}
            <select
              value={String(size)}
              onChange={(event) => setQuery({ [`${name}.size`]: event.currentTarget.value === String(props.size ?? SIZE) ? undefined : event.currentTarget.value, [`${name}.page`]: undefined })}
            >
              {[...new Set([props.size ?? SIZE, 50, 100, 200, 500])].sort((a, b) => a - b).map((option) => (
                <option key={option} value={String(option)}>
                  {option}
                </option>
              ))}
            </select>
          </label>
        </footer>
      )}
    </section>
  );
}

/** What is too wide is scrolled inside itself; only then can it be reached by keys. */
function Scroller({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setScrolls(element.scrollWidth > element.clientWidth + 1));
    watch.observe(element);
    if (element.firstElementChild) watch.observe(element.firstElementChild);
    return () => watch.disconnect();
  }, []);
  return (
    <div class={`scroll ${scrolls ? "scrolls" : ""}`} ref={box} {...(scrolls ? { tabIndex: 0, role: "region", "aria-label": `${label}, scrolls sideways` } : {})}>
      {children}
    </div>
  );
}

function Find({ name, title, value }: { name: string; title: string; value: string }): JSX.Element {
  const set = (text: string) => setQuery({ [`${name}.find`]: text || undefined, [`${name}.page`]: undefined });
  return (
    <div class={`find ${value ? "on" : ""}`}>
      <Icon name="search" />
      <input
        type="search"
        placeholder="Find…"
        aria-label={`Find in ${title}`}
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") set("");
        }}
      />
      {value && (
        <button type="button" aria-label="Clear" onClick={() => set("")}>
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}

function Pager({ title, page, last, turn }: { title: string; page: number; last: number; turn: (to: number) => void }): JSX.Element {
  return (
    <nav class="pager" aria-label={`Pages of ${title}`}>
      <button type="button" disabled={page === 1} onClick={() => turn(page - 1)}>
        Previous
      </button>
      {pages(page, last).map((one, at) =>
        one === 0 ? (
          <span key={`gap${at}`} class="dim">
            …
          </span>
        ) : (
          <button type="button" key={one} aria-current={one === page ? "page" : undefined} onClick={() => turn(one)}>
            {one}
          </button>
        ),
      )}
      <button type="button" disabled={page === last} onClick={() => turn(page + 1)}>
        Next
      </button>
    </nav>
  );
}

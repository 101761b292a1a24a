/** Goes to whatever is called so. */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Hit, search } from "../model/search";
import { Icon } from "./kit";
import { useCluster } from "./hooks";

/** What was typed since the search was called, until it is there to be typed into. */
let early: string | undefined;

export function call(): void {
  early = "";
}

/** Takes a key that came early; false if there is a field for it already. */
export function takes(key: string): boolean {
  if (early === undefined || key.length !== 1) return false;
  early += key;
  return true;
}

export function Search({ close }: { close: () => void }): JSX.Element {
  const cluster = useCluster();
  const box = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const [wanted, setWanted] = useState("");
  const [at, setAt] = useState(0);
  // Not anew with each change of the cluster: the list must not move under the finger.
  const [asked, setAsked] = useState("");
  const hits = useMemo(() => search(cluster, asked), [asked]);
  // In a large cluster who types quickly does not wait for each letter.
  useEffect(() => {
    const timer = setTimeout(() => setAsked(wanted), cluster.tasks.size + cluster.agents.size > 1000 ? 150 : 0);
    return () => clearTimeout(timer);
  }, [wanted]);
  useLayoutEffect(() => {
    box.current?.showModal();
    if (early) setWanted(early);
    early = undefined;
  }, []);
  useEffect(() => setAt(0), [asked]);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [at]);
  const go = (hit: Hit | undefined) => {
    if (!hit) return;
    location.hash = hit.href;
    close();
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0 && hits.length > 0) {
      event.preventDefault();
      setAt((at + step + hits.length) % hits.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      go(asked === wanted ? hits[at] : search(cluster, wanted)[0]);
    }
  };
  return (
    <dialog ref={box} class="finder" aria-label="Search" onClose={close} onClick={(event) => event.target === box.current && close()}>
      <div class="ask">
        <Icon name="search" />
        <input
          autofocus
          type="text"
          role="combobox"
          aria-expanded={hits.length > 0}
          aria-controls="hits"
          aria-activedescendant={hits[at] ? `hit-${at}` : undefined}
          aria-label="Agents, frameworks, tasks"
          placeholder="Agents, frameworks, tasks…"
          value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)}
          onKeyDown={onKey}
        />
        <kbd>Esc</kbd>
      </div>
      <ul id="hits" role="listbox" aria-label="Found" ref={list}>
        {hits.map((hit, index) => (
          <li key={hit.href} id={`hit-${index}`} role="option" aria-selected={index === at} onClick={() => go(hit)} onMouseMove={() => setAt(index)}>
            <span class={`kind ${hit.kind}`}>{hit.kind}</span>
            <span class="label">{hit.label}</span>
            <span class="dim">{hit.detail}</span>
          </li>
        ))}
      </ul>
      {asked && hits.length === 0 && <p class="none">Nothing is called “{asked}”.</p>}
    </dialog>
  );
}

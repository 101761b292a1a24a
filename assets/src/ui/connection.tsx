/** What is said when the master cannot be reached, or does not lead. What was read last stays to be seen. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { sentence } from "../model/text";
import type { Known } from "../net/leader";
import { cluster, connection, elsewhere, otherMasters, status } from "./state";

/** Counts down to a moment, seconds. */
function useCountdown(until: number, reached: () => void): number {
  const left = () => Math.max(0, Math.ceil((until - Date.now()) / 1000));
  const [seconds, setSeconds] = useState(left);
  useEffect(() => {
    setSeconds(left());
    const timer = setInterval(() => {
      setSeconds(left());
      if (Date.now() >= until) {
        clearInterval(timer);
        reached();
      }
    }, 250);
    return () => clearInterval(timer);
  }, [until]);
  return seconds;
}

export function Connection(): JSX.Element | null {
  const now = status.value;
  if (now.kind === "lost") return <Lost again={now.again} why={now.why} />;
  if (now.kind === "standby" && cluster.value) {
    return (
      <div class="banner">
        <Standing known={now.known} />
      </div>
    );
  }
  return null;
}

function Lost({ again, why }: { again: number; why: string }): JSX.Element {
  const seconds = useCountdown(again, () => undefined);
  return (
    <div class="banner">
      <section class="notice bad" role="alertdialog" aria-labelledby="lost">
        <h2 id="lost">Failed to connect to {location.host}!</h2>
        <p>
          {sentence(why)} {cluster.value ? "What is shown is the last that was read." : ""}
        </p>
        <p>
          {seconds > 0 ? `Retrying in ${seconds} ${seconds === 1 ? "second" : "seconds"}…` : "Retrying…"}{" "}
          <button type="button" class="full" onClick={() => connection.retry()}>
            Try now
          </button>
        </p>
        {otherMasters.value.length > 0 && (
          <p>
            Looking for a new leader among the other masters:{" "}
            {otherMasters.value.map((authority, at) => (
              <span key={authority}>
                {at > 0 && ", "}
                <a href={elsewhere(authority)}>{authority}</a>
              </span>
            ))}
          </p>
        )}
      </section>
    </div>
  );
}

/** Milliseconds until one is taken to the leader. */
const PATIENCE = 6000;

export function Standing({ known }: { known: Known }): JSX.Element {
  const { leader } = known;
  const [until, setUntil] = useState(0);
  useEffect(() => setUntil(leader ? Date.now() + PATIENCE : 0), [leader?.authority]);
  if (!leader || until === 0) {
    return (
      <section class="notice bad" role="alertdialog" aria-labelledby="standby">
        <h2 id="standby">No master is currently leading…</h2>
        <p>
          {known.hostname}:{known.port} is a standby, and waits for one to be elected.
        </p>
      </section>
    );
  }
  return <Leaving known={known} authority={leader.authority} until={until} />;
}

function Leaving({ known, authority, until }: { known: Known; authority: string; until: number }): JSX.Element {
  const address = elsewhere(authority);
  const seconds = useCountdown(until, () => location.assign(address));
  return (
    <section class="notice bad" role="alertdialog" aria-labelledby="standby">
      <h2 id="standby">This master is not the leader</h2>
      <p>
        {known.hostname}:{known.port} is a standby; {authority} leads. Going there in {seconds} {seconds === 1 ? "second" : "seconds"}…{" "}
        <a class="button full" href={address}>
          Go now
        </a>
      </p>
    </section>
  );
}

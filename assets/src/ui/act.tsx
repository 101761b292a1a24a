/** Something that changes the cluster: asked twice, and told how it went. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { why } from "../net/http";
import { said } from "./state";

export interface ActProps {
  /** On the button. */
  label: string;
  title: string;
  text: string;
  confirm: string;
  /** Has to be typed, where the damage is large. */
  word?: string;
  act: () => Promise<void>;
  done: string;
}

export function Act(props: ActProps): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="danger" onClick={() => setOpen(true)}>
        {props.label}
      </button>
      {open && <Confirm {...props} close={() => setOpen(false)} />}
    </>
  );
}

function Confirm({ title, text, confirm, word, act, done, close }: ActProps & { close: () => void }): JSX.Element {
  const box = useRef<HTMLDialogElement>(null);
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  useEffect(() => box.current?.showModal(), []);
  const ready = !busy && (word === undefined || typed.trim() === word.trim());
  const go = async () => {
    setBusy(true);
    setFault(undefined);
    try {
      await act();
      said.value = done;
      close();
    } catch (error) {
      setFault(why(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={box} class="confirm" aria-labelledby="confirm-title" onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) void go();
        }}
      >
        <h2 id="confirm-title">{title}</h2>
        <p>{text}</p>
        {word !== undefined && (
          <label>
            Type <b>{word}</b> to confirm
            <input autocomplete="off" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          </label>
        )}
        {fault && (
          <p class="fault" role="alert">
            {fault}
          </p>
        )}
        <div class="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="danger full" disabled={!ready}>
            {busy ? "…" : confirm}
          </button>
        </div>
      </form>
    </dialog>
  );
}

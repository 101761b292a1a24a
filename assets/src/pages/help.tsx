import type { JSX } from "preact";
import { type Block, read } from "../model/help";
import { link } from "../model/route";
import { json } from "../net/http";
import { Card, FaultNote, Page } from "../ui/kit";
import { usePolled } from "../ui/hooks";
import { home } from "../ui/state";

interface Answer {
  processes: { id: string; endpoints: { name: string; text: string }[] }[];
}

/** It does not change while the master lives. */
const LONG = 3_600_000;

function useHelp() {
  return usePolled("help", (signal) => json<Answer>("help?format=json", signal), LONG);
}

export function HelpIndex(): JSX.Element {
  const polled = useHelp();
  return (
    <Page title="Help" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Help" }]}>
      {polled.fault && <FaultNote title="Help could not be read">{polled.fault}</FaultNote>}
      <p class="dim">
        Endpoints of this {home.value ? "agent" : "master"}. The same as a plain page: <a href="help">/help</a>. Keys:{" "}
        {!home.value && (
          <>
            <kbd>/</kbd> searches,{" "}
          </>
        )}
        <kbd>g</kbd> then{" "}
        {(home.value ? ["h"] : ["h", "f", "a", "r", "o", "m"]).map((key) => (
          <span key={key}>
            <kbd>{key}</kbd>
            {key === "h" && home.value ? "" : ","}{" "}
          </span>
        ))}
        or <kbd>e</kbd> goes to a page, <kbd>t</kbd> changes how times are shown.
      </p>
      <div class="cards help">
        {(polled.value?.processes ?? []).map((process) => (
          <Card key={process.id} title={`/${process.id}`}>
            <ul class="endpoints">
              {process.endpoints.map((endpoint) => (
                <li key={endpoint.name}>
                  <a href={link("helpPage", { process: process.id, endpoint: endpoint.name.slice(1) || "-" })}>
                    /{process.id}
                    {endpoint.name === "/" ? "" : endpoint.name}
                  </a>
                  <span class="dim">
                    <Words text={read(endpoint.text).find((block) => block.kind === "text")?.text ?? ""} />
                  </span>
                </li>
              ))}
            </ul>
          </Card>
        ))}
      </div>
    </Page>
  );
}

export function HelpPage({ process, endpoint }: { process: string; endpoint: string }): JSX.Element {
  const polled = useHelp();
  const wanted = endpoint === "-" ? "/" : `/${endpoint}`;
  const found = polled.value?.processes.find((one) => one.id === process)?.endpoints.find((one) => one.name === wanted);
  const name = `/${process}${wanted === "/" ? "" : wanted}`;
  return (
    <Page title={name} crumbs={[{ kind: "Master", href: link("home") }, { kind: "Help", href: link("help") }, { kind: "Endpoint", text: name }]}>
      {polled.fault && <FaultNote title="Help could not be read">{polled.fault}</FaultNote>}
      {polled.value && !found && <FaultNote title="There is no help of that name"><code>{name}</code></FaultNote>}
      {found && (
        <Card>
          <div class="prose">{read(found.text).map((block, at) => <Part key={at} block={block} />)}</div>
        </Card>
      )}
    </Page>
  );
}

function Part({ block }: { block: Block }): JSX.Element {
  if (block.kind === "head") return <h2>{block.text}</h2>;
  if (block.kind === "code") return <pre>{block.text}</pre>;
  return (
    <p>
      <Words text={block.text} />
    </p>
  );
}

/** Text in which `this` is code. */
function Words({ text }: { text: string }): JSX.Element {
  return <>{text.split("`").map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part))}</>;
}

import type { JSX } from "preact";
import { link } from "../model/route";
import { KINDS, LABELS, amount } from "../model/text";
import { type Offer, type Row, reader } from "../model/wire";
import { json } from "../net/http";
import { FaultNote, Id, Page, Time } from "../ui/kit";
import { useCluster, usePolled } from "../ui/hooks";
import { Table } from "../ui/table";
import { AgentLink, FrameworkLink } from "../ui/tasks";

export function OffersPage(): JSX.Element {
  const cluster = useCluster();
  const polled = usePolled(
    "offers",
    async (signal) => {
      const answer = await json<{ columns: string[]; offers: Row[] }>("master/overview/offers", signal);
      return answer.offers.map(reader<Offer>(answer.columns, ["resources"]));
    },
    2000,
  );
  return (
    <Page title="Offers" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Offers" }]}>
      {polled.fault && <FaultNote title="The offers could not be read">{polled.fault}</FaultNote>}
      <Table
        name="offers"
        title="Outstanding Offers"
        rows={polled.value ?? []}
        id={(one) => one.id}
        sort="-id"
        none={polled.value ? "No offers are out." : "Reading…"}
        columns={[
          { key: "id", label: "ID", value: (one) => one.id, cell: (one) => <Id id={one.id} what="offer id" /> },
          { key: "role", label: "Role", value: (one) => one.role },
          {
            key: "framework",
            label: "Framework",
            wide: true,
            value: (one) => cluster.framework(one.framework)?.name ?? one.framework,
            text: (one) => `${cluster.framework(one.framework)?.name ?? ""} ${one.framework}`,
            cell: (one) => <FrameworkLink cluster={cluster} framework={one.framework} />,
          },
          {
            key: "host",
            label: "Host",
            value: (one) => cluster.agents.get(one.agent)?.hostname ?? one.agent,
            text: (one) => `${cluster.agents.get(one.agent)?.hostname ?? ""} ${one.agent}`,
            cell: (one) => <AgentLink cluster={cluster} agent={one.agent} />,
          },
          ...KINDS.map((kind) => ({
            key: kind,
            label: LABELS[kind],
            numeric: true,
            value: (one: Offer) => one.resources[kind],
            text: () => "",
            cell: (one: Offer) => amount(kind, one.resources[kind]),
          })),
          { key: "made", label: "Made", value: (one) => one.made, text: () => "", cell: (one) => <Time at={one.made} /> },
        ]}
      />
    </Page>
  );
}

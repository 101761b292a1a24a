import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { found } from "../model/order";
import { link } from "../model/route";
import { type Node, type Role, read, shown, tree } from "../model/roles";
import { KINDS, LABELS, amount, count } from "../model/text";
import type { Amounts } from "../model/wire";
import { json } from "../net/http";
import { FaultNote, Icon, Page } from "../ui/kit";
import { useCluster, usePolled } from "../ui/hooks";
import { closedRoles, place, roleColumns, setQuery } from "../ui/state";

interface Group {
  key: string;
  label: string;
  of: (role: Role) => Partial<Amounts>;
  /** What is absent is no limit, and not zero. */
  dash?: boolean;
}

const GROUPS: Group[] = [
  { key: "offered", label: "Offered", of: (role) => role.offered },
  { key: "allocated", label: "Allocated", of: (role) => role.allocated },
  { key: "reserved", label: "Reserved", of: (role) => role.reserved },
  { key: "consumed", label: "Quota Consumption", of: (role) => role.quota.consumed },
  { key: "guarantee", label: "Quota Guarantee", of: (role) => role.quota.guarantee, dash: true },
  { key: "limit", label: "Quota Limit", of: (role) => role.quota.limit, dash: true },
];

const SINGLES = [
  { key: "weight", label: "Weight", of: (role: Role) => role.weight },
  { key: "frameworks", label: "Frameworks", of: (role: Role) => role.frameworks.length },
];

export function RolesPage(): JSX.Element {
  const cluster = useCluster();
  const polled = usePolled("roles", async (signal) => read(await json("master/roles", signal)), 5000);
  const chosen = new Set(roleColumns.value.split(","));
  const closed = new Set(closedRoles.value.split("\n").filter(Boolean));
  const find = place.value.query.get("find") ?? "";
  const roles = polled.value ?? [];
  const rows = useMemo(() => {
    if (find) return found(roles, (role) => [role.name], find).map((role): Node => ({ role, name: role.name, label: role.name, depth: 0, children: [] }));
    return shown(tree(roles), closed);
  }, [roles, find, closedRoles.value]);
  const choose = (key: string) => {
    if (chosen.has(key)) chosen.delete(key);
    else chosen.add(key);
    roleColumns.value = [...chosen].filter(Boolean).join(",");
  };
  const toggle = (name: string) => {
    if (closed.has(name)) closed.delete(name);
    else closed.add(name);
    closedRoles.value = [...closed].join("\n");
  };
  const kinds = KINDS.filter((kind) => kind !== "gpus" || cluster.totals.total.gpus > 0);
  const groups = GROUPS.filter((group) => chosen.has(group.key));
  const singles = SINGLES.filter((single) => chosen.has(single.key));
  return (
    <Page title="Roles" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Roles" }]}>
      {polled.fault && <FaultNote title="The roles could not be read">{polled.fault}</FaultNote>}
      <fieldset class="choices">
        <legend>Columns</legend>
        {[...SINGLES, ...GROUPS].map(({ key, label }) => (
          <label class="tick" key={key}>
            <input type="checkbox" checked={chosen.has(key)} onChange={() => choose(key)} /> {label}
          </label>
        ))}
      </fieldset>
      <section class="table" aria-label="Roles">
        <header>
          <h2>
            Roles <span class="count">{roles.length}</span>
          </h2>
          {(roles.length > 1 || find) && (
            <div class={`find ${find ? "on" : ""}`}>
              <Icon name="search" />
              <input type="search" placeholder="Find…" aria-label="Find in Roles" value={find} onInput={(event) => setQuery({ find: event.currentTarget.value || undefined })} />
            </div>
          )}
        </header>
        {polled.value && roles.length === 0 ? (
          <p class="none">No role is subscribed to, reserved for, or has a weight or a quota.</p>
        ) : (
          <div class="scroll scrolls" tabIndex={0} role="region" aria-label="Roles, may scroll sideways">
            <table class="grouped">
              <thead>
                <tr>
                  <th rowSpan={2} scope="col">
                    Role
                  </th>
                  {singles.map((single) => (
                    <th rowSpan={2} key={single.key} scope="col" class="numeric">
                      {single.label}
                    </th>
                  ))}
                  {groups.map((group) => (
                    <th colSpan={kinds.length} key={group.key} scope="colgroup" class="group">
                      {group.label}
                    </th>
                  ))}
                </tr>
                <tr>
                  {groups.flatMap((group) =>
                    kinds.map((kind, at) => (
                      <th key={`${group.key} ${kind}`} scope="col" class={`numeric ${at === 0 ? "group" : ""}`}>
                        {LABELS[kind]}
                      </th>
                    )),
                  )}
                </tr>
              </thead>
              <tbody>
                {rows.map((node) => (
                  <tr key={node.name}>
                    <th scope="row">
                      <span class={`branch d${Math.min(node.depth, 8)}`}>
                        {node.children.length > 0 ? (
                          <button type="button" class="plain" aria-expanded={!closed.has(node.name)} aria-label={`What is below ${node.name}`} onClick={() => toggle(node.name)}>
                            {closed.has(node.name) ? "▸" : "▾"}
                          </button>
                        ) : (
                          <i />
                        )}
                        <span title={node.name}>{node.label}</span>
                      </span>
                    </th>
                    {singles.map((single) => (
                      <td key={single.key} class="numeric">
                        {node.role ? count(single.of(node.role)) : ""}
                      </td>
                    ))}
                    {groups.flatMap((group) =>
                      kinds.map((kind, at) => {
                        const value = node.role && group.of(node.role)[kind];
                        return (
                          <td key={`${group.key} ${kind}`} class={`numeric ${at === 0 ? "group" : ""} ${value ? "" : "dim"}`}>
                            {value === undefined || (value === 0 && !group.dash) ? "–" : amount(kind, value)}
                          </td>
                        );
                      }),
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
    </Page>
  );
}

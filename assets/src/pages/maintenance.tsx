import type { JSX } from "preact";
import { link } from "../model/route";
import { json } from "../net/http";
import { Chip, FaultNote, Page, Time } from "../ui/kit";
import { usePolled } from "../ui/hooks";
import { Table } from "../ui/table";

interface MachineId {
  hostname?: string;
  ip?: string;
}

interface Schedule {
  windows?: {
    machine_ids?: MachineId[];
    unavailability?: { start?: { nanoseconds?: number }; duration?: { nanoseconds?: number } };
  }[];
}

interface Status {
  draining_machines?: { id: MachineId }[];
  down_machines?: MachineId[];
}

interface Window {
  begin: number;
  end: number | undefined;
  hosts: string[];
}

interface Machine {
  host: string;
  state: "Draining" | "Down";
}

function nameOf(machine: MachineId): string {
  return machine.hostname || machine.ip || "?";
}

function windows(schedule: Schedule): Window[] {
  return (schedule.windows ?? []).map((one) => {
    const begin = (one.unavailability?.start?.nanoseconds ?? 0) / 1e9;
    const lasts = one.unavailability?.duration?.nanoseconds;
    return { begin, end: lasts === undefined ? undefined : begin + lasts / 1e9, hosts: (one.machine_ids ?? []).map(nameOf) };
  });
}

function machines(status: Status): Machine[] {
  const draining = (status.draining_machines ?? []).map(({ id }): Machine => ({ host: nameOf(id), state: "Draining" }));
  return [...draining, ...(status.down_machines ?? []).map((id): Machine => ({ host: nameOf(id), state: "Down" }))];
}

export function MaintenancePage(): JSX.Element {
  const schedule = usePolled("maintenance", async (signal) => windows(await json<Schedule>("master/maintenance/schedule", signal)), 10_000);
  const status = usePolled("maintenance status", async (signal) => machines(await json<Status>("master/maintenance/status", signal)), 10_000);
  const fault = schedule.fault ?? status.fault;
  return (
    <Page title="Maintenance" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Maintenance Schedule" }]}>
      {fault && <FaultNote title="What is to be maintained could not be read">{fault}</FaultNote>}
      {schedule.value && (
        <Table
          name="windows"
          title="Maintenance Schedule"
          rows={schedule.value}
          id={(one) => `${one.begin} ${one.hosts.join(" ")}`}
          sort="begin"
          none="No maintenance is scheduled."
          columns={[
            { key: "begin", label: "Begin", value: (one) => one.begin, text: () => "", cell: (one) => <Time at={one.begin} /> },
            { key: "end", label: "End", value: (one) => one.end ?? Infinity, text: () => "", cell: (one) => (one.end === undefined ? "open" : <Time at={one.end} />) },
            {
              key: "hosts",
              label: "Hosts",
              wide: true,
              value: (one) => one.hosts.join(" "),
              cell: (one) => (
                <ul class="plain">
                  {one.hosts.map((host) => (
                    <li key={host}>{host}</li>
                  ))}
                </ul>
              ),
            },
          ]}
        />
      )}
      {status.value && (
        <Table
          name="machines"
          title="Machines in Maintenance"
          rows={status.value}
          id={(one) => one.host}
          sort="host"
          none="All machines are up."
          columns={[
            { key: "host", label: "Host", wide: true, value: (one) => one.host },
            { key: "state", label: "State", value: (one) => one.state, cell: (one) => <Chip tone={one.state === "Down" ? "bad" : "warn"}>{one.state}</Chip> },
          ]}
        />
      )}
    </Page>
  );
}

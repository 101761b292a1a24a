import type { JSX } from "preact";
import { link } from "../model/route";
import { json } from "../net/http";
import { FaultNote, Page, Time } from "../ui/kit";
import { usePolled } from "../ui/hooks";
import { Table } from "../ui/table";

interface Schedule {
  windows?: {
    machine_ids?: { hostname?: string; ip?: string }[];
    unavailability?: { start?: { nanoseconds?: number }; duration?: { nanoseconds?: number } };
  }[];
}

interface Window {
  begin: number;
  end: number | undefined;
  hosts: string[];
}

function windows(schedule: Schedule): Window[] {
  return (schedule.windows ?? []).map((one) => {
    const begin = (one.unavailability?.start?.nanoseconds ?? 0) / 1e9;
    const lasts = one.unavailability?.duration?.nanoseconds;
    return {
      begin,
      end: lasts === undefined ? undefined : begin + lasts / 1e9,
      hosts: (one.machine_ids ?? []).map((machine) => machine.hostname || machine.ip || "?"),
    };
  });
}

export function MaintenancePage(): JSX.Element {
  const polled = usePolled("maintenance", async (signal) => windows(await json<Schedule>("master/maintenance/schedule", signal)), 10_000);
  return (
    <Page title="Maintenance" crumbs={[{ kind: "Master", href: link("home") }, { kind: "Maintenance Schedule" }]}>
      {polled.fault && <FaultNote title="The maintenance schedule could not be read">{polled.fault}</FaultNote>}
      {polled.value && (
        <Table
          name="windows"
          title="Maintenance Schedule"
          rows={polled.value}
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
    </Page>
  );
}

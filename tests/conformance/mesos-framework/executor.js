// A v1 executor in plain Node: runs tasks in name only, sends every message back, ends what it is told to kill.
// The library has an Executor too, but its SUBSCRIBE lacks `subscribe`, which Mesos refuses.
"use strict";

const crypto = require("crypto");
const http = require("http");

const ids = {
    framework_id: { value: process.env.MESOS_FRAMEWORK_ID },
    executor_id: { value: process.env.MESOS_EXECUTOR_ID },
};
function call(type, body, onAnswer) {
    const [host, port] = process.env.MESOS_AGENT_ENDPOINT.split(":");
    const headers = { "Content-Type": "application/json" };
    const request = http.request({ host, port, path: "/api/v1/executor", method: "POST", headers }, onAnswer);
    request.on("error", (error) => { console.error(type, error); process.exit(1); });
    request.end(JSON.stringify(Object.assign({ type, [type.toLowerCase()]: body }, ids)));
}

function update(task_id, state) {
    const uuid = Buffer.from(crypto.randomUUID().replace(/-/g, ""), "hex").toString("base64");
    const status = { task_id, state, uuid, source: "SOURCE_EXECUTOR", executor_id: ids.executor_id };
    call("UPDATE", { status }, (answer) => answer.resume());
}

const on = {
    LAUNCH: (event) => update(event.launch.task.task_id, "TASK_RUNNING"),
    KILL: (event) => update(event.kill.task_id, "TASK_KILLED"),
    MESSAGE: (event) => {
        const data = "back: " + Buffer.from(event.message.data, "base64").toString();
        call("MESSAGE", { data: Buffer.from(data).toString("base64") }, (answer) => answer.resume());
    },
    SHUTDOWN: () => process.exit(0),
};

call("SUBSCRIBE", { unacknowledged_tasks: [], unacknowledged_updates: [] }, (answer) => {
    let rest = Buffer.alloc(0);
    answer.on("data", (bytes) => {
        rest = Buffer.concat([rest, bytes]);
        for (let at = rest.indexOf("\n"); at > 0; at = rest.indexOf("\n")) {
            const end = at + 1 + Number(rest.subarray(0, at));
            if (rest.length < end) return;
            const event = JSON.parse(rest.subarray(at + 1, end));
            rest = rest.subarray(end);
            if (on[event.type]) on[event.type](event);
        }
    });
    answer.on("end", () => process.exit(1));
});

// Plays one scenario with mesos-framework's Scheduler: scheduler.js HOST:PORT SCENARIO. Exit status 0 if all held.
"use strict";

const { Scheduler, Mesos } = require("mesos-framework");
const path = require("path");
const mesos = Mesos.getMesos();
const [, , master, scenario, given] = process.argv;
const [host, port] = master.split(":");

process.removeAllListeners("warning");
setTimeout(() => fail("nothing more happened"), 50000).unref();

function fail(why) {
    console.error("scenario " + scenario + ": " + why);
    process.exit(1);
}

function check(condition, why) {
    if (!condition) fail(why);
}

// A scheduler of one task (or none) whose updates go to `onUpdate`; its library answers the offers.
function scheduler(command, onUpdate, more) {
    const tasks = command === null ? {} : {
        work: {
            commandInfo: new mesos.CommandInfo(null, null, true, command, null, null),
            resources: { cpus: 0.1, mem: 32, ports: 1, disk: 0 },
        },
    };
    const made = new Scheduler(Object.assign({
        masterUrl: host, port, frameworkName: "npm " + scenario, restartStates: [],
        logging: { path: process.env.LOGS, fileName: "scheduler.log", level: "error" }, tasks,
    }, more));
    made.states = [];
    made.on("update", (update) => {
        made.states.push(update.status.state);
        onUpdate.call(made, update.status);
    });
    made.on("error", (error) => {
        if (!made.leaving) fail("error " + (error.message || JSON.stringify(error)) + (error.stack || ""));
    });
    made.on("ready", () => made.subscribe());
    return made;
}

function done(framework) {
    framework.leaving = true;
    framework.once("sent_teardown", () => process.exit(0));
    framework.teardown();
}

const scenarios = {
    finish() {
        scheduler("test -n \"$PORT0\" -o -n \"$HOST\" && echo hello", function (status) {
            if (status.state !== "TASK_FINISHED") return;
            check(String(this.states) === "TASK_STARTING,TASK_RUNNING,TASK_FINISHED", String(this.states));
            check(this.lastHeartbeat !== null, "no heartbeat before the task was over");
            done(this);
        });
    },

    // The library starts a failed task again, under another id.
    fail() {
        const ids = new Set();
        scheduler("exit 3", function (status) {
            if (status.state !== "TASK_FAILED") return;
            check(/exited with status 3/.test(status.message), "message " + status.message);
            ids.add(status.task_id.value);
            if (ids.size === 2) done(this);
        }, { restartStates: ["TASK_FAILED"] });
    },

    kill() {
        scheduler("sleep 1000", function (status) {
            if (status.state === "TASK_RUNNING") this.kill(status.task_id.value, status.agent_id.value);
            if (status.state !== "TASK_KILLED") return;
            check(this.getRunningTasks().length === 0 && this.launchedTasks.length === 0, "still thought to run");
            done(this);
        });
    },

    reconcile() {
        scheduler("sleep 1000", function (status) {
            if (status.reason === "REASON_RECONCILIATION") {
                if (status.task_id.value === "nobody") {
                    check(status.state === "TASK_LOST", "an unknown task is " + status.state);
                    this.reconcile();
                } else {
                    check(status.state === "TASK_RUNNING", "the task is " + status.state);
                    done(this);
                }
            } else if (status.state === "TASK_RUNNING") {
                this.reconcile("nobody", status.agent_id.value);
            }
        });
    },

    // A custom executor; messages there and back, then a kill through it.
    executor() {
        const command = "exec " + process.execPath + " " + path.join(__dirname, "executor.js");
        const resource = (name, value) => ({ name, type: "SCALAR", scalar: { value } });
        let launched = false;
        const framework = scheduler(null, function (status) {
            if (status.state === "TASK_RUNNING") {
                this.message(status.agent_id.value, "node", "there");
            }
            if (status.state === "TASK_KILLED") done(this);
        }, {
            handlers: {
                OFFERS: function (event) {
                    const offer = event.offers.shift();
                    if (launched) return this.decline([offer.id], null);
                    launched = true;
                    this.accept([offer.id], [{
                        type: "LAUNCH",
                        launch: { task_infos: [{
                            name: "custom", task_id: { value: "custom" }, agent_id: offer.agent_id,
                            resources: [resource("cpus", 0.1), resource("mem", 32)],
                            executor: {
                                executor_id: { value: "node" }, framework_id: { value: this.frameworkId },
                                command: { shell: true, value: command },
                                resources: [resource("cpus", 0.1), resource("mem", 32)],
                            },
                        }] },
                    }], null);
                },
            },
        });
        framework.on("message", (message) => {
            check(message.data === "back: there", "message " + message.data);
            check(message.executorId.value === "node", "from " + JSON.stringify(message.executorId));
            framework.kill("custom", message.agentId.value);
        });
    },

    // Leaves its task running and ends without a word; `successor` takes over its id.
    predecessor() {
        scheduler("sleep 1000", function (status) {
            if (status.state !== "TASK_RUNNING") return;
            this.once("sent_acknowledge", () => {
                process.stdout.write(this.frameworkId + "\n", () => process.exit(0));
            });
        });
    },

    successor() {
        const framework = scheduler(null, function (status) {
            if (status.state === "TASK_RUNNING") this.kill(status.task_id.value, status.agent_id.value);
            if (status.state === "TASK_KILLED") done(this);
        });
        framework.frameworkId = given;
        framework.on("subscribed", (subscribed) => {
            check(subscribed.frameworkId === given, "it became " + subscribed.frameworkId);
            framework.reconcile();
        });
    },
};

scenarios[scenario]();

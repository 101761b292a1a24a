"""Scenarios played by an unmodified pymesos against a running cluster.

usage: scheduler.py MASTER SCENARIO [PLACE]     (MASTER is host:port; drivers look for it at PLACE, as zk://host:port/path)

Each scenario is a function below; it raises, and the exit status is 1, if the cluster does not behave.
"""

import json
import os
import sys
import threading
import time
import traceback
from binascii import a2b_base64, b2a_base64
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from pymesos import MesosSchedulerDriver, Scheduler

DEADLINE = 60
TERMINAL = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR", "TASK_DROPPED", "TASK_GONE"}


def get(url):
    return json.loads(urlopen(url, timeout=10).read().decode("utf-8"))


def until(what, condition):
    """Polls until the condition gives something true, which is returned."""
    end = time.time() + DEADLINE
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("no %s within %d s" % (what, DEADLINE))


def task(name, command=None, executor=None, data=None):
    info = {
        "task_id": {"value": name},
        "name": name,
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    }
    if command is not None:
        info["command"] = {"value": command}
    if executor is not None:
        info["executor"] = executor
    if data is not None:
        info["data"] = b2a_base64(data).decode("ascii").strip()
    return info


class Recorder(Scheduler):
    """Launches the tasks it is given on the first offers, and writes down all it hears."""

    def __init__(self, tasks=()):
        self.pending = list(tasks)
        self.lock = threading.RLock()
        self.registrations = []
        self.offers = []
        self.updates = []
        self.messages = []
        self.errors = []
        self.agents = {}

    def registered(self, driver, framework_id, master_info):
        self.registrations.append(("registered", framework_id["value"], master_info))

    def reregistered(self, driver, master_info):
        self.registrations.append(("reregistered", None, master_info))

    def resourceOffers(self, driver, offers):
        with self.lock:
            for offer in offers:
                self.offers.append(offer)
                launch, self.pending = self.pending, []
                for info in launch:
                    info["agent_id"] = offer["agent_id"]
                    self.agents[info["task_id"]["value"]] = offer["agent_id"]
                if launch:
                    driver.launchTasks(offer["id"], launch, {"refuse_seconds": 0.1})
                else:
                    driver.declineOffer(offer["id"], {"refuse_seconds": 0.1})

    def statusUpdate(self, driver, update):
        self.updates.append(update)

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.messages.append(message)

    def error(self, driver, message):
        # pymesos would subscribe again, and so fight with whoever took its place.
        driver.stop(failover=True)
        self.errors.append(message)

    def states(self, name):
        return [u["state"] for u in list(self.updates) if u["task_id"]["value"] == name]

    def last(self, name):
        return [u for u in list(self.updates) if u["task_id"]["value"] == name][-1]

    def ended(self, name):
        return lambda: any(state in TERMINAL for state in self.states(name))


class Framework:
    """A pymesos driver that is stopped at the end of a `with`."""

    def __init__(self, master, scheduler, **info):
        self.scheduler = scheduler
        framework = {"user": "root", "name": "pymesos", "failover_timeout": 60}
        framework.update(info)
        place = sys.argv[3] if len(sys.argv) > 3 else master
        self.driver = MesosSchedulerDriver(scheduler, framework, place, failover=False)

    def __enter__(self):
        self.driver.start()
        until("registration", lambda: self.scheduler.registrations)
        return self

    def __exit__(self, *_):
        self.driver.stop()
        self.driver.join()

    @property
    def id(self):
        return self.driver.framework_id


def sandbox(master, framework_id, executor_id, name):
    """The text of a file in an executor's sandbox, found as the old command lines find it."""
    slaves = get("http://%s/master/slaves" % master)["slaves"]
    for slave in slaves:
        process, address = slave["pid"].split("@")
        state = get("http://%s/%s/state" % (address, process))
        for framework in state["frameworks"] + state["completed_frameworks"]:
            if framework["id"] != framework_id:
                continue
            for executor in framework["executors"] + framework["completed_executors"]:
                if executor["id"] == executor_id:
                    path = executor["directory"] + "/" + name
                    query = urlencode({"path": path, "offset": 0, "length": 60000})
                    return get("http://%s/files/read?%s" % (address, query))["data"]
    raise AssertionError("no executor %s of %s" % (executor_id, framework_id))


def finish(master):
    """register, offers, launch, STARTING/RUNNING/FINISHED, and stdout read through the agent."""
    scheduler = Recorder([task("finish", "echo said by the task; echo and this to stderr >&2")])
    with Framework(master, scheduler) as framework:
        until("end of the task", scheduler.ended("finish"))
        assert scheduler.states("finish") == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"], scheduler.updates
        assert scheduler.registrations[0][0] == "registered"
        offer = scheduler.offers[0]
        assert {"cpus", "mem"} <= {r["name"] for r in offer["resources"]}, offer
        assert "said by the task\n" in sandbox(master, framework.id, "finish", "stdout")
        assert "and this to stderr\n" in sandbox(master, framework.id, "finish", "stderr")
        update = scheduler.last("finish")
        assert update["source"] == "SOURCE_EXECUTOR", update
        assert update["agent_id"] == offer["agent_id"], update


def fail(master):
    """A failing command gives TASK_FAILED with its message."""
    scheduler = Recorder([task("fail", "exit 3")])
    with Framework(master, scheduler):
        until("end of the task", scheduler.ended("fail"))
        update = scheduler.last("fail")
        assert update["state"] == "TASK_FAILED", update
        assert update["message"] == "Command exited with status 3", update
        assert update["source"] == "SOURCE_EXECUTOR", update


def kill(master):
    """A kill gives TASK_KILLED, and the whole tree of processes ends."""
    marker = "kill-%d" % os.getpid()
    scheduler = Recorder([task("kill", "sh -c 'exec -a %s sleep 1000' & sh -c 'echo $$ > pid; sleep 1001'" % marker)])
    with Framework(master, scheduler) as framework:
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in scheduler.states("kill"))
        pid = int(until("pid of the task", lambda: sandbox_or_none(master, framework.id, "kill", "pid")))
        framework.driver.killTask({"value": "kill"})
        until("end of the task", scheduler.ended("kill"))
        assert scheduler.last("kill")["state"] == "TASK_KILLED", scheduler.last("kill")
        until("end of its process", lambda: not os.path.exists("/proc/%d" % pid))


def sandbox_or_none(master, framework_id, executor_id, name):
    try:
        return sandbox(master, framework_id, executor_id, name).strip()
    except (AssertionError, HTTPError):
        return None


def reconcile(master):
    """Explicit reconciliation of a running and of an unknown task, then implicit."""
    scheduler = Recorder([task("steady", "sleep 1000")])
    with Framework(master, scheduler) as framework:
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in scheduler.states("steady"))
        del scheduler.updates[:]
        framework.driver.reconcileTasks([{"task_id": {"value": "steady"}}, {"task_id": {"value": "never"}}])
        until("two answers", lambda: len(scheduler.updates) >= 2)
        assert scheduler.last("steady")["state"] == "TASK_RUNNING", scheduler.updates
        assert scheduler.last("steady")["reason"] == "REASON_RECONCILIATION", scheduler.updates
        assert scheduler.last("never")["state"] == "TASK_LOST", scheduler.updates
        assert scheduler.last("never")["reason"] == "REASON_RECONCILIATION", scheduler.updates
        del scheduler.updates[:]
        framework.driver.reconcileTasks([])
        until("an answer", lambda: scheduler.updates)
        assert scheduler.states("steady") == ["TASK_RUNNING"], scheduler.updates


def executor(master):
    """A Python executor: runs a task of its own, messages both ways."""
    here = os.path.dirname(os.path.abspath(__file__))
    info = {
        "executor_id": {"value": "echo"},
        "name": "echo",
        "command": {"value": "%s %s/executor.py" % (sys.executable, here)},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    }
    scheduler = Recorder([task("first", executor=info, data=b"payload"), task("second", executor=info, data=b"more")])
    with Framework(master, scheduler) as framework:
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in scheduler.states("first"))
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in scheduler.states("second"))
        running = [u for u in scheduler.updates if u["task_id"]["value"] == "first" and u["state"] == "TASK_RUNNING"]
        assert a2b_base64(running[0]["data"]) == b"payload", running
        word = b2a_base64(b"ping").decode("ascii").strip()
        framework.driver.sendFrameworkMessage({"value": "echo"}, scheduler.agents["first"], word)
        until("the executor's answer", lambda: scheduler.messages)
        assert a2b_base64(scheduler.messages[0]) == b"pong to ping", scheduler.messages
        framework.driver.killTask({"value": "second"})
        until("TASK_KILLED", lambda: "TASK_KILLED" in scheduler.states("second"))
        framework.driver.sendFrameworkMessage(
            {"value": "echo"}, scheduler.agents["first"], b2a_base64(b"finish first").decode("ascii").strip())
        until("TASK_FINISHED", lambda: "TASK_FINISHED" in scheduler.states("first"))


def failover(master):
    """A scheduler restarted under its framework id keeps its tasks."""
    before = Recorder([task("kept", "sleep 1000")])
    first = Framework(master, before)
    with first:
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in before.states("kept"))
        framework_id = first.id
        first.driver.stop(failover=True)
        first.driver.join()
    after = Recorder()
    with Framework(master, after, id={"value": framework_id}) as second:
        assert second.id == framework_id
        second.driver.reconcileTasks([])
        until("the task's state", lambda: after.updates)
        assert after.states("kept") == ["TASK_RUNNING"], after.updates
        second.driver.killTask({"value": "kept"})
        until("end of the task", after.ended("kept"))
        assert after.last("kept")["state"] == "TASK_KILLED", after.updates


def takeover(master):
    """A second scheduler under a living framework's id takes over; the first is told."""
    before = Recorder([task("taken", "sleep 1000")])
    first = Framework(master, before)
    first.driver.start()
    until("TASK_RUNNING", lambda: "TASK_RUNNING" in before.states("taken"))
    after = Recorder()
    with Framework(master, after, id={"value": first.id}) as second:
        until("the error", lambda: before.errors)
        assert before.errors[0] == "Framework failed over", before.errors
        second.driver.reconcileTasks([])
        until("the task's state", lambda: after.updates)
        assert after.states("taken") == ["TASK_RUNNING"], after.updates


def teardown(master):
    """TEARDOWN ends the tasks and moves the framework to the completed ones; its id is dead."""
    scheduler = Recorder([task("doomed", "echo $$ > pid; exec sleep 1000")])
    with Framework(master, scheduler) as framework:
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in scheduler.states("doomed"))
        pid = int(until("pid of the task", lambda: sandbox_or_none(master, framework.id, "doomed", "pid")))
        framework_id = framework.id
    completed = lambda: [f["id"] for f in get("http://%s/frameworks" % master)["completed_frameworks"]]
    until("end of the framework", lambda: framework_id in completed())
    until("end of its process", lambda: not os.path.exists("/proc/%d" % pid))
    again = Recorder()
    revenant = Framework(master, again, id={"value": framework_id})
    revenant.driver.start()
    until("the error", lambda: again.errors)
    assert "Framework has been removed" in again.errors[0], again.errors


def refusals(master):
    """What is invalid comes back as TASK_ERROR, or TASK_LOST for an offer that is gone."""
    huge = task("huge", "true")
    huge["resources"][0]["scalar"]["value"] = 100000
    scheduler = Recorder([huge])
    with Framework(master, scheduler) as framework:
        until("TASK_ERROR", lambda: "TASK_ERROR" in scheduler.states("huge"))
        update = scheduler.last("huge")
        assert (update["reason"], update["source"]) == ("REASON_TASK_INVALID", "SOURCE_MASTER"), update
        stale = task("stale", "true")
        stale["agent_id"] = scheduler.agents["huge"]
        framework.driver.launchTasks({"value": "no-such-offer"}, [stale])
        until("TASK_LOST", lambda: "TASK_LOST" in scheduler.states("stale"))
        assert scheduler.last("stale")["reason"] == "REASON_INVALID_OFFERS", scheduler.last("stale")


def moves(master):
    """Follows the leader: the one that it knows is killed once this says that it is ready."""
    scheduler = Recorder([task("before", "sleep 1000")])
    with Framework(master, scheduler) as framework:
        until("TASK_RUNNING", lambda: "TASK_RUNNING" in scheduler.states("before"))
        first, id = scheduler.registrations[0][2], framework.id
        print("ready", file=sys.stderr)
        sys.stderr.flush()
        until("another registration", lambda: len(scheduler.registrations) > 1)
        assert framework.id == id, "another framework"
        assert scheduler.registrations[-1][2]["port"] != first["port"], scheduler.registrations
        with scheduler.lock:
            scheduler.pending = [task("after", "true")]
        framework.driver.reviveOffers()
        until("TASK_FINISHED", lambda: "TASK_FINISHED" in scheduler.states("after"))
        assert not [s for s in scheduler.states("before") if s in TERMINAL], scheduler.states("before")


SCENARIOS = [finish, fail, kill, reconcile, executor, failover, takeover, teardown, refusals, moves]


def main():
    master, name = sys.argv[1:3]
    scenario = {s.__name__: s for s in SCENARIOS}[name]
    try:
        scenario(master)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    print("ok %s" % name)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

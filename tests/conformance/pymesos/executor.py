"""An executor on pymesos: its tasks run until told to finish; it answers every message."""

import os
import sys
import threading
from binascii import a2b_base64, b2a_base64

from pymesos import Executor, MesosExecutorDriver


class Echo(Executor):
    def __init__(self):
        self.done = threading.Event()

    def launchTask(self, driver, task):
        for state in ("TASK_STARTING", "TASK_RUNNING"):
            self.say(driver, task["task_id"], state, task.get("data"))

    def killTask(self, driver, task_id):
        self.say(driver, task_id, "TASK_KILLED")

    def frameworkMessage(self, driver, message):
        text = a2b_base64(message)
        if text.startswith(b"finish "):
            self.say(driver, {"value": text[len(b"finish "):].decode("ascii")}, "TASK_FINISHED")
            return
        driver.sendFrameworkMessage(b2a_base64(b"pong to " + text).decode("ascii").strip())

    def say(self, driver, task_id, state, data=None):
        update = {"task_id": task_id, "state": state}
        if data is not None:
            update["data"] = data
        driver.sendStatusUpdate(update)


if __name__ == "__main__":
    driver = MesosExecutorDriver(Echo())
    driver.run()
    sys.stdout.flush()
    os._exit(0)

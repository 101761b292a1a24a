"""jobs.py MODE ARGUMENTS, under spark-submit: jobs whose results go, line by line, to the file that JOB_SAYS names."""

import operator
import os
import random
import signal
import sys
import time

from pyspark import SparkContext, TaskContext


def say(*words):
    with open(os.environ["JOB_SAYS"], "a") as file:
        print(*words, file=file)


def wait_for(path):
    end = time.time() + 240
    while not os.path.exists(path):
        if time.time() > end:
            raise RuntimeError(path + " never came")
        time.sleep(0.05)


def count(sc, path):
    """The tutorial's: the words of a text file."""
    began = time.time()
    words = sc.textFile("file://" + path, 4).flatMap(str.split)
    most = words.map(lambda word: (word, 1)).reduceByKey(operator.add).sortBy(lambda pair: -pair[1]).first()
    say("words", words.count(), *most)
    say("took", "count", round(time.time() - began, 2))


def pi(sc):
    began = time.time()

    def inside(seed):
        chance = random.Random(seed)
        return sum(chance.random() ** 2 + chance.random() ** 2 < 1 for _ in range(20000))

    hits = sc.parallelize(range(4), 4).map(inside).reduce(operator.add)
    say("pi", 4 * hits / 80000)
    say("took", "pi", round(time.time() - began, 2))


def twenty(sc):
    began = time.time()
    results = [sc.parallelize(range(100), 2).map(lambda number: number + job).sum() for job in range(20)]
    say("twenty", results == [4950 + 100 * job for job in range(20)])
    say("took", "twenty", round(time.time() - began, 2))


def through(sc, flag):
    """A job that is under way until the flag is there."""

    def slow(number):
        wait_for(flag)
        return number

    say("under-way")
    say("through", sc.parallelize(range(2), 2).map(slow).sum())


def suicide(sc):
    """Its first attempt kills the executor that it runs in."""

    def deadly(number):
        if TaskContext.get().attemptNumber() == 0 and number == 0:
            # This process's parent is a daemon of Python's, whose parent is the executor.
            with open("/proc/%d/stat" % os.getppid()) as stat:
                os.kill(int(stat.read().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
            time.sleep(60)
        return number

    say("survived", sc.parallelize(range(4), 4).map(deadly).sum())


def main():
    mode, arguments = sys.argv[1], sys.argv[2:]
    began = time.time()
    sc = SparkContext()
    say("began", sc.applicationId)
    say("took", "context", round(time.time() - began, 2))
    if mode == "count":
        count(sc, arguments[0])
        pi(sc)
    elif mode == "day":
        text, flag = arguments
        count(sc, text)
        pi(sc)
        twenty(sc)
        through(sc, flag)
        suicide(sc)
    elif mode == "figures":
        # The first of each warms up.
        for _ in range(3):
            count(sc, arguments[0])
            pi(sc)
            twenty(sc)
    elif mode == "stay":
        count(sc, arguments[0])
        time.sleep(600)
    elif mode == "idle":
        time.sleep(600)
    sc.stop()
    say("stopped")


main()

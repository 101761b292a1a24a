"""What kazoo, a client of ZooKeeper in Python, sees of a server: `features.py HOST:PORT`.

Each section prints what came back, without what differs from run to run. A server that works as ZooKeeper does prints
what ZooKeeper prints; the test compares the two. The server has to be a new one.
"""
import hashlib
import logging
import queue
import socket
import struct
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import CancelledError, KazooException
from kazoo.protocol.states import EventType
from kazoo.security import ACL, Id, OPEN_ACL_UNSAFE, make_acl, make_digest_acl, make_digest_acl_credential

HOSTS = sys.argv[1]
ONLY = sys.argv[2:]
ROOT = "/kazoo"
SECTIONS = []
logging.basicConfig(level=logging.ERROR)


def section(function):
    SECTIONS.append(function)
    return function


def client(**more):
    one = KazooClient(hosts=HOSTS, timeout=more.pop("timeout", 10.0), **more)
    one.start(timeout=20)
    return one


def said(*what):
    print(" ", *what)


def tried(function, *arguments, **named):
    """The result, or the name of the refusal."""
    try:
        return function(*arguments, **named)
    except KazooException as error:
        return type(error).__name__
    except (TypeError, ValueError) as error:
        return "here: " + type(error).__name__


def stat(of):
    """What of a stat is the same everywhere."""
    if isinstance(of, str) or of is None:
        return of
    return dict(
        version=of.version, cversion=of.cversion, aversion=of.aversion, length=of.dataLength, children=of.numChildren,
        ephemeral=of.ephemeralOwner != 0, changed=of.mzxid > of.czxid, below=of.pzxid > of.czxid,
        times=of.ctime <= of.mtime and abs(of.ctime / 1000 - time.time()) < 600,
    )


def session_of(one):
    """Of a client that began with one that is over: it gets another after a moment."""
    end = time.time() + 20
    while time.time() < end:
        known = one.client_id
        if one.connected and known:
            return known[0]
        time.sleep(0.05)


class Events:
    """What watches tell, in order."""

    def __init__(self):
        self.queue = queue.Queue()

    def __call__(self, event):
        self.queue.put((event.type, event.path))

    def next(self, wait=10):
        try:
            return self.queue.get(timeout=wait)
        except queue.Empty:
            return "nothing"


@section
def nodes(zk):
    base = ROOT + "/nodes"
    said(zk.create(base, b"one", makepath=True))
    said(zk.get(base)[0], stat(zk.get(base)[1]))
    said(tried(zk.create, base, b""), tried(zk.create, base + "/x/y", b""), tried(zk.create, base + "/e/", b""))
    said(stat(zk.set(base, b"two")), tried(zk.set, base, b"", version=7), stat(zk.set(base, b"", version=1)))
    said(tried(zk.get, base + "/none"), zk.exists(base + "/none"), tried(zk.set, base + "/none", b""))
    said([zk.create(base + "/s-", b"", sequence=True)[-12:] for _ in range(3)])
    said(zk.create(base + "/plain", b"", include_data=True)[0], sorted(zk.get_children(base)))
    zk.delete(base + "/plain")
    said(zk.create(base + "/s-", b"", sequence=True)[-12:], stat(zk.exists(base)))
    children, of = zk.get_children(base, include_data=True)
    said(sorted(children), stat(of))
    said(tried(zk.delete, base), tried(zk.delete, base + "/s-0000000000", version=3), tried(zk.delete, base + "/none"))
    said(tried(zk.delete, "/"), tried(zk.create, "/", b""), tried(zk.get_children, base + "/none"))
    said(zk.create(base + "/nothing", None and b""), zk.get(base + "/nothing")[0], zk.sync(base))
    said(len(zk.get(zk.create(base + "/large", b"x" * 1000000))[0]))
    said(zk.ensure_path(base + "/a/b/c/d"), zk.delete(base, recursive=True), zk.exists(base))
    path, of = zk.create(base, b"abc", include_data=True)
    said(path, stat(of))
    said(zk.create("/kazoo/ünïcödé", "ß".encode()), zk.get("/kazoo/ünïcödé")[0])


@section
def odd_paths(zk):
    from kazoo.protocol.serialization import Create, Delete, Exists, GetChildren, GetData, SetData
    from kazoo.security import OPEN_ACL_UNSAFE as acl

    def raw(request):
        result = zk.handler.async_result()
        zk._call(request, result)
        try:
            answer = result.get(10)
            return stat(answer) if hasattr(answer, "czxid") else answer
        except KazooException as error:
            return type(error).__name__

    for path in ["", "x", "/kazoo/", "//", "/kazoo//x", "/kazoo/.", "/kazoo/../x", "/kazoo/a\x01b", "/kazoo/\x7f", "/kazoo/\ue000", "/zookeeper/new"]:
        said(repr(path), raw(Create(path, b"", acl, 0)), raw(Create(path, b"", acl, 2)) if path != "/kazoo/" else "")
    for path in ["", "x", "/kazoo/", "//", "/kazoo/."]:
        said(repr(path), raw(GetData(path, None)), raw(Exists(path, None)), raw(GetChildren(path, None)), raw(SetData(path, b"", -1)), raw(Delete(path, -1)))
    for flags in [3, 7, 9, -1]:
        answer = raw(Create("/kazoo/flags-", b"", acl, flags))
        said(flags, answer if "/" not in answer else answer[:-4])
    for wrong in [[], [ACL(31, Id("none", "x"))], [ACL(31, Id("digest", "x"))], [ACL(31, Id("ip", "x"))], [ACL(31, Id("auth", ""))], [ACL(31, Id("world", "x"))]]:
        said([tuple(one.id) for one in wrong], raw(Create("/kazoo/acl", b"", wrong, 0)))


@section
def ephemerals(zk):
    other = client()
    base = ROOT + "/ephemerals"
    zk.ensure_path(base)
    said(other.create(base + "/e", b"", ephemeral=True), stat(zk.exists(base + "/e")))
    said(other.create(base + "/q-", b"", ephemeral=True, sequence=True)[-12:], tried(zk.create, base + "/e/child", b""))
    events = Events()
    zk.get_children(base, watch=events)
    zk.exists(base + "/e", watch=events)
    said(zk.exists(base + "/e").ephemeralOwner == other.client_id[0])
    other.stop()
    other.close()
    said(sorted([events.next(), events.next()]), zk.get_children(base))


@section
def watches(zk):
    base = ROOT + "/watches"
    zk.ensure_path(base)
    other = client()
    for name, change in [
        ("created", lambda: other.create(base + "/x", b"")),
        ("changed", lambda: other.set(base + "/x", b"new")),
        ("child", lambda: other.create(base + "/x/y", b"")),
        ("grandchild", lambda: other.create(base + "/x/y/z", b"")),
        ("acl", lambda: other.set_acls(base + "/x", OPEN_ACL_UNSAFE)),
        ("gone", lambda: other.delete(base + "/x", recursive=True)),
    ]:
        data, exist, child, above = Events(), Events(), Events(), Events()
        tried(zk.get, base + "/x", watch=data)
        zk.exists(base + "/x", watch=exist)
        tried(zk.get_children, base + "/x", watch=child)
        zk.get_children(base, watch=above)
        change()
        # All that was told before this answer has come by then.
        zk.sync(base)
        said(name, data.next(0.3), exist.next(0.3), child.next(0.3), above.next(0.3))
    # Told once, and before the answer that shows the change.
    events = Events()
    zk.create(base + "/o", b"0")
    zk.get(base + "/o", watch=events)
    zk.set(base + "/o", b"1")
    zk.set(base + "/o", b"2")
    said(events.next(), events.next(0.3))
    other.stop()


@section
def transactions(zk):
    base = ROOT + "/multi"
    zk.ensure_path(base)
    said(zk.create(base + "/a", b""))
    t = zk.transaction()
    t.create(base + "/b", b"1")
    t.set_data(base + "/b", b"2")
    t.check(base + "/b", 1)
    t.create(base + "/c-", b"", sequence=True, ephemeral=True)
    t.delete(base + "/a")
    answers = t.commit()
    said([stat(one) if hasattr(one, "version") else one for one in answers])
    said(zk.get(base + "/b")[0], stat(zk.get(base + "/b")[1]), zk.exists(base + "/a"))
    events = Events()
    zk.get_children(base, watch=events)
    t = zk.transaction()
    t.create(base + "/d", b"")
    t.check(base + "/b", 9)
    t.delete(base + "/b")
    said([type(one).__name__ for one in t.commit()], zk.exists(base + "/d"), events.next(0.3))
    t = zk.transaction()
    t.create(base + "/d", b"")
    t.create(base + "/d", b"")
    said([type(one).__name__ for one in t.commit()], zk.exists(base + "/d"))
    t = zk.transaction()
    t.delete(base + "/b")
    t.create(base + "/b", b"again")
    said(t.commit(), zk.get(base + "/b")[0], stat(zk.exists(base + "/b")))
    said(stat(zk.exists(base)))
    said(zk.transaction().commit())


@section
def access(zk):
    base = ROOT + "/acl"
    acl = make_digest_acl("alice", "secret", all=True)
    zk.ensure_path(base)
    alice, bob = client(auth_data=[("digest", "alice:secret")]), client()
    said(alice.create(base + "/own", b"x", acl=[acl]), tried(bob.get, base + "/own"), tried(bob.set, base + "/own", b""))
    said(tried(bob.create, base + "/own/x", b""), tried(bob.get_children, base + "/own"), alice.get(base + "/own")[0])
    said(tried(bob.get_acls, base + "/own"), [tuple(one) for one in alice.get_acls(base + "/own")[0]])
    said(bob.exists(base + "/own") is not None, alice.create(base + "/own/x", b""), tried(bob.delete, base + "/own/x"))
    readable = [acl, make_acl("world", "anyone", read=True)]
    zk.create(base + "/read", b"r", acl=OPEN_ACL_UNSAFE)
    said(stat(zk.set_acls(base + "/read", readable)), tried(bob.set, base + "/read", b""), bob.get(base + "/read")[0])
    said([tuple(one) for one in bob.get_acls(base + "/read")[0]], tried(bob.set_acls, base + "/read", OPEN_ACL_UNSAFE))
    said(tried(alice.set_acls, base + "/read", readable, version=0), stat(alice.set_acls(base + "/read", readable, version=1)))
    said(alice.create(base + "/auth", b"", acl=[make_acl("auth", "", all=True)]), [tuple(one) for one in alice.get_acls(base + "/auth")[0]])
    bob.add_auth("digest", "alice:secret")
    said(bob.get(base + "/own")[0], stat(bob.set(base + "/read", b"by bob")))
    said(zk.create(base + "/ip", b"", acl=[make_acl("ip", "127.0.0.0/8", read=True)]), zk.get(base + "/ip")[0], tried(zk.set, base + "/ip", b""))
    said(zk.create(base + "/away", b"", acl=[make_acl("ip", "10.1.2.3", all=True)]), tried(zk.get, base + "/away"))
    said(zk.create(base + "/kept", b"", acl=[acl, make_acl("world", "anyone", read=True, create=True)]))
    zk.create(base + "/kept/x", b"")
    said(tried(zk.delete, base + "/kept/x"), tried(zk.set, base + "/kept", b""))
    alice.stop(), bob.stop()


@section
def reconnection(zk):
    base = ROOT + "/reconnect"
    zk.ensure_path(base)
    one = client(timeout=8.0)
    states = queue.Queue()
    one.add_listener(lambda state: states.put(state))
    events, kept = Events(), Events()
    one.create(base + "/data", b"1")
    one.create(base + "/mine", b"", ephemeral=True)
    one.get(base + "/data", watch=events)
    one.exists(base + "/later", watch=events)
    one.get_children(base, watch=events)
    one.get_children(base + "/data", watch=kept)
    before = one.client_id
    one._connection._socket.shutdown(socket.SHUT_RDWR)
    # While it is away.
    zk.set(base + "/data", b"2")
    zk.create(base + "/later", b"")
    said(states.get(timeout=20), states.get(timeout=20), one.client_id == before)
    said(sorted([events.next(), events.next(), events.next()]), kept.next(0.2))
    zk.create(base + "/data/x", b"")
    said(kept.next(), zk.exists(base + "/mine") is not None)
    # A second connection with the same session takes it over.
    said(one.client_state)
    one.stop()
    said(zk.exists(base + "/mine"))


@section
def expiry(zk):
    base = ROOT + "/expiry"
    zk.ensure_path(base)
    one = client(timeout=4.0)
    one.create(base + "/e", b"", ephemeral=True)
    gone = Events()
    zk.exists(base + "/e", watch=gone)
    session, password = one.client_id
    # Its connection goes without a word, and it does not come back.
    one._connection._connect = lambda *a, **k: time.sleep(60)
    one._connection._socket.shutdown(socket.SHUT_RDWR)
    said(gone.next(20), zk.exists(base + "/e"))
    late = KazooClient(hosts=HOSTS, client_id=(session, password))
    late.start()
    said(session_of(late) != session)
    late.stop()


@section
def recipes(zk):
    base = ROOT + "/recipes"
    zk.ensure_path(base)
    clients = [client() for _ in range(3)]
    # A lock is one's at a time.
    order, inside, most = [], [0], [0]

    def locked(number):
        with clients[number].Lock(base + "/lock", str(number)):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            order.append(number)
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=locked, args=(number,)) for number in (0, 1, 2) for _ in range(3)]
    [one.start() for one in threads]
    [one.join(60) for one in threads]
    said("lock", most[0], len(order))
    semaphore = clients[0].Semaphore(base + "/semaphore", max_leases=2)
    said("semaphore", semaphore.acquire(), clients[1].Semaphore(base + "/semaphore", max_leases=2).acquire(), tried(clients[2].Semaphore(base + "/semaphore", max_leases=2).acquire, blocking=False))
    # An election: the next takes over when the first is gone.
    led = queue.Queue()

    def lead(number, until):
        def leading():
            led.put(number)
            until.wait(30)
        try:
            clients[number].Election(base + "/election", str(number)).run(leading)
        except (CancelledError, KazooException):
            pass

    stops = [threading.Event(), threading.Event()]
    first = threading.Thread(target=lead, args=(0, stops[0]))
    first.start()
    said("election", led.get(timeout=20))
    second = threading.Thread(target=lead, args=(1, stops[1]))
    second.start()
    while len(clients[2].Election(base + "/election").contenders()) < 2:
        time.sleep(0.05)
    said("contenders", clients[2].Election(base + "/election").contenders())
    stops[0].set()
    said("then", led.get(timeout=20))
    stops[1].set()
    [one.join(20) for one in (first, second)]
    # A party.
    parties = [one.Party(base + "/party", str(number)) for number, one in enumerate(clients)]
    [party.join() for party in parties]
    said("party", sorted(parties[0]), len(parties[1]))
    parties[1].leave()
    said("party", sorted(clients[0].ShallowParty(base + "/party").__iter__()).__len__(), sorted(parties[0]))
    # A counter, from all sides.
    def count(number):
        counter = clients[number].Counter(base + "/counter")
        for _ in range(10):
            counter += 2
    threads = [threading.Thread(target=count, args=(number,)) for number in range(3)]
    [one.start() for one in threads]
    [one.join(60) for one in threads]
    said("counter", clients[0].Counter(base + "/counter").value)
    # Barriers.
    barrier = clients[0].Barrier(base + "/barrier")
    barrier.create()
    said("barrier", clients[1].Barrier(base + "/barrier").wait(0.2), barrier.remove(), clients[1].Barrier(base + "/barrier").wait(5))
    double = [one.DoubleBarrier(base + "/double", 3, str(number)) for number, one in enumerate(clients)]
    passed = queue.Queue()
    threads = [threading.Thread(target=lambda one=one: (one.enter(), passed.put(1), one.leave())) for one in double]
    [one.start() for one in threads]
    [one.join(30) for one in threads]
    said("double barrier", passed.qsize())
    # Queues.
    line = clients[0].Queue(base + "/queue")
    [line.put(b"%d" % number, priority=100 - number) for number in range(3)]
    said("queue", [clients[1].Queue(base + "/queue").get() for _ in range(4)])
    locking = clients[0].LockingQueue(base + "/locking")
    locking.put_all([b"a", b"b"])
    said("locking queue", clients[1].LockingQueue(base + "/locking").get(5), len(locking))
    # Watchers.
    seen, names = queue.Queue(), queue.Queue()
    zk.ensure_path(base + "/watched")
    clients[0].DataWatch(base + "/watched", lambda data, of: seen.put((data, of and of.version)))
    clients[0].ChildrenWatch(base + "/watched", lambda all: names.put(sorted(all)))
    said("watchers", seen.get(timeout=10), names.get(timeout=10))
    zk.set(base + "/watched", b"new")
    said(seen.get(timeout=10))
    zk.create(base + "/watched/x", b"")
    said(names.get(timeout=10))
    zk.delete(base + "/watched/x")
    said(names.get(timeout=10))
    zk.delete(base + "/watched")
    said(seen.get(timeout=10))
    # Partitions and leases.
    lease = clients[0].NonBlockingLease(base + "/lease", __import__("datetime").timedelta(seconds=60), identifier="a")
    other = clients[1].NonBlockingLease(base + "/lease", __import__("datetime").timedelta(seconds=60), identifier="b")
    said("lease", bool(lease), bool(other))
    partitioner = clients[0].SetPartitioner(base + "/parts", set=("a", "b"), time_boundary=0.2)
    while not partitioner.acquired:
        partitioner.wait_for_acquire(5)
    said("partitioner", sorted(partitioner))
    partitioner.finish()
    [one.stop() for one in clients]


def main():
    zk = client()
    zk.create(ROOT, b"")
    said(sorted(zk.get_children("/")), sorted(zk.get_children("/zookeeper")))
    for one in SECTIONS:
        if ONLY and one.__name__ not in ONLY:
            continue
        print(one.__name__, flush=True)
        one(zk)
    zk.stop()


main()

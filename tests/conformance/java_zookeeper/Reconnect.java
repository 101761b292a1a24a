import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;

/**
 * What a client of ZooKeeper hears whose connection breaks while others change what it watches, and when its session
 * has ended meanwhile. Arguments: the servers that it comes back to, `host:port`, the first being where it begins.
 * Prints what it saw.
 */
public class Reconnect {
    static final int TIMEOUT = 6000;
    static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

    public static void main(String[] servers) throws Exception {
        Gate gate = new Gate(servers);
        LinkedBlockingQueue<WatchedEvent> heard = new LinkedBlockingQueue<>();
        ZooKeeper other = new ZooKeeper(servers[0], TIMEOUT, event -> {});
        ZooKeeper watcher = new ZooKeeper("127.0.0.1:" + gate.port(), TIMEOUT, heard::add);
        until(heard, KeeperState.SyncConnected);
        watcher.addAuthInfo("digest", "user:secret".getBytes());

        for (String path : List.of("/r", "/r/data", "/r/gone", "/r/parent", "/r/quiet", "/r/kept", "/r/deep")) {
            other.create(path, "old".getBytes(), OPEN, CreateMode.PERSISTENT);
        }
        watcher.create("/r/mine", new byte[0], OPEN, CreateMode.EPHEMERAL);
        watcher.create("/r/secret", "s".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        watcher.sync("/r", (code, path, context) -> {}, null);
        watcher.getData("/r/data", true, null);
        watcher.getData("/r/gone", true, null);
        watcher.getChildren("/r/gone", true);
        watcher.exists("/r/born", true);
        watcher.exists("/r/unborn", true);
        watcher.getChildren("/r/parent", true);
        watcher.getData("/r/quiet", true, null);
        watcher.getChildren("/r/quiet", true);
        watcher.addWatch("/r/kept", AddWatchMode.PERSISTENT);
        watcher.addWatch("/r/deep", AddWatchMode.PERSISTENT_RECURSIVE);
        long session = watcher.getSessionId();

        gate.shut();
        until(heard, KeeperState.Disconnected);
        other.setData("/r/data", "new".getBytes(), -1);
        other.delete("/r/gone", -1);
        other.create("/r/born", new byte[0], OPEN, CreateMode.PERSISTENT);
        other.create("/r/parent/child", new byte[0], OPEN, CreateMode.PERSISTENT);
        other.setData("/r/kept", "new".getBytes(), -1);
        gate.open();
        until(heard, KeeperState.SyncConnected);
        say("the same session: " + (watcher.getSessionId() == session));
        say("missed: " + events(heard, 4));
        say("its node: " + (other.exists("/r/mine", false) != null));
        say("as whom it was: " + new String(watcher.getData("/r/secret", false, null)));

        other.setData("/r/quiet", "new".getBytes(), -1);
        other.create("/r/quiet/child", new byte[0], OPEN, CreateMode.PERSISTENT);
        other.create("/r/unborn", new byte[0], OPEN, CreateMode.PERSISTENT);
        other.create("/r/deep/node", new byte[0], OPEN, CreateMode.PERSISTENT);
        other.delete("/r/deep/node", -1);
        other.setData("/r/kept", "newer".getBytes(), -1);
        other.setData("/r/data", "newer".getBytes(), -1);
        say("still watched: " + events(heard, 6));

        gate.shut();
        until(heard, KeeperState.Disconnected);
        while (other.exists("/r/mine", false) != null) {
            Thread.sleep(100);
        }
        gate.open();
        until(heard, KeeperState.Expired);
        say("the session expired");
        try {
            watcher.getData("/r/data", false, null);
        } catch (KeeperException.SessionExpiredException error) {
            say("and is of no use");
        }
        ZooKeeper next = new ZooKeeper("127.0.0.1:" + gate.port(), TIMEOUT, event -> {});
        try {
            next.getData("/r/secret", false, null);
        } catch (KeeperException.NoAuthException error) {
            say("the next one is somebody else");
        }
        next.close();
        other.close();
        System.exit(0);
    }

    static void say(String line) {
        System.out.println(line);
    }

    /** What happened to nodes, so many events, in an order that does not depend on which of them was sent first. */
    static Set<String> events(LinkedBlockingQueue<WatchedEvent> heard, int count) throws Exception {
        Set<String> all = new TreeSet<>();
        while (all.size() < count) {
            WatchedEvent event = heard.poll(20, TimeUnit.SECONDS);
            if (event == null) {
                break;
            }
            all.add(event.getType() + " " + event.getPath());
        }
        WatchedEvent more = heard.poll(300, TimeUnit.MILLISECONDS);
        if (more != null) {
            all.add("more: " + more);
        }
        return all;
    }

    static void until(LinkedBlockingQueue<WatchedEvent> heard, KeeperState state) throws Exception {
        while (true) {
            WatchedEvent event = heard.poll(60, TimeUnit.SECONDS);
            if (event == null) {
                throw new IllegalStateException("never " + state);
            }
            if (event.getType() == EventType.None && event.getState() == state) {
                return;
            }
            say("instead of " + state + ": " + event);
        }
    }

    /** Between a client and the servers: each time it opens, it leads to the next of them. */
    static class Gate {
        private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
        private final String[] servers;
        private int turn = 0;
        private boolean isOpen = true;

        Gate(String[] servers) throws IOException {
            this.servers = servers;
            start(this::listen);
        }

        int port() {
            return listener.getLocalPort();
        }

        synchronized void shut() throws IOException {
            isOpen = false;
            for (Socket socket : sockets) {
                socket.close();
            }
            sockets.clear();
        }

        synchronized void open() {
            turn++;
            isOpen = true;
        }

        private void listen() throws IOException {
            while (true) {
                pass(listener.accept());
            }
        }

        private synchronized void pass(Socket client) throws IOException {
            if (!isOpen) {
                client.close();
                return;
            }
            String[] server = servers[turn % servers.length].split(":");
            Socket socket = new Socket(server[0], Integer.parseInt(server[1]));
            sockets.add(client);
            sockets.add(socket);
            start(() -> copy(client, socket));
            start(() -> copy(socket, client));
        }

        private static void copy(Socket from, Socket to) throws IOException {
            try (from; to) {
                InputStream in = from.getInputStream();
                in.transferTo(to.getOutputStream());
            }
        }

        interface Work {
            void run() throws IOException;
        }

        private static void start(Work work) {
            Thread thread = new Thread(() -> {
                try {
                    work.run();
                } catch (IOException ended) {
                    // The other side hears of it by its connection's end.
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
    }
}

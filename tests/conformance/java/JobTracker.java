import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.mesos.MesosNativeLibrary;
import org.apache.mesos.MesosSchedulerDriver;
import org.apache.mesos.Protos.*;
import org.apache.mesos.Scheduler;
import org.apache.mesos.SchedulerDriver;
import org.apache.mesos.protobuf.ByteString;

/**
 * {@code JobTracker SCENARIO MASTER ARGUMENTS}: a scheduler after Hadoop's on Java's driver. Exit status 0 if everything
 * was as it has to be; otherwise stderr says what was not.
 */
public class JobTracker implements Scheduler {
  /** What was called, and with what. */
  static class Called {
    final String name;
    final Object[] with;

    Called(String name, Object... with) {
      this.name = name;
      this.with = with;
    }

    @Override
    public String toString() {
      return name + Arrays.toString(with);
    }
  }

  final BlockingQueue<Called> called = new LinkedBlockingQueue<>();
  /** Offers that came while something else was waited for. */
  /** What is not taken may be offered again at once. */
  static final Filters SOON = Filters.newBuilder().setRefuseSeconds(0).build();

  final List<Offer> offers = new ArrayList<>();
  /** Tasks whose updates may be told again, after their agent was away. */
  final List<String> finished = new ArrayList<>();
  final MesosSchedulerDriver driver;

  JobTracker(String master, String name, boolean implicit) {
    FrameworkInfo info = FrameworkInfo.newBuilder().setUser("").setName(name).setRole("*").setCheckpoint(true).build();
    driver = implicit
        ? new MesosSchedulerDriver(this, info, master)
        : new MesosSchedulerDriver(this, info, master, false);
  }

  @Override
  public void registered(SchedulerDriver driver, FrameworkID id, MasterInfo master) {
    called.add(new Called("registered", id, master));
  }

  @Override
  public void reregistered(SchedulerDriver driver, MasterInfo master) {
    called.add(new Called("reregistered", master));
  }

  @Override
  public void disconnected(SchedulerDriver driver) {
    called.add(new Called("disconnected"));
  }

  @Override
  public void resourceOffers(SchedulerDriver driver, List<Offer> offers) {
    called.add(new Called("resourceOffers", offers));
  }

  @Override
  public void offerRescinded(SchedulerDriver driver, OfferID id) {
    called.add(new Called("offerRescinded", id));
  }

  @Override
  public void statusUpdate(SchedulerDriver driver, TaskStatus status) {
    called.add(new Called("statusUpdate", status));
  }

  @Override
  public void frameworkMessage(SchedulerDriver driver, ExecutorID executor, SlaveID agent, byte[] data) {
    called.add(new Called("frameworkMessage", executor, agent, new String(data)));
  }

  @Override
  public void slaveLost(SchedulerDriver driver, SlaveID agent) {
    called.add(new Called("slaveLost", agent));
  }

  @Override
  public void executorLost(SchedulerDriver driver, ExecutorID executor, SlaveID agent, int status) {
    called.add(new Called("executorLost", executor, agent, status));
  }

  @Override
  public void error(SchedulerDriver driver, String message) {
    called.add(new Called("error", message));
  }

  // ---- what has to be ----

  static void check(boolean holds, Object what) {
    if (!holds) {
      throw new AssertionError(String.valueOf(what));
    }
  }

  static void equal(Object found, Object expected) {
    check(expected.equals(found), found + " instead of " + expected);
  }

  boolean isToldAgain(Called one) {
    return one.name.equals("statusUpdate") && finished.contains(((TaskStatus) one.with[0]).getTaskId().getValue());
  }

  /** The next callback that has nothing to do with offers. */
  Called next() throws InterruptedException {
    while (true) {
      Called one = called.poll(120, TimeUnit.SECONDS);
      check(one != null, "nothing is called");
      if (isToldAgain(one)) {
        continue;
      }
      if (one.name.equals("resourceOffers")) {
        for (Object offer : (List<?>) one.with[0]) {
          offers.add((Offer) offer);
        }
      } else if (one.name.equals("offerRescinded")) {
        offers.removeIf(offer -> offer.getId().equals(one.with[0]));
      } else {
        return one;
      }
    }
  }

  Called next(String name) throws InterruptedException {
    Called one = next();
    check(one.name.equals(name), one + " instead of " + name);
    return one;
  }

  TaskStatus next(String task, TaskState state) throws InterruptedException {
    TaskStatus status = (TaskStatus) next("statusUpdate").with[0];
    check(status.getTaskId().getValue().equals(task) && status.getState() == state, status);
    check(status.hasSlaveId(), "no agent in " + status);
    return status;
  }

  /** The task finishes, whatever else is told a second time meanwhile; gives its last data. */
  String finishes(String task) throws InterruptedException {
    while (true) {
      TaskStatus status = (TaskStatus) next("statusUpdate").with[0];
      if (status.getTaskId().getValue().equals(task) && status.getState() == TaskState.TASK_FINISHED) {
        finished.add(task);
        return status.getData().toStringUtf8();
      }
      equal(status.getState(), TaskState.TASK_RUNNING);
    }
  }

  /** The task fails with its executor, which ended with this exit status; either is told first. */
  void fails(String task, int exit) throws InterruptedException {
    boolean failed = false;
    boolean lost = false;
    while (!failed || !lost) {
      Called one = next();
      if (one.name.equals("executorLost")) {
        equal(one.with[2], exit << 8);
        lost = true;
      } else {
        TaskStatus status = (TaskStatus) one.with[0];
        check(status.getTaskId().getValue().startsWith(task) && status.getState() == TaskState.TASK_FAILED, status);
        failed = true;
      }
    }
  }

  /** Another tracker in place of one that died; an agent that has not cleared the old one away drops it. */
  void restart(String task, ExecutorInfo executor) throws InterruptedException {
    for (int attempt = 0; attempt < 100; ++attempt) {
      String id = task + "." + attempt;
      Offer offer = offer();
      // While the old one is being cleared away, what is offered may be what it left over.
      while (cpus(offer.getResourcesList()) < cpus(task(id, offer, executor, "").getResourcesList()) + cpus(executor.getResourcesList())) {
        equal(driver.declineOffer(offer.getId(), SOON), Status.DRIVER_RUNNING);
        offer = offer();
      }
      launch(offer, task(id, offer, executor, ""));
      while (true) {
        Called one = next();
        if (one.name.equals("executorLost")) {
          continue;
        }
        TaskStatus status = (TaskStatus) one.with[0];
        if (status.getTaskId().getValue().equals(id) && status.getState() == TaskState.TASK_RUNNING) {
          return;
        }
        check(status.getState() == TaskState.TASK_LOST, status);
        break;
      }
    }
    throw new AssertionError("no other tracker");
  }

  static double cpus(List<Resource> resources) {
    return resources.stream().filter(one -> one.getName().equals("cpus")).mapToDouble(one -> one.getScalar().getValue()).sum();
  }

  Offer offer() throws InterruptedException {
    while (offers.isEmpty()) {
      Called one = called.poll(120, TimeUnit.SECONDS);
      if (one != null && isToldAgain(one)) {
        continue;
      }
      check(one != null && one.name.equals("resourceOffers"), one + " instead of an offer");
      for (Object offer : (List<?>) one.with[0]) {
        offers.add((Offer) offer);
      }
    }
    return offers.remove(0);
  }

  // ---- what Hadoop asks for ----

  static Resource scalar(String name, double value) {
    return Resource.newBuilder().setName(name).setType(Value.Type.SCALAR)
        .setScalar(Value.Scalar.newBuilder().setValue(value)).build();
  }

  static Resource port(long port) {
    Value.Range range = Value.Range.newBuilder().setBegin(port).setEnd(port).build();
    return Resource.newBuilder().setName("ports").setType(Value.Type.RANGES)
        .setRanges(Value.Ranges.newBuilder().addRange(range)).build();
  }

  static Environment.Variable variable(String name, String value) {
    return Environment.Variable.newBuilder().setName(name).setValue(value).build();
  }

  /** A tracker's executor; its command is what starts it. */
  static ExecutorInfo executor(String command, String uri) {
    Environment environment = Environment.newBuilder()
        .addVariables(variable("HADOOP_HEAPSIZE", "64"))
        .addVariables(variable("MESOS_NATIVE_JAVA_LIBRARY", System.getenv("MESOS_NATIVE_JAVA_LIBRARY")))
        .build();
    return ExecutorInfo.newBuilder()
        .setExecutorId(ExecutorID.newBuilder().setValue("executor_Task_Tracker_0"))
        .setName("Hadoop TaskTracker").setSource("Task_Tracker_0")
        .setData(ByteString.copyFromUtf8("slots=2"))
        .addResources(scalar("cpus", 1)).addResources(scalar("mem", 256))
        .setCommand(CommandInfo.newBuilder().setEnvironment(environment).setValue(command)
            .addUris(CommandInfo.URI.newBuilder().setValue(uri)))
        .build();
  }

  static TaskInfo task(String id, Offer offer, ExecutorInfo executor, String data, Resource... more) {
    return TaskInfo.newBuilder()
        .setTaskId(TaskID.newBuilder().setValue(id)).setName(id).setSlaveId(offer.getSlaveId())
        .addResources(scalar("cpus", 3 * 0.2f)).addResources(scalar("mem", 3 * 16f))
        .addAllResources(Arrays.asList(more))
        .setExecutor(executor).setData(ByteString.copyFromUtf8(data)).build();
  }

  void launch(Offer offer, TaskInfo task) {
    equal(driver.launchTasks(offer.getId(), Collections.singletonList(task), SOON), Status.DRIVER_RUNNING);
  }

  void stop() {
    equal(driver.stop(), Status.DRIVER_STOPPED);
    equal(driver.join(), Status.DRIVER_STOPPED);
  }

  /** A tracker that lives long, with tasks sent to it one by one; it dies, and another takes its place. */
  static void tracker(String master, String command, String uri) throws Exception {
    JobTracker it = new JobTracker(master, "Hadoop: (RPC port: 9001, WebUI port: 50030)", true);
    equal(it.driver.start(), Status.DRIVER_RUNNING);
    it.next("registered");
    ExecutorInfo executor = executor(command, uri);
    Offer offer = it.offer();
    SlaveID agent = offer.getSlaveId();
    it.launch(offer, task("Task_Tracker_0", offer, executor, "", port(31000), port(31001)));
    TaskStatus first = it.next("Task_Tracker_0", TaskState.TASK_RUNNING);
    equal(first.getData().toStringUtf8(), "{HADOOP_HEAPSIZE=64, configuration=slots=2 for Hadoop: (RPC port: 9001,"
        + " WebUI port: 50030), fetched=true}");
    for (int slot = 0; slot < 10; ++slot) {
      String id = "slot_" + slot;
      offer = it.offer();
      it.launch(offer, task(id, offer, executor, "finish " + slot));
      it.next(id, TaskState.TASK_RUNNING);
      equal(it.next(id, TaskState.TASK_FINISHED).getData().toStringUtf8(), "finish " + slot);
    }
    offer = it.offer();
    it.launch(offer, task("killed", offer, executor, ""));
    it.next("killed", TaskState.TASK_RUNNING);
    it.driver.killTask(TaskID.newBuilder().setValue("killed").build());
    it.next("killed", TaskState.TASK_KILLED);
    it.driver.sendFrameworkMessage(executor.getExecutorId(), agent, "h\u00e9 da".getBytes("UTF-8"));
    Called message = it.next("frameworkMessage");
    equal(Arrays.asList(message.with[0], message.with[1]), Arrays.asList(executor.getExecutorId(), agent));

    it.driver.sendFrameworkMessage(executor.getExecutorId(), agent, "die".getBytes());
    it.fails("Task_Tracker_0", 7);
    it.restart("Task_Tracker_1", executor);
    // An exception in its callback ends it, by its own exit status.
    it.driver.sendFrameworkMessage(executor.getExecutorId(), agent, "throw".getBytes());
    it.fails("Task_Tracker_1", 1);
    it.restart("Task_Tracker_2", executor);
    it.stop();
  }

  /** A tracker outlives its agent's end: what it says meanwhile comes when the agent is back, and it goes on. */
  static void outlives(String master, String command, String uri, String file) throws Exception {
    JobTracker it = new JobTracker(master, "outlives", true);
    it.driver.start();
    it.next("registered");
    ExecutorInfo executor = executor(command, uri);
    Offer offer = it.offer();
    it.launch(offer, task("meanwhile", offer, executor, "when " + file));
    it.next("meanwhile", TaskState.TASK_RUNNING);
    String by = it.finishes("meanwhile");
    it.offers.clear();
    offer = it.offer();
    it.launch(offer, task("afterwards", offer, executor, "when " + file));
    it.next("afterwards", TaskState.TASK_RUNNING);
    equal(it.finishes("afterwards"), by);
    it.stop();
  }

  /** What drivers return, what they refuse, and what an exception does. */
  static void manners(String master) throws Exception {
    MesosNativeLibrary.load();
    check(MesosNativeLibrary.version().equals(new MesosNativeLibrary.Version(1, 11, 0)), "another version");
    for (Runnable absent : new Runnable[] {
        () -> new org.apache.mesos.Log(1, "/tmp/log", Collections.<String>emptySet()),
        () -> new org.apache.mesos.state.ZooKeeperState("127.0.0.1:1", 1, TimeUnit.SECONDS, "/state")}) {
      try {
        absent.run();
        throw new AssertionError("not refused");
      } catch (UnsupportedOperationException refused) {
        check(refused.getMessage().startsWith("libmesos: "), refused);
      }
    }
    TaskID nobody = TaskID.newBuilder().setValue("nobody").build();
    JobTracker it = new JobTracker(master, "manners", false);
    equal(it.driver.killTask(nobody), Status.DRIVER_NOT_STARTED);
    equal(it.driver.join(), Status.DRIVER_NOT_STARTED);
    equal(it.driver.start(), Status.DRIVER_RUNNING);
    equal(it.driver.start(), Status.DRIVER_RUNNING);
    it.next("registered");
    it.driver.suppressOffers();
    it.driver.reconcileTasks(Collections.singletonList(
        TaskStatus.newBuilder().setTaskId(nobody).setState(TaskState.TASK_RUNNING).build()));
    TaskStatus lost = (TaskStatus) it.next("statusUpdate").with[0];
    equal(lost.getReason(), TaskStatus.Reason.REASON_RECONCILIATION);
    equal(it.driver.acknowledgeStatusUpdate(lost), Status.DRIVER_RUNNING);
    equal(it.driver.reviveOffers(), Status.DRIVER_RUNNING);
    Offer offer = it.offer();
    equal(it.driver.declineOffer(offer.getId()), Status.DRIVER_RUNNING);
    equal(it.driver.acceptOffers(Collections.<OfferID>emptyList(), Collections.<Offer.Operation>emptyList(),
        Filters.getDefaultInstance()), Status.DRIVER_RUNNING);
    equal(it.driver.requestResources(Collections.<Request>emptyList()), Status.DRIVER_RUNNING);
    equal(it.driver.abort(), Status.DRIVER_ABORTED);
    equal(it.driver.join(), Status.DRIVER_ABORTED);
    equal(it.driver.killTask(nobody), Status.DRIVER_ABORTED);
    equal(it.driver.stop(true), Status.DRIVER_ABORTED);
    equal(it.driver.join(), Status.DRIVER_STOPPED);

    JobTracker lost_way = new JobTracker("zk://nowhere", "manners", true);
    equal(lost_way.driver.run(), Status.DRIVER_ABORTED);
    check(lost_way.next("error").with[0].toString().startsWith("Failed to create a master detector for 'zk://nowhere'"),
        "another error");

    JobTracker throwing = new JobTracker(master, "throws", true) {
      @Override
      public void resourceOffers(SchedulerDriver driver, List<Offer> offers) {
        throw new IllegalStateException("thrown on purpose");
      }
    };
    equal(throwing.driver.run(), Status.DRIVER_ABORTED);
    throwing.next("registered");
    check(throwing.called.isEmpty(), "called after its end");

    // Drivers that nobody holds any more are collected, though they run.
    for (int number = 0; number < 5; ++number) {
      JobTracker dropped = new JobTracker(master, "dropped", true);
      dropped.driver.start();
      dropped.next("registered");
    }
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (drivers() > 0) {
      check(System.nanoTime() < end, "drivers are kept");
      System.gc();
      Thread.sleep(20);
    }
  }

  /** How many drivers have a thread. */
  static long drivers() throws Exception {
    long count = 0;
    for (java.io.File task : new java.io.File("/proc/self/task").listFiles()) {
      try {
        String name = new String(java.nio.file.Files.readAllBytes(task.toPath().resolve("comm"))).trim();
        count += name.equals("mesos-scheduler") ? 1 : 0;
      } catch (java.io.IOException gone) {
        // It ended meanwhile.
      }
    }
    return count;
  }

  static long resident() throws Exception {
    for (String line : java.nio.file.Files.readAllLines(java.nio.file.Paths.get("/proc/self/status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    throw new AssertionError("no VmRSS");
  }

  /** So many updates, which come of asking for tasks that nobody knows. Prints what memory they cost. */
  static void many(String master, int count) throws Exception {
    final int batch = 1000;
    AtomicInteger heard = new AtomicInteger();
    JobTracker it = new JobTracker(master, "many", true) {
      @Override
      public void statusUpdate(SchedulerDriver driver, TaskStatus status) {
        if (heard.incrementAndGet() % batch == 0) {
          called.add(new Called("batch"));
        }
      }
    };
    it.driver.start();
    it.next("registered");
    it.driver.suppressOffers();
    Collection<TaskStatus> asked = new ArrayList<>();
    for (int number = 0; number < batch; ++number) {
      asked.add(TaskStatus.newBuilder().setState(TaskState.TASK_RUNNING)
          .setTaskId(TaskID.newBuilder().setValue("task-" + number)).build());
    }
    long before = 0;
    long began = 0;
    for (int done = 0; done < count; done += batch) {
      // The first tenth is for warming up.
      if (done >= count / 10 && before == 0) {
        System.gc();
        before = resident();
        began = System.nanoTime();
      }
      it.driver.reconcileTasks(asked);
      it.next("batch");
    }
    double seconds = (System.nanoTime() - began) / 1e9;
    System.gc();
    long grown = resident() - before;
    System.out.printf("%d updates, %.0f a second, %d KB resident, %+d KB%n", heard.get(), 0.9 * count / seconds,
        resident(), grown);
    it.stop();
  }

  public static void main(String[] arguments) throws Exception {
    try {
      switch (arguments[0]) {
        case "tracker":
          tracker(arguments[1], arguments[2], arguments[3]);
          break;
        case "outlives":
          outlives(arguments[1], arguments[2], arguments[3], arguments[4]);
          break;
        case "manners":
          manners(arguments[1]);
          break;
        case "many":
          many(arguments[1], Integer.parseInt(arguments[2]));
          break;
        default:
          throw new AssertionError("no such scenario");
      }
    } catch (Throwable problem) {
      problem.printStackTrace();
      System.exit(1);
    }
    // Whatever still runs must not keep the virtual machine from ending.
  }
}

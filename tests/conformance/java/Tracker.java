import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.mesos.Executor;
import org.apache.mesos.ExecutorDriver;
import org.apache.mesos.MesosExecutorDriver;
import org.apache.mesos.Protos.*;
import org.apache.mesos.protobuf.ByteString;

/**
 * A tracker after Hadoop's: it lives long, holds slots, and is sent tasks one by one. A task whose data says so is
 * finished at once or when a file is there, any other runs until it is killed; a message is sent back, and {@code die} ends the process.
 */
public class Tracker implements Executor {
  private String configuration = "";
  private final Map<String, Boolean> running = new ConcurrentHashMap<>();

  public static void main(String[] arguments) {
    Status status = new MesosExecutorDriver(new Tracker()).run();
    System.err.println("run() gave " + status);
    System.exit(status == Status.DRIVER_STOPPED ? 0 : 1);
  }

  @Override
  public void registered(ExecutorDriver driver, ExecutorInfo executor, FrameworkInfo framework, SlaveInfo agent) {
    configuration = executor.getData().toStringUtf8() + " for " + framework.getName();
  }

  @Override
  public void reregistered(ExecutorDriver driver, SlaveInfo agent) {}

  @Override
  public void disconnected(ExecutorDriver driver) {}

  private void update(ExecutorDriver driver, TaskID task, TaskState state, String data) {
    driver.sendStatusUpdate(TaskStatus.newBuilder()
        .setTaskId(task).setState(state).setData(ByteString.copyFromUtf8(data)).build());
  }

  @Override
  public void launchTask(ExecutorDriver driver, TaskInfo task) {
    running.put(task.getTaskId().getValue(), true);
    Map<String, String> says = new TreeMap<>();
    says.put("configuration", configuration);
    says.put("HADOOP_HEAPSIZE", System.getenv("HADOOP_HEAPSIZE"));
    says.put("fetched", String.valueOf(new java.io.File("job.conf").exists()));
    update(driver, task.getTaskId(), TaskState.TASK_RUNNING, says.toString());
    String wish = task.getData().toStringUtf8();
    if (wish.startsWith("finish")) {
      running.remove(task.getTaskId().getValue());
      update(driver, task.getTaskId(), TaskState.TASK_FINISHED, wish);
    } else if (wish.startsWith("when ")) {
      finishWhen(driver, task.getTaskId(), new java.io.File(wish.substring("when ".length())));
    }
  }

  /** Finishes the task once the file is there, and says by another that the update is sent. */
  private void finishWhen(ExecutorDriver driver, TaskID task, java.io.File file) {
    new Thread(() -> {
      try {
        while (!file.exists()) {
          Thread.sleep(20);
        }
        update(driver, task, TaskState.TASK_FINISHED, "by " + ProcessHandle.current().pid());
        check(new java.io.File(file + ".sent").createNewFile());
      } catch (Exception problem) {
        problem.printStackTrace();
      }
    }).start();
  }

  private static void check(boolean holds) {
    if (!holds) {
      throw new AssertionError();
    }
  }

  @Override
  public void killTask(ExecutorDriver driver, TaskID task) {
    if (running.remove(task.getValue()) != null) {
      update(driver, task, TaskState.TASK_KILLED, "");
    }
  }

  @Override
  public void frameworkMessage(ExecutorDriver driver, byte[] data) {
    if (new String(data).equals("die")) {
      Runtime.getRuntime().halt(7);
    }
    if (new String(data).equals("throw")) {
      throw new IllegalStateException("thrown on purpose");
    }
    driver.sendFrameworkMessage(data);
  }

  @Override
  public void shutdown(ExecutorDriver driver) {
    // As Hadoop's and Spark's: it is the driver that ends the process.
  }

  @Override
  public void error(ExecutorDriver driver, String message) {
    System.err.println("error: " + message);
  }
}

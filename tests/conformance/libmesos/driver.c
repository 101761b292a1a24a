/* driver HOST:PORT FRAMEWORK_INFO implicit|explicit [CREDENTIAL]: our libmesos.so's scheduler driver through its C
 * interface, worked by the same lines as driver.cc works Apache Mesos' own. */

#include <mesos.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *why) {
  fprintf(stderr, "driver: %s\n", why);
  _exit(1);
}

static void print_hex(mesos_bytes bytes) {
  const unsigned char *at = bytes.data;
  putchar(' ');
  if (bytes.size == 0) putchar('-');
  for (size_t index = 0; index < bytes.size; ++index) printf("%02x", at[index]);
}

static void called(const char *name, const mesos_bytes *arguments, size_t count, const int *number) {
  pthread_mutex_lock(&printing);
  printf("called %s", name);
  for (size_t index = 0; index < count; ++index) print_hex(arguments[index]);
  if (number) printf(" %d", *number);
  putchar('\n');
  fflush(stdout);
  pthread_mutex_unlock(&printing);
}

#define CALLED(name, ...)                                                  \
  do {                                                                     \
    const mesos_bytes arguments[] = {__VA_ARGS__};                         \
    called(name, arguments, sizeof arguments / sizeof arguments[0], NULL); \
  } while (0)

static void registered(void *context, mesos_bytes id, mesos_bytes master) { (void)context; CALLED("registered", id, master); }
static void reregistered(void *context, mesos_bytes master) { (void)context; CALLED("reregistered", master); }
static void disconnected(void *context) { (void)context; called("disconnected", NULL, 0, NULL); }
static void resource_offers(void *context, const mesos_bytes *offers, size_t count) {
  (void)context;
  for (size_t index = 0; index < count; ++index) called("resourceOffers", &offers[index], 1, NULL);
}
static void offer_rescinded(void *context, mesos_bytes id) { (void)context; CALLED("offerRescinded", id); }
static void status_update(void *context, mesos_bytes status) { (void)context; CALLED("statusUpdate", status); }
static void framework_message(void *context, mesos_bytes executor, mesos_bytes agent, mesos_bytes data) {
  (void)context;
  CALLED("frameworkMessage", executor, agent, data);
}
static void agent_lost(void *context, mesos_bytes agent) { (void)context; CALLED("slaveLost", agent); }
static void executor_lost(void *context, mesos_bytes executor, mesos_bytes agent, int status) {
  (void)context;
  const mesos_bytes arguments[] = {executor, agent};
  called("executorLost", arguments, 2, &status);
}
static void error(void *context, mesos_bytes message) { (void)context; CALLED("error", message); }

/* Bytes of hex in place; they live as long as the line. */
static mesos_bytes from_hex(char *hex) {
  mesos_bytes bytes = {hex, 0};
  if (strcmp(hex, "-") == 0) return bytes;
  for (const char *at = hex; at[0] && at[1]; at += 2) {
    const char digits[3] = {at[0], at[1], 0};
    hex[bytes.size++] = (char)strtol(digits, NULL, 16);
  }
  return bytes;
}

typedef struct list {
  mesos_bytes *first;
  size_t count;
} list;

static list split(char *text) {
  list all = {calloc(strlen(text) + 1, sizeof(mesos_bytes)), 0};
  if (!all.first) fail("no memory");
  char *rest = strcmp(text, "-") == 0 ? NULL : text;
  for (char *word; rest && (word = strsep(&rest, ","));) all.first[all.count++] = from_hex(word);
  return all;
}

/* One function of the driver, by its name. */
static int call(mesos_scheduler *driver, const char *name, char **of, size_t count) {
  if (strcmp(name, "start") == 0 && count == 0) return mesos_scheduler_start(driver);
  if (strcmp(name, "stop") == 0 && count == 1) return mesos_scheduler_stop(driver, strcmp(of[0], "failover") == 0);
  if (strcmp(name, "abort") == 0 && count == 0) return mesos_scheduler_abort(driver);
  if (strcmp(name, "join") == 0 && count == 0) return mesos_scheduler_join(driver);
  if (strcmp(name, "killTask") == 0 && count == 1) return mesos_scheduler_kill_task(driver, from_hex(of[0]));
  if (strcmp(name, "acknowledgeStatusUpdate") == 0 && count == 1)
    return mesos_scheduler_acknowledge_status_update(driver, from_hex(of[0]));
  if (strcmp(name, "declineOffer") == 0 && count == 2)
    return mesos_scheduler_decline_offer(driver, from_hex(of[0]), from_hex(of[1]));
  if (strcmp(name, "sendFrameworkMessage") == 0 && count == 3)
    return mesos_scheduler_send_framework_message(driver, from_hex(of[0]), from_hex(of[1]), from_hex(of[2]));
  if (count == 0) fail(name);
  const list first = split(of[0]);
  if (strcmp(name, "requestResources") == 0 && count == 1)
    return mesos_scheduler_request_resources(driver, first.first, first.count);
  if (strcmp(name, "reviveOffers") == 0 && count == 1)
    return mesos_scheduler_revive_offers(driver, first.first, first.count);
  if (strcmp(name, "suppressOffers") == 0 && count == 1)
    return mesos_scheduler_suppress_offers(driver, first.first, first.count);
  if (strcmp(name, "reconcileTasks") == 0 && count == 1)
    return mesos_scheduler_reconcile_tasks(driver, first.first, first.count);
  if (count != 3) fail(name);
  const list second = split(of[1]);
  const mesos_bytes third = from_hex(of[2]);
  if (strcmp(name, "launchTasks") == 0)
    return mesos_scheduler_launch_tasks(driver, first.first, first.count, second.first, second.count, third);
  if (strcmp(name, "acceptOffers") == 0)
    return mesos_scheduler_accept_offers(driver, first.first, first.count, second.first, second.count, third);
  if (strcmp(name, "updateFramework") == 0 && first.count == 1)
    return mesos_scheduler_update_framework(driver, first.first[0], second.first, second.count, third);
  fail(name);
  return MESOS_NOT_UNDERSTOOD;
}

int main(int argc, char **argv) {
  if (argc != 4 && argc != 5) fail("HOST:PORT FRAMEWORK_INFO implicit|explicit [CREDENTIAL] are expected");
  const mesos_scheduler_callbacks callbacks = {
      registered,        reregistered, disconnected,  resource_offers, offer_rescinded, status_update,
      framework_message, agent_lost,   executor_lost, error,
  };
  const mesos_bytes nothing = {NULL, 0};
  const mesos_bytes garbage = {"\xff", 1};
  const int implicit = strcmp(argv[3], "implicit") == 0;
  if (mesos_scheduler_new(&callbacks, NULL, garbage, argv[1], implicit, nothing)) fail("took garbage for a framework");
  mesos_scheduler *driver = mesos_scheduler_new(&callbacks, NULL, from_hex(argv[2]), argv[1], implicit,
                                                argc == 5 ? from_hex(argv[4]) : nothing);
  if (!driver) fail("no FrameworkInfo, or no Credential");
  if (mesos_scheduler_kill_task(driver, garbage) != MESOS_NOT_UNDERSTOOD) fail("took garbage for a task's id");
  char *line = NULL;
  size_t room = 0;
  for (ssize_t length; (length = getline(&line, &room, stdin)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    char *rest = line, *words[8];
    size_t count = 0;
    for (char *word; count < 8 && (word = strsep(&rest, " "));) words[count++] = word;
    const int status = call(driver, words[0], words + 1, count - 1);
    pthread_mutex_lock(&printing);
    printf("said %s %d\n", words[0], status);
    fflush(stdout);
    pthread_mutex_unlock(&printing);
  }
  _exit(0);
}

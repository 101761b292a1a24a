/* libmesos.so for C, and for whatever can call C.
 *
 * Messages are protobuf on both sides, as bytes: those of mesos.proto, package `mesos` (FrameworkInfo, TaskInfo, …),
 * encoded by whatever library the caller has. A function that takes messages refuses bytes that are none by
 * MESOS_NOT_UNDERSTOOD and does nothing; all others return the driver's status.
 *
 * Callbacks come in a thread of the driver's, one at a time; a callback that is NULL is not called. What they are
 * given is theirs until they return. Driver functions may be called by any thread, also inside a callback, and do not wait
 * for the master.
 *
 * The environment says the rest, as for libmesos of Apache Mesos: LIBPROCESS_IP, LIBPROCESS_PORT, MESOS_QUIET, …
 */
#ifndef MESOS_H
#define MESOS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mesos_status {
  MESOS_NOT_UNDERSTOOD = -1,
  MESOS_DRIVER_NOT_STARTED = 1,
  MESOS_DRIVER_RUNNING = 2,
  MESOS_DRIVER_ABORTED = 3,
  MESOS_DRIVER_STOPPED = 4
};

/* Bytes, of a message or of anything; `data` may be NULL if `size` is 0. */
typedef struct mesos_bytes {
  const void *data;
  size_t size;
} mesos_bytes;

/* ---- schedulers ---- */

typedef struct mesos_scheduler mesos_scheduler;

/* What a framework is told; `context` is what was given with these. */
typedef struct mesos_scheduler_callbacks {
  void (*registered)(void *context, mesos_bytes framework_id, mesos_bytes master_info);
  void (*reregistered)(void *context, mesos_bytes master_info);
  void (*disconnected)(void *context);
  void (*resource_offers)(void *context, const mesos_bytes *offers, size_t count);
  void (*offer_rescinded)(void *context, mesos_bytes offer_id);
  void (*status_update)(void *context, mesos_bytes task_status);
  void (*framework_message)(void *context, mesos_bytes executor_id, mesos_bytes agent_id, mesos_bytes data);
  void (*agent_lost)(void *context, mesos_bytes agent_id);
  void (*executor_lost)(void *context, mesos_bytes executor_id, mesos_bytes agent_id, int status);
  /* The driver has been aborted; a text without a zero at its end. */
  void (*error)(void *context, mesos_bytes message);
} mesos_scheduler_callbacks;

/* A driver for this FrameworkInfo. `master`: host:port, zk://…, etcd://…, file:// and a path, or `local` for a cluster
 * of this process's own (`mesos local`, found by PATH). With `implicit_acknowledgements` updates are acknowledged
 * once their callback has returned. `credential` is a Credential, or empty. NULL if a message or the text is none. */
mesos_scheduler *mesos_scheduler_new(const mesos_scheduler_callbacks *callbacks, void *context,
                                     mesos_bytes framework_info, const char *master,
                                     int implicit_acknowledgements, mesos_bytes credential);

/* Lets go of the framework without a word to the master. No callback is out when this returns; not to be called in one. */
void mesos_scheduler_free(mesos_scheduler *);

int mesos_scheduler_start(mesos_scheduler *);
/* `failover`: the framework stays for another driver; otherwise it is torn down with its tasks. */
int mesos_scheduler_stop(mesos_scheduler *, int failover);
int mesos_scheduler_abort(mesos_scheduler *);
/* Waits until the driver is stopped or aborted; inside a callback it does not wait. */
int mesos_scheduler_join(mesos_scheduler *);

int mesos_scheduler_request_resources(mesos_scheduler *, const mesos_bytes *requests, size_t count);
int mesos_scheduler_launch_tasks(mesos_scheduler *, const mesos_bytes *offer_ids, size_t offer_count,
                                 const mesos_bytes *task_infos, size_t task_count, mesos_bytes filters);
int mesos_scheduler_accept_offers(mesos_scheduler *, const mesos_bytes *offer_ids, size_t offer_count,
                                  const mesos_bytes *operations, size_t operation_count, mesos_bytes filters);
int mesos_scheduler_decline_offer(mesos_scheduler *, mesos_bytes offer_id, mesos_bytes filters);
int mesos_scheduler_kill_task(mesos_scheduler *, mesos_bytes task_id);
/* No roles: all. */
int mesos_scheduler_revive_offers(mesos_scheduler *, const mesos_bytes *roles, size_t count);
int mesos_scheduler_suppress_offers(mesos_scheduler *, const mesos_bytes *roles, size_t count);
int mesos_scheduler_acknowledge_status_update(mesos_scheduler *, mesos_bytes task_status);
int mesos_scheduler_send_framework_message(mesos_scheduler *, mesos_bytes executor_id, mesos_bytes agent_id,
                                           mesos_bytes data);
/* No statuses: all tasks that are known. */
int mesos_scheduler_reconcile_tasks(mesos_scheduler *, const mesos_bytes *task_statuses, size_t count);
int mesos_scheduler_update_framework(mesos_scheduler *, mesos_bytes framework_info, const mesos_bytes *suppressed_roles,
                                     size_t count, mesos_bytes offer_constraints);

/* ---- executors ---- */

typedef struct mesos_executor mesos_executor;

typedef struct mesos_executor_callbacks {
  void (*registered)(void *context, mesos_bytes executor_info, mesos_bytes framework_info, mesos_bytes agent_info);
  void (*reregistered)(void *context, mesos_bytes agent_info);
  void (*disconnected)(void *context);
  void (*launch_task)(void *context, mesos_bytes task_info);
  void (*kill_task)(void *context, mesos_bytes task_id);
  void (*framework_message)(void *context, mesos_bytes data);
  /* The process group is killed once the grace period is over. */
  void (*shutdown)(void *context);
  void (*error)(void *context, mesos_bytes message);
} mesos_executor_callbacks;

/* A driver for the executor that an agent started: the environment says which. NULL, and on stderr why, if it does
 * not. */
mesos_executor *mesos_executor_new(const mesos_executor_callbacks *callbacks, void *context);
void mesos_executor_free(mesos_executor *);
int mesos_executor_start(mesos_executor *);
int mesos_executor_stop(mesos_executor *);
int mesos_executor_abort(mesos_executor *);
int mesos_executor_join(mesos_executor *);
int mesos_executor_send_status_update(mesos_executor *, mesos_bytes task_status);
int mesos_executor_send_framework_message(mesos_executor *, mesos_bytes data);

/* "1.11.0": the version of Mesos that the library stands for. */
const char *mesos_version(void);

#ifdef __cplusplus
}
#endif
#endif

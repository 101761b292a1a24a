//! `include/mesos.h`. That file says what everything means; here it is done.
#![expect(
    clippy::missing_safety_doc,
    reason = "the header says what callers promise: live pointers, or NULL where it says so"
)]

use std::ffi::{CStr, c_char, c_int, c_void};

use mesos_core::driver::Verdict;
use mesos_core::driver::core::executor::Callback as ToExecutor;
use mesos_core::driver::core::scheduler::Callback as ToScheduler;
use mesos_core::driver::executor::ExecutorDriver;
use mesos_core::driver::scheduler::{Options, SchedulerDriver};
use prost::Message;

const NOT_UNDERSTOOD: c_int = -1;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const c_void,
    size: usize,
}

impl Bytes {
    fn of(bytes: &[u8]) -> Bytes {
        Bytes { data: bytes.as_ptr().cast(), size: bytes.len() }
    }

    /// What the caller means, as long as its call lasts.
    unsafe fn get<'a>(self) -> &'a [u8] {
        if self.data.is_null() || self.size == 0 {
            return &[];
        }
        // SAFETY: the caller says that so many bytes are there.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.size) }
    }

    unsafe fn read<M: Message + Default>(self) -> Option<M> {
        // SAFETY: the caller's promise, passed on.
        M::decode(unsafe { self.get() }).ok()
    }

    unsafe fn text(self) -> Option<String> {
        // SAFETY: the caller's promise, passed on.
        std::str::from_utf8(unsafe { self.get() }).ok().map(str::to_owned)
    }
}

unsafe fn list<'a>(first: *const Bytes, count: usize) -> &'a [Bytes] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller says that so many are there.
    unsafe { std::slice::from_raw_parts(first, count) }
}

unsafe fn messages<M: Message + Default>(first: *const Bytes, count: usize) -> Option<Vec<M>> {
    // SAFETY: the caller's promise, passed on.
    unsafe { list(first, count) }.iter().map(|one| unsafe { one.read() }).collect()
}

unsafe fn texts(first: *const Bytes, count: usize) -> Option<Vec<String>> {
    // SAFETY: the caller's promise, passed on.
    unsafe { list(first, count) }.iter().map(|one| unsafe { one.text() }).collect()
}

/// The caller's own, handed back with every callback.
#[derive(Clone, Copy)]
struct Context(*mut c_void);

// SAFETY: never looked at; that callbacks come in another thread is what the header says.
unsafe impl Send for Context {}

type To0 = Option<unsafe extern "C" fn(*mut c_void)>;
type To1 = Option<unsafe extern "C" fn(*mut c_void, Bytes)>;
type To2 = Option<unsafe extern "C" fn(*mut c_void, Bytes, Bytes)>;
type To3 = Option<unsafe extern "C" fn(*mut c_void, Bytes, Bytes, Bytes)>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct SchedulerCallbacks {
    registered: To2,
    reregistered: To1,
    disconnected: To0,
    resource_offers: Option<unsafe extern "C" fn(*mut c_void, *const Bytes, usize)>,
    offer_rescinded: To1,
    status_update: To1,
    framework_message: To3,
    agent_lost: To1,
    executor_lost: Option<unsafe extern "C" fn(*mut c_void, Bytes, Bytes, c_int)>,
    error: To1,
}

/// Calls one of the caller's functions with the encoded messages, if it is there.
macro_rules! call {
    ($function:expr, $context:expr $(, $message:expr)*) => {
        if let Some(function) = $function {
            let context: Context = $context;
            // SAFETY: the caller gave a function of this kind; the bytes outlive the call.
            unsafe { function(context.0 $(, Bytes::of(&$message))*) }
        }
    };
}

impl SchedulerCallbacks {
    fn tell(&self, context: Context, callback: &ToScheduler) {
        match callback {
            ToScheduler::Registered(id, master) => {
                call!(self.registered, context, id.encode_to_vec(), master.encode_to_vec());
            }
            ToScheduler::Reregistered(master) => call!(self.reregistered, context, master.encode_to_vec()),
            ToScheduler::Disconnected => call!(self.disconnected, context),
            ToScheduler::Offers(offers) => {
                let encoded: Vec<Vec<u8>> = offers.iter().map(Message::encode_to_vec).collect();
                let bytes: Vec<Bytes> = encoded.iter().map(|one| Bytes::of(one)).collect();
                if let Some(function) = self.resource_offers {
                    // SAFETY: as in `call!`.
                    unsafe { function(context.0, bytes.as_ptr(), bytes.len()) }
                }
            }
            ToScheduler::Rescinded(id) => call!(self.offer_rescinded, context, id.encode_to_vec()),
            ToScheduler::Update(status) => call!(self.status_update, context, status.encode_to_vec()),
            ToScheduler::Message { executor, agent, data } => {
                call!(self.framework_message, context, executor.encode_to_vec(), agent.encode_to_vec(), data);
            }
            ToScheduler::AgentLost(agent) => call!(self.agent_lost, context, agent.encode_to_vec()),
            ToScheduler::ExecutorLost { executor, agent, status } => {
                let (executor, agent) = (executor.encode_to_vec(), agent.encode_to_vec());
                if let Some(function) = self.executor_lost {
                    // SAFETY: as in `call!`.
                    unsafe { function(context.0, Bytes::of(&executor), Bytes::of(&agent), *status) }
                }
            }
            ToScheduler::Error(why) => call!(self.error, context, why.as_bytes()),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mesos_scheduler_new(
    callbacks: *const SchedulerCallbacks,
    context: *mut c_void,
    framework_info: Bytes,
    master: *const c_char,
    implicit_acknowledgements: c_int,
    credential: Bytes,
) -> *mut SchedulerDriver {
    let read = || {
        // SAFETY: the header: live pointers, the text with a zero at its end.
        let (callbacks, framework, master) =
            unsafe { (*callbacks.as_ref()?, framework_info.read()?, CStr::from_ptr(master).to_str().ok()?) };
        // SAFETY: the same.
        let credential = if credential.size == 0 { None } else { Some(unsafe { credential.read() }?) };
        let options = Options {
            framework,
            master: master.to_owned(),
            suppressed_roles: Vec::new(),
            implicit_acknowledgements: implicit_acknowledgements != 0,
            credential,
        };
        Some((callbacks, options))
    };
    let Some((callbacks, options)) = read() else { return std::ptr::null_mut() };
    let context = Context(context);
    let handler = move |callback: &ToScheduler| {
        let context = context;
        callbacks.tell(context, callback);
        Verdict::Continue
    };
    Box::into_raw(Box::new(SchedulerDriver::new(options, Box::new(handler))))
}

/// Functions of a driver: `name(arguments) = |driver, what they mean| status`, refused if one means nothing.
macro_rules! functions {
    ($driver:ty; $($name:ident($($argument:ident: $kind:ty),*) = [$it:ident $(, $read:ident = $reading:expr)*] $body:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(driver: *mut $driver $(, $argument: $kind)*) -> c_int {
            // SAFETY: the header: what `new` gave and `free` has not taken, and live bytes.
            let Some($it) = (unsafe { driver.as_ref() }) else { return NOT_UNDERSTOOD };
            $(
                // SAFETY: the same.
                let Some($read) = (unsafe { $reading }) else { return NOT_UNDERSTOOD };
            )*
            $body as c_int
        }
    )*};
}

functions! { SchedulerDriver;
    mesos_scheduler_start() = [it] it.start();
    mesos_scheduler_stop(failover: c_int) = [it] it.stop(failover != 0);
    mesos_scheduler_abort() = [it] it.abort();
    mesos_scheduler_join() = [it] it.join();
    mesos_scheduler_request_resources(first: *const Bytes, count: usize) =
        [it, requests = messages(first, count)] it.request_resources(requests);
    mesos_scheduler_launch_tasks(
        first_offer: *const Bytes, offer_count: usize, first_task: *const Bytes, task_count: usize, filters: Bytes
    ) = [it, offers = messages(first_offer, offer_count), tasks = messages(first_task, task_count),
        filters = filters.read()] it.launch_tasks(offers, tasks, filters);
    mesos_scheduler_accept_offers(
        first_offer: *const Bytes, offer_count: usize, first: *const Bytes, count: usize, filters: Bytes
    ) = [it, offers = messages(first_offer, offer_count), operations = messages(first, count),
        filters = filters.read()] it.accept_offers(offers, operations, filters);
    mesos_scheduler_decline_offer(offer: Bytes, filters: Bytes) =
        [it, offer = offer.read(), filters = filters.read()] it.decline_offer(offer, filters);
    mesos_scheduler_kill_task(task: Bytes) = [it, task = task.read()] it.kill_task(task);
    mesos_scheduler_revive_offers(first: *const Bytes, count: usize) =
        [it, roles = texts(first, count)] it.revive_offers(roles);
    mesos_scheduler_suppress_offers(first: *const Bytes, count: usize) =
        [it, roles = texts(first, count)] it.suppress_offers(roles);
    mesos_scheduler_acknowledge_status_update(status: Bytes) =
        [it, status = status.read()] it.acknowledge_status_update(&status);
    mesos_scheduler_send_framework_message(executor: Bytes, agent: Bytes, data: Bytes) =
        [it, executor = executor.read(), agent = agent.read(), data = Some(data.get().to_vec())]
        it.send_framework_message(executor, agent, data.into());
    mesos_scheduler_reconcile_tasks(first: *const Bytes, count: usize) =
        [it, statuses = messages(first, count)] it.reconcile_tasks(statuses);
    mesos_scheduler_update_framework(framework: Bytes, first: *const Bytes, count: usize, constraints: Bytes) =
        [it, framework = framework.read(), suppressed = texts(first, count), constraints = constraints.read()]
        it.update_framework(framework, suppressed, constraints);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mesos_scheduler_free(driver: *mut SchedulerDriver) {
    if !driver.is_null() {
        // SAFETY: the header: `new` gave it, and it is freed once.
        drop(unsafe { Box::from_raw(driver) });
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExecutorCallbacks {
    registered: To3,
    reregistered: To1,
    disconnected: To0,
    launch_task: To1,
    kill_task: To1,
    framework_message: To1,
    shutdown: To0,
    error: To1,
}

impl ExecutorCallbacks {
    fn tell(&self, context: Context, callback: &ToExecutor) {
        match callback {
            ToExecutor::Registered(it) => {
                let (executor, framework) = (it.executor.encode_to_vec(), it.framework.encode_to_vec());
                call!(self.registered, context, executor, framework, it.agent.encode_to_vec());
            }
            ToExecutor::Reregistered(agent) => call!(self.reregistered, context, agent.encode_to_vec()),
            ToExecutor::Disconnected => call!(self.disconnected, context),
            ToExecutor::Launch(task) => call!(self.launch_task, context, task.encode_to_vec()),
            ToExecutor::Kill(task) => call!(self.kill_task, context, task.encode_to_vec()),
            ToExecutor::Message(data) => call!(self.framework_message, context, data),
            ToExecutor::Shutdown => call!(self.shutdown, context),
            ToExecutor::Error(why) => call!(self.error, context, why.as_bytes()),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mesos_executor_new(
    callbacks: *const ExecutorCallbacks,
    context: *mut c_void,
) -> *mut ExecutorDriver {
    // SAFETY: the header: a live pointer.
    let Some(callbacks) = (unsafe { callbacks.as_ref() }).copied() else { return std::ptr::null_mut() };
    let context = Context(context);
    let handler = move |callback: &ToExecutor| {
        let context = context;
        callbacks.tell(context, callback);
        Verdict::Continue
    };
    match ExecutorDriver::new(Box::new(handler)) {
        Ok(driver) => Box::into_raw(Box::new(driver)),
        Err(why) => {
            eprintln!("{why}");
            std::ptr::null_mut()
        }
    }
}

functions! { ExecutorDriver;
    mesos_executor_start() = [it] it.start();
    mesos_executor_stop() = [it] it.stop();
    mesos_executor_abort() = [it] it.abort();
    mesos_executor_join() = [it] it.join();
    mesos_executor_send_status_update(status: Bytes) =
        [it, status = status.read()] it.send_status_update(status);
    mesos_executor_send_framework_message(data: Bytes) =
        [it, data = Some(data.get().to_vec())] it.send_framework_message(data.into());
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mesos_executor_free(driver: *mut ExecutorDriver) {
    if !driver.is_null() {
        // SAFETY: the header: `new` gave it, and it is freed once.
        drop(unsafe { Box::from_raw(driver) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn mesos_version() -> *const c_char {
    c"1.11.0".as_ptr()
}

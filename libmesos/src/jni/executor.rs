//! `org.apache.mesos.MesosExecutorDriver`.

use jni::errors::{Error, Result};
use jni::objects::{JObject, JValue};
use jni::refs::Weak;
use jni::signature::RuntimeMethodSignature;
use jni::strings::JNIString;
use jni::{Env, jni_sig, jni_str};
use mesos_core::driver::Handler;
use mesos_core::driver::core::Status;
use mesos_core::driver::core::executor::Callback;
use mesos_core::driver::executor::ExecutorDriver;

use super::convert::{bytes_from_java, bytes_to_java, from_java, status, to_java};
use super::{Attached, natives, tell};

/// What Java's object holds on to.
fn native(env: &mut Env<'_>, this: &JObject<'_>) -> Result<*mut ExecutorDriver> {
    Ok(env.get_field(this, jni_str!("__driver"), jni_sig!("J"))?.j()? as *mut ExecutorDriver)
}

/// A method of the driver's, and the status it gives.
fn with<'local>(
    env: &mut Env<'local>,
    this: &JObject<'_>,
    call: impl FnOnce(&ExecutorDriver) -> Status,
) -> Result<JObject<'local>> {
    let native = native(env, this)?;
    // SAFETY: as for schedulers: `initialize` put it there, and `finalize` takes it when nobody can call any more.
    let driver = unsafe { native.as_ref() }.ok_or(Error::NullPtr("the driver was never initialized"))?;
    let made = call(driver);
    status(env, made)
}

fn handler(driver: Weak<JObject<'static>>) -> Handler<Callback> {
    let attached = Attached;
    Box::new(move |callback| {
        let _attached = &attached;
        tell(&driver, |env, driver| called(env, driver, callback))
    })
}

/// Calls a method of the driver's `executor`; `rest` are the kinds of the arguments behind the driver.
fn call(env: &mut Env<'_>, driver: &JObject<'_>, name: &str, rest: &str, arguments: &[JValue]) -> Result<()> {
    let executor =
        env.get_field(driver, jni_str!("executor"), jni_sig!("Lorg/apache/mesos/Executor;"))?.l()?;
    let signature = RuntimeMethodSignature::from_str(format!("(Lorg/apache/mesos/ExecutorDriver;{rest})V"))?;
    let arguments = [&[JValue::Object(driver)], arguments].concat();
    env.call_method(&executor, JNIString::from(name), signature.method_signature(), &arguments)?.v()
}

fn called(env: &mut Env<'_>, driver: &JObject<'_>, callback: &Callback) -> Result<()> {
    const AGENT: &str = "Lorg/apache/mesos/Protos$SlaveInfo;";
    match callback {
        Callback::Registered(registered) => {
            let executor = to_java(env, "ExecutorInfo", &registered.executor)?;
            let framework = to_java(env, "FrameworkInfo", &registered.framework)?;
            let agent = to_java(env, "SlaveInfo", &registered.agent)?;
            let kinds = format!(
                "Lorg/apache/mesos/Protos$ExecutorInfo;Lorg/apache/mesos/Protos$FrameworkInfo;{AGENT}"
            );
            let arguments = [JValue::Object(&executor), JValue::Object(&framework), JValue::Object(&agent)];
            call(env, driver, "registered", &kinds, &arguments)
        }
        Callback::Reregistered(agent) => {
            let agent = to_java(env, "SlaveInfo", &**agent)?;
            call(env, driver, "reregistered", AGENT, &[JValue::Object(&agent)])
        }
        Callback::Disconnected => call(env, driver, "disconnected", "", &[]),
        Callback::Launch(task) => {
            let task = to_java(env, "TaskInfo", &**task)?;
            call(env, driver, "launchTask", "Lorg/apache/mesos/Protos$TaskInfo;", &[JValue::Object(&task)])
        }
        Callback::Kill(task) => {
            let task = to_java(env, "TaskID", task)?;
            call(env, driver, "killTask", "Lorg/apache/mesos/Protos$TaskID;", &[JValue::Object(&task)])
        }
        Callback::Message(data) => {
            let data = bytes_to_java(env, data)?;
            call(env, driver, "frameworkMessage", "[B", &[JValue::Object(&data)])
        }
        Callback::Shutdown => call(env, driver, "shutdown", "", &[]),
        Callback::Error(why) => {
            let why = env.new_string(why)?;
            call(env, driver, "error", "Ljava/lang/String;", &[JValue::Object(&why)])
        }
    }
}

natives! { 'local;
    "MesosExecutorDriver_initialize" => initialize(env, this) -> () {
        let driver = ExecutorDriver::new(handler(env.new_weak_ref(&this)?)).unwrap_or_else(|why| crate::end(&why));
        let native = Box::into_raw(Box::new(driver));
        env.set_field(&this, jni_str!("__driver"), jni_sig!("J"), JValue::Long(native as i64))
    }

    "MesosExecutorDriver_finalize" => finalize(env, this) -> () {
        let native = native(env, &this)?;
        env.set_field(&this, jni_str!("__driver"), jni_sig!("J"), JValue::Long(0))?;
        if !native.is_null() {
            // SAFETY: `initialize` made it, and it has just been taken out of the only place that knew it.
            drop(unsafe { Box::from_raw(native) });
        }
        Ok(())
    }

    "MesosExecutorDriver_start" => start(env, this) -> JObject<'local> {
        with(env, &this, ExecutorDriver::start)
    }

    "MesosExecutorDriver_stop" => stop(env, this) -> JObject<'local> {
        with(env, &this, ExecutorDriver::stop)
    }

    "MesosExecutorDriver_abort" => abort(env, this) -> JObject<'local> {
        with(env, &this, ExecutorDriver::abort)
    }

    "MesosExecutorDriver_join" => join(env, this) -> JObject<'local> {
        with(env, &this, ExecutorDriver::join)
    }

    "MesosExecutorDriver_sendStatusUpdate" => send_status_update(env, this, update: JObject) -> JObject<'local> {
        let update = from_java(env, &update)?;
        with(env, &this, |driver| driver.send_status_update(update))
    }

    "MesosExecutorDriver_sendFrameworkMessage" => send_framework_message(env, this, data: JObject<'local>)
        -> JObject<'local>
    {
        let data = bytes_from_java(env, data)?;
        with(env, &this, |driver| driver.send_framework_message(data.into()))
    }
}

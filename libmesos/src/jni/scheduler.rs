//! `org.apache.mesos.MesosSchedulerDriver`.

use jni::errors::{Error, Result};
use jni::objects::{JObject, JValue};
use jni::refs::Weak;
use jni::signature::{RuntimeFieldSignature, RuntimeMethodSignature};
use jni::strings::JNIString;
use jni::sys::jboolean;
use jni::{Env, jni_sig, jni_str};
use mesos_core::driver::Handler;
use mesos_core::driver::core::Status;
use mesos_core::driver::core::scheduler::Callback;
use mesos_core::driver::scheduler::{Options, SchedulerDriver};
use mesos_core::proto::scheduler::OfferConstraints;
use mesos_core::proto::{Filters, FrameworkInfo};

use super::convert::{
    bytes_from_java, bytes_to_java, from_java, messages, status, text_from_java, texts, to_java,
};
use super::{Attached, natives, tell};

/// A field of the driver's; none if this jar's class lacks it, or it is null.
fn field<'local>(
    env: &mut Env<'local>,
    this: &JObject<'_>,
    name: &str,
    kind: &str,
) -> Result<Option<JObject<'local>>> {
    let kind = RuntimeFieldSignature::from_str(kind)?;
    match env.get_field(this, JNIString::from(name), kind.field_signature()) {
        Ok(value) => Ok(Some(value.l()?).filter(|value| !value.is_null())),
        Err(Error::FieldNotFound { .. }) => {
            env.exception_clear();
            Ok(None)
        }
        Err(error) => {
            let unknown = env.exception_check();
            env.exception_clear();
            if unknown { Ok(None) } else { Err(error) }
        }
    }
}

fn options(env: &mut Env<'_>, this: &JObject<'_>) -> Result<Options> {
    let framework =
        field(env, this, "framework", "Lorg/apache/mesos/Protos$FrameworkInfo;")?.unwrap_or_default();
    let framework: FrameworkInfo = from_java(env, &framework)?;
    let master = field(env, this, "master", "Ljava/lang/String;")?.unwrap_or_default();
    let master = text_from_java(env, master)?;
    let credential = field(env, this, "credential", "Lorg/apache/mesos/Protos$Credential;")?;
    let credential = credential.map(|credential| from_java(env, &credential)).transpose()?;
    let suppressed = field(env, this, "suppressedRoles", "Ljava/util/Collection;")?.unwrap_or_default();
    let suppressed_roles = texts(env, &suppressed)?;
    let implicit = env.get_field(this, jni_str!("implicitAcknowledgements"), jni_sig!("Z"));
    if implicit.is_err() {
        // A jar from before 0.22 knows nothing else.
        env.exception_clear();
    }
    let implicit_acknowledgements = implicit.and_then(|value| value.z()).unwrap_or(true);
    Ok(Options { framework, master, suppressed_roles, implicit_acknowledgements, credential })
}

/// What Java's object holds on to.
fn native(env: &mut Env<'_>, this: &JObject<'_>) -> Result<*mut SchedulerDriver> {
    Ok(env.get_field(this, jni_str!("__driver"), jni_sig!("J"))?.j()? as *mut SchedulerDriver)
}

/// A method of the driver's, and the status it gives.
fn with<'local>(
    env: &mut Env<'local>,
    this: &JObject<'_>,
    call: impl FnOnce(&SchedulerDriver) -> Status,
) -> Result<JObject<'local>> {
    let native = native(env, this)?;
    // SAFETY: the field holds what `initialize` put there, until `finalize` takes it; Java runs that when nobody can
    // call any more.
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

/// Calls a method of the driver's `scheduler`; `rest` are the kinds of the arguments behind the driver.
fn call(env: &mut Env<'_>, driver: &JObject<'_>, name: &str, rest: &str, arguments: &[JValue]) -> Result<()> {
    let kind = jni_sig!("Lorg/apache/mesos/Scheduler;");
    let scheduler = env.get_field(driver, jni_str!("scheduler"), kind)?.l()?;
    let signature = RuntimeMethodSignature::from_str(format!("(Lorg/apache/mesos/SchedulerDriver;{rest})V"))?;
    let arguments = [&[JValue::Object(driver)], arguments].concat();
    env.call_method(&scheduler, JNIString::from(name), signature.method_signature(), &arguments)?.v()
}

fn called(env: &mut Env<'_>, driver: &JObject<'_>, callback: &Callback) -> Result<()> {
    const FRAMEWORK_ID: &str = "Lorg/apache/mesos/Protos$FrameworkID;";
    const MASTER: &str = "Lorg/apache/mesos/Protos$MasterInfo;";
    const OFFER_ID: &str = "Lorg/apache/mesos/Protos$OfferID;";
    const STATUS: &str = "Lorg/apache/mesos/Protos$TaskStatus;";
    const EXECUTOR_ID: &str = "Lorg/apache/mesos/Protos$ExecutorID;";
    const AGENT_ID: &str = "Lorg/apache/mesos/Protos$SlaveID;";
    match callback {
        Callback::Registered(id, master) => {
            let id = to_java(env, "FrameworkID", id)?;
            let master = to_java(env, "MasterInfo", &**master)?;
            let kinds = format!("{FRAMEWORK_ID}{MASTER}");
            call(env, driver, "registered", &kinds, &[JValue::Object(&id), JValue::Object(&master)])
        }
        Callback::Reregistered(master) => {
            let master = to_java(env, "MasterInfo", &**master)?;
            call(env, driver, "reregistered", MASTER, &[JValue::Object(&master)])
        }
        Callback::Disconnected => call(env, driver, "disconnected", "", &[]),
        Callback::Offers(offers) => {
            let list = env.find_class(jni_str!("java/util/ArrayList"))?;
            let list = env.new_object(list, jni_sig!("()V"), &[])?;
            for offer in offers {
                let offer = to_java(env, "Offer", offer)?;
                let add = jni_sig!("(Ljava/lang/Object;)Z");
                env.call_method(&list, jni_str!("add"), add, &[JValue::Object(&offer)])?;
                env.delete_local_ref(offer);
            }
            call(env, driver, "resourceOffers", "Ljava/util/List;", &[JValue::Object(&list)])
        }
        Callback::Rescinded(id) => {
            let id = to_java(env, "OfferID", id)?;
            call(env, driver, "offerRescinded", OFFER_ID, &[JValue::Object(&id)])
        }
        Callback::Update(update) => {
            let update = to_java(env, "TaskStatus", &**update)?;
            call(env, driver, "statusUpdate", STATUS, &[JValue::Object(&update)])
        }
        Callback::Message { executor, agent, data } => {
            let executor = to_java(env, "ExecutorID", executor)?;
            let agent = to_java(env, "SlaveID", agent)?;
            let data = bytes_to_java(env, data)?;
            let arguments = [JValue::Object(&executor), JValue::Object(&agent), JValue::Object(&data)];
            call(env, driver, "frameworkMessage", &format!("{EXECUTOR_ID}{AGENT_ID}[B"), &arguments)
        }
        Callback::AgentLost(agent) => {
            let agent = to_java(env, "SlaveID", agent)?;
            call(env, driver, "slaveLost", AGENT_ID, &[JValue::Object(&agent)])
        }
        Callback::ExecutorLost { executor, agent, status } => {
            let executor = to_java(env, "ExecutorID", executor)?;
            let agent = to_java(env, "SlaveID", agent)?;
            let arguments = [JValue::Object(&executor), JValue::Object(&agent), JValue::Int(*status)];
            call(env, driver, "executorLost", &format!("{EXECUTOR_ID}{AGENT_ID}I"), &arguments)
        }
        Callback::Error(why) => {
            let why = env.new_string(why)?;
            call(env, driver, "error", "Ljava/lang/String;", &[JValue::Object(&why)])
        }
    }
}

natives! { 'local;
    "MesosSchedulerDriver_initialize" => initialize(env, this) -> () {
        let options = options(env, &this)?;
        let driver = SchedulerDriver::new(options, handler(env.new_weak_ref(&this)?));
        let native = Box::into_raw(Box::new(driver));
        env.set_field(&this, jni_str!("__driver"), jni_sig!("J"), JValue::Long(native as i64))
    }

    "MesosSchedulerDriver_finalize" => finalize(env, this) -> () {
        let native = native(env, &this)?;
        env.set_field(&this, jni_str!("__driver"), jni_sig!("J"), JValue::Long(0))?;
        if !native.is_null() {
            // SAFETY: `initialize` made it, and it has just been taken out of the only place that knew it.
            drop(unsafe { Box::from_raw(native) });
        }
        Ok(())
    }

    "MesosSchedulerDriver_start" => start(env, this) -> JObject<'local> {
        with(env, &this, SchedulerDriver::start)
    }

    "MesosSchedulerDriver_stop" => stop(env, this, failover: jboolean) -> JObject<'local> {
        with(env, &this, |driver| driver.stop(failover))
    }

    "MesosSchedulerDriver_abort" => abort(env, this) -> JObject<'local> {
        with(env, &this, SchedulerDriver::abort)
    }

    "MesosSchedulerDriver_join" => join(env, this) -> JObject<'local> {
        with(env, &this, SchedulerDriver::join)
    }

    "MesosSchedulerDriver_requestResources" => request_resources(env, this, requests: JObject) -> JObject<'local> {
        let requests = messages(env, &requests)?;
        with(env, &this, |driver| driver.request_resources(requests))
    }

    "MesosSchedulerDriver_launchTasks__Lorg_apache_mesos_Protos_00024OfferID_2Ljava_util_Collection_2Lorg_apache_mesos_Protos_00024Filters_2"
        => launch_tasks_of_one(env, this, offer: JObject, tasks: JObject, filters: JObject) -> JObject<'local>
    {
        let (offer, tasks) = (from_java(env, &offer)?, messages(env, &tasks)?);
        let filters: Filters = from_java(env, &filters)?;
        with(env, &this, |driver| driver.launch_tasks(vec![offer], tasks, filters))
    }

    "MesosSchedulerDriver_launchTasks__Ljava_util_Collection_2Ljava_util_Collection_2Lorg_apache_mesos_Protos_00024Filters_2"
        => launch_tasks(env, this, offers: JObject, tasks: JObject, filters: JObject) -> JObject<'local>
    {
        let (offers, tasks) = (messages(env, &offers)?, messages(env, &tasks)?);
        let filters: Filters = from_java(env, &filters)?;
        with(env, &this, |driver| driver.launch_tasks(offers, tasks, filters))
    }

    "MesosSchedulerDriver_acceptOffers__Ljava_util_Collection_2Ljava_util_Collection_2Lorg_apache_mesos_Protos_00024Filters_2"
        => accept_offers(env, this, offers: JObject, operations: JObject, filters: JObject) -> JObject<'local>
    {
        let (offers, operations) = (messages(env, &offers)?, messages(env, &operations)?);
        let filters: Filters = from_java(env, &filters)?;
        with(env, &this, |driver| driver.accept_offers(offers, operations, filters))
    }

    "MesosSchedulerDriver_killTask" => kill_task(env, this, task: JObject) -> JObject<'local> {
        let task = from_java(env, &task)?;
        with(env, &this, |driver| driver.kill_task(task))
    }

    "MesosSchedulerDriver_declineOffer" => decline_offer(env, this, offer: JObject, filters: JObject)
        -> JObject<'local>
    {
        let offer = from_java(env, &offer)?;
        let filters: Filters = from_java(env, &filters)?;
        with(env, &this, |driver| driver.decline_offer(offer, filters))
    }

    "MesosSchedulerDriver_reviveOffers__" => revive_all_offers(env, this) -> JObject<'local> {
        with(env, &this, |driver| driver.revive_offers(Vec::new()))
    }

    "MesosSchedulerDriver_reviveOffers__Ljava_util_Collection_2" => revive_offers(env, this, roles: JObject)
        -> JObject<'local>
    {
        let roles = texts(env, &roles)?;
        // No roles are none here, not all.
        with(env, &this, |driver| if roles.is_empty() { driver.status() } else { driver.revive_offers(roles) })
    }

    "MesosSchedulerDriver_suppressOffers__" => suppress_all_offers(env, this) -> JObject<'local> {
        with(env, &this, |driver| driver.suppress_offers(Vec::new()))
    }

    "MesosSchedulerDriver_suppressOffers__Ljava_util_Collection_2" => suppress_offers(env, this, roles: JObject)
        -> JObject<'local>
    {
        let roles = texts(env, &roles)?;
        with(env, &this, |driver| if roles.is_empty() { driver.status() } else { driver.suppress_offers(roles) })
    }

    "MesosSchedulerDriver_acknowledgeStatusUpdate" => acknowledge_status_update(env, this, update: JObject)
        -> JObject<'local>
    {
        let update = from_java(env, &update)?;
        with(env, &this, |driver| driver.acknowledge_status_update(&update))
    }

    "MesosSchedulerDriver_sendFrameworkMessage"
        => send_framework_message(env, this, executor: JObject, agent: JObject, data: JObject<'local>)
        -> JObject<'local>
    {
        let (executor, agent) = (from_java(env, &executor)?, from_java(env, &agent)?);
        let data = bytes_from_java(env, data)?;
        with(env, &this, |driver| driver.send_framework_message(executor, agent, data.into()))
    }

    "MesosSchedulerDriver_reconcileTasks" => reconcile_tasks(env, this, statuses: JObject) -> JObject<'local> {
        let statuses = messages(env, &statuses)?;
        with(env, &this, |driver| driver.reconcile_tasks(statuses))
    }

    "MesosSchedulerDriver_updateFramework" => update_framework(env, this, framework: JObject, suppressed: JObject)
        -> JObject<'local>
    {
        let (framework, suppressed) = (from_java(env, &framework)?, texts(env, &suppressed)?);
        let constraints = OfferConstraints::default();
        with(env, &this, |driver| driver.update_framework(framework, suppressed, constraints))
    }

    "MesosSchedulerDriver_updateFrameworkWithConstraints"
        => update_framework_with_constraints(
            env, this, framework: JObject, suppressed: JObject, constraints: JObject
        ) -> JObject<'local>
    {
        let (framework, suppressed) = (from_java(env, &framework)?, texts(env, &suppressed)?);
        let constraints = from_java(env, &constraints)?;
        with(env, &this, |driver| driver.update_framework(framework, suppressed, constraints))
    }
}

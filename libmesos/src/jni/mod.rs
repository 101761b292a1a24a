//! Java: loading, the version, and the native methods of each class in a file of its own.
//!
//! Java's messages are those of the wire, so values cross as their bytes: `toByteArray` and `parseFrom`. Classes of
//! `org.apache.mesos` are found through the class loader of whoever loaded us, because a thread of our own sees the
//! system's alone; they are found once.
//!
//! Source: src/java/jni of Mesos 1.11, and the Java classes of mesos-1.4 and mesos-0.14.

mod convert;
mod executor;
mod refused;
mod scheduler;

use std::ffi::c_void;
use std::sync::OnceLock;

use jni::errors::{Result, ThrowRuntimeExAndDefault};
use jni::objects::{JClass, JObject, JValue};
use jni::refs::{Global, Weak};
use jni::strings::JNIString;
use jni::sys::{JNI_VERSION_1_2, jint};
use jni::{Env, EnvUnowned, JavaVM, jni_sig, jni_str};
use mesos_core::driver::Verdict;

/// The class loader of whoever loaded the library.
static LOADER: OnceLock<Global<JObject<'static>>> = OnceLock::new();

/// Java has loaded the library, and wants to know for which version of JNI it is made.
///
/// # Safety
///
/// `vm` is the virtual machine's, as it passes it.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn JNI_OnLoad(vm: *mut jni::sys::JavaVM, _: *mut c_void) -> jint {
    // SAFETY: the caller's promise.
    let vm = unsafe { JavaVM::from_raw(vm) };
    if let Err(error) = vm.attach_current_thread(loaded) {
        // Whoever needs the classes will say so.
        eprintln!("libmesos: {error}");
    }
    JNI_VERSION_1_2
}

/// Spelled so in libmesos; no virtual machine calls it.
#[unsafe(no_mangle)]
pub extern "system" fn JNI_OnUnLoad(_: *mut jni::sys::JavaVM, _: *mut c_void) {}

/// Keeps the class loader, and tells Java's side that we are there: it waits for that to be set.
fn loaded(env: &mut Env<'_>) -> Result<()> {
    let thread = env.find_class(jni_str!("java/lang/Thread"))?;
    let current = jni_sig!("()Ljava/lang/Thread;");
    let thread = env.call_static_method(thread, jni_str!("currentThread"), current, &[])?.l()?;
    let of = jni_sig!("()Ljava/lang/ClassLoader;");
    let loader = env.call_method(&thread, jni_str!("getContextClassLoader"), of, &[])?.l()?;
    if !loader.is_null() {
        // Set already if the library was loaded twice.
        let _ = LOADER.set(env.new_global_ref(&loader)?);
    }
    let library = class(env, "org.apache.mesos.MesosNativeLibrary")?;
    env.set_static_field(library, jni_str!("loaded"), jni_sig!("Z"), JValue::Bool(true))
}

/// A class by its dotted name.
fn class<'local>(env: &mut Env<'local>, name: &str) -> Result<JClass<'local>> {
    if let Some(loader) = LOADER.get() {
        let text = env.new_string(name)?;
        let load = jni_sig!("(Ljava/lang/String;)Ljava/lang/Class;");
        let found = env.call_method(loader, jni_str!("loadClass"), load, &[JValue::Object(&text)])?.l()?;
        return env.cast_local::<JClass>(found);
    }
    env.find_class(JNIString::from(name.replace('.', "/")))
}

/// `MesosNativeLibrary._version`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_apache_mesos_MesosNativeLibrary__1version<'local>(
    mut unowned: EnvUnowned<'local>,
    _: JClass<'local>,
) -> JObject<'local> {
    let version = |env: &mut Env<'local>| -> Result<JObject<'local>> {
        let class = class(env, "org.apache.mesos.MesosNativeLibrary$Version")?;
        let parts = mesos_core::flags::MESOS_VERSION.split('.').map(|part| part.parse().unwrap_or(0));
        let parts: Vec<JValue> = parts.map(JValue::Long).collect();
        env.new_object(class, jni_sig!("(JJJ)V"), &parts)
    };
    unowned.with_env(version).resolve::<ThrowRuntimeExAndDefault>()
}

/// Native methods, one to a row: `"symbol" => name(env, this, arguments) -> result { body }`. The body gives
/// a `Result`, whose error becomes an exception.
macro_rules! natives {
    ($local:lifetime; $($symbol:literal => $name:ident($env:ident, $this:ident $(, $argument:ident: $kind:ty)*)
        -> $result:ty $body:block)*) => {$(
        #[unsafe(export_name = concat!("Java_org_apache_mesos_", $symbol))]
        extern "system" fn $name<$local>(
            mut unowned: jni::EnvUnowned<$local>,
            $this: jni::objects::JObject<$local>
            $(, $argument: $kind)*
        ) -> $result {
            unowned
                .with_env(|$env| -> jni::errors::Result<$result> { $body })
                .resolve::<jni::errors::ThrowRuntimeExAndDefault>()
        }
    )*};
}
use natives;

/// Tells a Java object something, out of a thread of the driver's; an exception is printed and ends the driver, one
/// that nobody holds any more hears nothing.
fn tell(
    driver: &Weak<JObject<'static>>,
    tell: impl FnOnce(&mut Env<'_>, &JObject<'_>) -> Result<()>,
) -> Verdict {
    let told = |env: &mut Env<'_>| -> Result<Verdict> {
        let Some(driver) = driver.upgrade_local(env)? else { return Ok(Verdict::Continue) };
        let Err(error) = tell(env, &driver) else { return Ok(Verdict::Continue) };
        if env.exception_check() {
            env.exception_describe();
            env.exception_clear();
        } else {
            tracing::error!(%error, "a callback was not made");
        }
        Ok(Verdict::Abort)
    };
    let vm = JavaVM::singleton();
    let verdict = vm.and_then(|vm| {
        attach(&vm)?;
        vm.attach_current_thread(told)
    });
    verdict.unwrap_or_else(|error| {
        tracing::error!(%error, "Java cannot be reached");
        Verdict::Abort
    })
}

/// Attaches this thread, unless it is, as a daemon: Java's end does not wait for a driver that still runs.
fn attach(vm: &JavaVM) -> Result<()> {
    if vm.is_thread_attached()? {
        return Ok(());
    }
    let raw = vm.get_raw();
    let mut env = std::ptr::null_mut();
    // SAFETY: the virtual machine is alive, as a singleton is, and the pointer is to a live variable. No arguments are
    // what is passed for a thread without a name of its own.
    let status = unsafe { ((**raw).v1_4.AttachCurrentThreadAsDaemon)(raw, &mut env, std::ptr::null_mut()) };
    if status != jni::sys::JNI_OK {
        return Err(jni::errors::Error::JniCall(jni::errors::JniError::Other(status)));
    }
    Ok(())
}

/// Detaches the thread that drops it: a driver's, at its end.
struct Attached;

impl Drop for Attached {
    fn drop(&mut self) {
        let Ok(vm) = JavaVM::singleton() else { return };
        if std::thread::current().name().is_some_and(|name| name.starts_with("mesos-")) {
            let raw = vm.get_raw();
            // SAFETY: no frame of Java's is below us in a thread of our own, and nothing of its is used hereafter. A
            // thread that was never attached is told so, and nothing happens.
            unsafe { ((**raw).v1_2.DetachCurrentThread)(raw) };
        }
    }
}

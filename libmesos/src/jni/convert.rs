//! Java's values to ours, and back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jni::errors::{Error, Result};
use jni::ids::JStaticMethodID;
use jni::objects::{JByteArray, JClass, JObject, JString, JValue};
use jni::refs::Global;
use jni::signature::{JavaType, RuntimeMethodSignature};
use jni::strings::JNIString;
use jni::sys::jvalue;
use jni::{Env, jni_sig, jni_str};
use mesos_core::driver::core::Status;
use prost::Message;

/// A static method of a class of `Protos`, found once.
struct Method {
    class: Global<JClass<'static>>,
    id: JStaticMethodID,
}

/// By what they make.
static METHODS: Mutex<Option<HashMap<&'static str, Arc<Method>>>> = Mutex::new(None);

/// `name` of `Protos$kind`, which takes one of `argument` and gives one of its class.
fn method(env: &mut Env<'_>, kind: &'static str, name: &str, argument: &str) -> Result<Arc<Method>> {
    let known = |found: &Option<HashMap<_, Arc<Method>>>| found.as_ref()?.get(kind).cloned();
    if let Some(method) = known(&METHODS.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(method);
    }
    // Not under the lock: loading a class may run Java.
    let class = super::class(env, &format!("org.apache.mesos.Protos${kind}"))?;
    let signature =
        RuntimeMethodSignature::from_str(format!("({argument})Lorg/apache/mesos/Protos${kind};"))?;
    let id = env.get_static_method_id(&class, JNIString::from(name), signature.method_signature())?;
    let method = Arc::new(Method { class: env.new_global_ref(&class)?, id });
    let mut methods = METHODS.lock().unwrap_or_else(PoisonError::into_inner);
    methods.get_or_insert_default().insert(kind, method.clone());
    Ok(method)
}

fn call<'local>(env: &mut Env<'local>, method: &Method, argument: jvalue) -> Result<JObject<'local>> {
    // SAFETY: the id is of this class, with one argument of the kind that was looked up and an object for a result.
    let made =
        unsafe { env.call_static_method_unchecked(&method.class, method.id, JavaType::Object, &[argument]) };
    made?.l()
}

/// A message as an object of `Protos$kind`.
pub fn to_java<'local>(
    env: &mut Env<'local>,
    kind: &'static str,
    message: &impl Message,
) -> Result<JObject<'local>> {
    let method = method(env, kind, "parseFrom", "[B")?;
    let bytes = bytes_to_java(env, &message.encode_to_vec())?;
    let made = call(env, &method, JValue::Object(&bytes).as_jni());
    env.delete_local_ref(bytes);
    made
}

pub fn bytes_to_java<'local>(env: &mut Env<'local>, bytes: &[u8]) -> Result<JObject<'local>> {
    Ok(env.byte_array_from_slice(bytes)?.into())
}

pub fn status<'local>(env: &mut Env<'local>, status: Status) -> Result<JObject<'local>> {
    let method = method(env, "Status", "valueOf", "I")?;
    call(env, &method, JValue::Int(status as i32).as_jni())
}

/// The message that a Java object is.
pub fn from_java<M: Message + Default>(env: &mut Env<'_>, object: &JObject<'_>) -> Result<M> {
    let bytes = env.call_method(object, jni_str!("toByteArray"), jni_sig!("()[B"), &[])?.l()?;
    let text = bytes_from_java(env, bytes)?;
    M::decode(text.as_slice()).map_err(|error| Error::ParseFailed(error.to_string()))
}

pub fn bytes_from_java(env: &mut Env<'_>, bytes: JObject<'_>) -> Result<Vec<u8>> {
    let bytes = env.cast_local::<JByteArray>(bytes)?;
    let read = env.convert_byte_array(&bytes);
    env.delete_local_ref(bytes);
    read
}

pub fn text_from_java(env: &mut Env<'_>, text: JObject<'_>) -> Result<String> {
    env.cast_local::<JString>(text)?.try_to_string(env)
}

/// What a `java.util.Collection` holds; nothing if it is null.
pub fn all<T>(
    env: &mut Env<'_>,
    collection: &JObject<'_>,
    mut read: impl FnMut(&mut Env<'_>, JObject<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    if collection.is_null() {
        return Ok(all);
    }
    let of = jni_sig!("()Ljava/util/Iterator;");
    let iterator = env.call_method(collection, jni_str!("iterator"), of, &[])?.l()?;
    while env.call_method(&iterator, jni_str!("hasNext"), jni_sig!("()Z"), &[])?.z()? {
        let one = env.with_local_frame(8, |env| {
            let next =
                env.call_method(&iterator, jni_str!("next"), jni_sig!("()Ljava/lang/Object;"), &[])?.l()?;
            read(env, next)
        });
        all.push(one?);
    }
    Ok(all)
}

pub fn messages<M: Message + Default>(env: &mut Env<'_>, collection: &JObject<'_>) -> Result<Vec<M>> {
    all(env, collection, |env, object| from_java(env, &object))
}

pub fn texts(env: &mut Env<'_>, collection: &JObject<'_>) -> Result<Vec<String>> {
    all(env, collection, text_from_java)
}

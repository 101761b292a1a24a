//! Classes that are not here: the replicated log, the state on top of it, and Java's v1 interfaces. Whatever they
//! are asked to do they refuse, by an exception that says so; an object that is thrown away has nothing to give back.

use jni::errors::{Result, ThrowRuntimeExAndDefault};
use jni::objects::JObject;
use jni::strings::JNIStr;
use jni::sys::jlong;
use jni::{EnvUnowned, jni_str};

const LOG: &JNIStr = jni_str!(
    "libmesos: this library has no replicated log; what must outlive a machine is ZooKeeper's or etcd's"
);
const STATE: &JNIStr =
    jni_str!("libmesos: this library keeps no state for frameworks; a client of ZooKeeper's or etcd's does");
const V1: &JNIStr = jni_str!(
    "libmesos: this library has no v1 scheduler for Java; any HTTP client can speak that API with the master"
);

fn refuse(mut unowned: EnvUnowned<'_>, why: &JNIStr) -> jlong {
    let thrown = unowned.with_env(|env| -> Result<jlong> {
        env.throw_new(jni_str!("java/lang/UnsupportedOperationException"), why)?;
        Ok(0)
    });
    thrown.resolve::<ThrowRuntimeExAndDefault>()
}

/// Whatever they are to give, a reference, a number or nothing: it is zero. Arguments are the caller's to clear away.
macro_rules! refused {
    ($($why:ident $symbol:literal $name:ident)*) => {$(
        #[unsafe(export_name = concat!("Java_org_apache_mesos_", $symbol))]
        extern "system" fn $name(unowned: EnvUnowned<'_>, _: JObject<'_>) -> jlong {
            refuse(unowned, $why)
        }
    )*};
}

/// Finalizers.
macro_rules! nothing {
    ($($symbol:literal $name:ident)*) => {$(
        #[unsafe(export_name = concat!("Java_org_apache_mesos_", $symbol))]
        extern "system" fn $name(_: EnvUnowned<'_>, _: JObject<'_>) {}
    )*};
}

refused! {
    LOG "Log_00024Reader_beginning" refused_0
    LOG "Log_00024Reader_catchup" refused_1
    LOG "Log_00024Reader_ending" refused_2
    LOG "Log_00024Reader_initialize" refused_3
    LOG "Log_00024Reader_read" refused_4
    LOG "Log_00024Writer_append" refused_5
    LOG "Log_00024Writer_initialize" refused_6
    LOG "Log_00024Writer_truncate" refused_7
    LOG "Log_initialize__ILjava_lang_String_2Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2" refused_8
    LOG "Log_initialize__ILjava_lang_String_2Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2Ljava_lang_String_2_3B" refused_9
    LOG "Log_initialize__ILjava_lang_String_2Ljava_util_Set_2" refused_10
    STATE "state_AbstractState_00024ExpungeFuture_cancel" refused_11
    STATE "state_AbstractState_00024ExpungeFuture_get" refused_12
    STATE "state_AbstractState_00024ExpungeFuture_get_1timeout" refused_13
    STATE "state_AbstractState_00024ExpungeFuture_is_1cancelled" refused_14
    STATE "state_AbstractState_00024ExpungeFuture_is_1done" refused_15
    STATE "state_AbstractState_00024FetchFuture_cancel" refused_16
    STATE "state_AbstractState_00024FetchFuture_get" refused_17
    STATE "state_AbstractState_00024FetchFuture_get_1timeout" refused_18
    STATE "state_AbstractState_00024FetchFuture_is_1cancelled" refused_19
    STATE "state_AbstractState_00024FetchFuture_is_1done" refused_20
    STATE "state_AbstractState_00024NamesFuture_cancel" refused_21
    STATE "state_AbstractState_00024NamesFuture_get" refused_22
    STATE "state_AbstractState_00024NamesFuture_get_1timeout" refused_23
    STATE "state_AbstractState_00024NamesFuture_is_1cancelled" refused_24
    STATE "state_AbstractState_00024NamesFuture_is_1done" refused_25
    STATE "state_AbstractState_00024StoreFuture_cancel" refused_26
    STATE "state_AbstractState_00024StoreFuture_get" refused_27
    STATE "state_AbstractState_00024StoreFuture_get_1timeout" refused_28
    STATE "state_AbstractState_00024StoreFuture_is_1cancelled" refused_29
    STATE "state_AbstractState_00024StoreFuture_is_1done" refused_30
    STATE "state_AbstractState__1_1expunge" refused_31
    STATE "state_AbstractState__1_1expunge_1cancel" refused_32
    STATE "state_AbstractState__1_1expunge_1get" refused_33
    STATE "state_AbstractState__1_1expunge_1get_1timeout" refused_34
    STATE "state_AbstractState__1_1expunge_1is_1cancelled" refused_35
    STATE "state_AbstractState__1_1expunge_1is_1done" refused_36
    STATE "state_AbstractState__1_1fetch" refused_37
    STATE "state_AbstractState__1_1fetch_1cancel" refused_38
    STATE "state_AbstractState__1_1fetch_1get" refused_39
    STATE "state_AbstractState__1_1fetch_1get_1timeout" refused_40
    STATE "state_AbstractState__1_1fetch_1is_1cancelled" refused_41
    STATE "state_AbstractState__1_1fetch_1is_1done" refused_42
    STATE "state_AbstractState__1_1names" refused_43
    STATE "state_AbstractState__1_1names_1cancel" refused_44
    STATE "state_AbstractState__1_1names_1get" refused_45
    STATE "state_AbstractState__1_1names_1get_1timeout" refused_46
    STATE "state_AbstractState__1_1names_1is_1cancelled" refused_47
    STATE "state_AbstractState__1_1names_1is_1done" refused_48
    STATE "state_AbstractState__1_1store" refused_49
    STATE "state_AbstractState__1_1store_1cancel" refused_50
    STATE "state_AbstractState__1_1store_1get" refused_51
    STATE "state_AbstractState__1_1store_1get_1timeout" refused_52
    STATE "state_AbstractState__1_1store_1is_1cancelled" refused_53
    STATE "state_AbstractState__1_1store_1is_1done" refused_54
    STATE "state_LevelDBState_initialize" refused_55
    STATE "state_LogState_initialize" refused_56
    STATE "state_Variable_mutate" refused_57
    STATE "state_Variable_value" refused_58
    STATE "state_ZooKeeperState_initialize__Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2" refused_59
    STATE "state_ZooKeeperState_initialize__Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2Ljava_lang_String_2_3B" refused_60
    V1 "v1_scheduler_V0Mesos_initialize" refused_61
    V1 "v1_scheduler_V0Mesos_send" refused_62
    V1 "v1_scheduler_V1Mesos_initialize" refused_63
    V1 "v1_scheduler_V1Mesos_reconnect" refused_64
    V1 "v1_scheduler_V1Mesos_send" refused_65
}

nothing! {
    "Log_00024Reader_finalize" nothing_0
    "Log_00024Writer_finalize" nothing_1
    "Log_finalize" nothing_2
    "state_AbstractState_00024ExpungeFuture_finalize" nothing_3
    "state_AbstractState_00024FetchFuture_finalize" nothing_4
    "state_AbstractState_00024NamesFuture_finalize" nothing_5
    "state_AbstractState_00024StoreFuture_finalize" nothing_6
    "state_AbstractState__1_1expunge_1finalize" nothing_7
    "state_AbstractState__1_1fetch_1finalize" nothing_8
    "state_AbstractState__1_1names_1finalize" nothing_9
    "state_AbstractState__1_1store_1finalize" nothing_10
    "state_AbstractState_finalize" nothing_11
    "state_LogState_finalize" nothing_12
    "state_Variable_finalize" nothing_13
    "v1_scheduler_V0Mesos_finalize" nothing_14
    "v1_scheduler_V1Mesos_finalize" nothing_15
}

//! `libmesos.so`: the drivers of `mesos_core::driver` for Java and for C.
//!
//! | module | for |
//! |---|---|
//! | `jni` | the classes of `org.apache.mesos` whose methods are native; Spark and Hadoop load it so |
//! | `c` | `include/mesos.h`, for any other language |
//!
//! Nothing is decided here: values are turned into other values, and calls passed on. Absent on purpose: Mesos' C++
//! classes (their layout is that of one compiler and one library), and the replicated log.

pub mod c;
pub mod jni;

/// Ends the process, as an executor that nobody started has to.
#[expect(clippy::disallowed_methods, reason = "the end that libmesos puts to an executor without an agent")]
fn end(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}

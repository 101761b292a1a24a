//! The rows of flags of which an agent takes no value but the default.

use crate::flags::{Flag, Kind};

const AUTHENTICATION: &str = "authentication is not there yet";
const MODULES: &str = "modules are C++ libraries and cannot be loaded here";

pub const ABSENT: &[Flag] = &[
    Flag::unset("image_providers", Kind::Text, "Kinds of images that containers may have: APPC, DOCKER.")
        .absent("container images are not there yet"),
    Flag::unset("default_container_info", Kind::Json, "ContainerInfo of executors that have none, in JSON.")
        .absent("containers of executors are always of the plain kind"),
    Flag::unset("volume_gid_range", Kind::Text, "Groups for volumes that users share.")
        .absent("volumes are not there yet"),
    Flag::unset("agent_subsystems", Kind::Text, "cgroup subsystems that the agent puts itself into.")
        .old(&["slave_subsystems"])
        .absent("cgroups are not there yet"),
    Flag::unset("resource_provider_config_dir", Kind::Text, "Directory of local resource providers.")
        .absent("resource providers are not there yet"),
    Flag::unset("csi_plugin_config_dir", Kind::Text, "Directory of CSI plugins.")
        .absent("CSI plugins are not there yet"),
    Flag::unset("disk_profile_adaptor", Kind::Text, "A module that knows disk profiles.").absent(MODULES),
    Flag::unset("secret_resolver", Kind::Text, "A module that resolves secrets.").absent(MODULES),
    Flag::unset("resource_estimator", Kind::Text, "A module that estimates resources to oversubscribe.")
        .absent(MODULES),
    Flag::unset("qos_controller", Kind::Text, "A module that protects tasks from oversubscription.")
        .absent(MODULES),
    Flag::unset("master_detector", Kind::Text, "A module that finds the leading master.").absent(MODULES),
    Flag::with(
        "http_executor_domain_sockets",
        Kind::Bool,
        "false",
        "Whether executors reach the agent through a domain socket.",
    )
    .absent("there are no domain sockets for executors"),
    Flag::with("authenticate_http_executors", Kind::Bool, "false", "Whether executors must authenticate.")
        .absent(AUTHENTICATION),
    Flag::unset("jwt_secret_key", Kind::Path, "File of the key that signs tokens of executors.")
        .old(&["executor_secret_key"])
        .absent(AUTHENTICATION),
    Flag::unset("credential", Kind::Path, "File of principal and secret that the agent has, in JSON.")
        .absent(AUTHENTICATION),
    Flag::unset("http_credentials", Kind::Path, "File of principals and secrets of HTTP requests, in JSON.")
        .absent(AUTHENTICATION),
    Flag::unset("http_authenticators", Kind::Text, "How HTTP requests are authenticated.")
        .absent(AUTHENTICATION),
    Flag::with("authenticatee", Kind::Text, "crammd5", "How the agent authenticates itself.")
        .absent(AUTHENTICATION),
    Flag::with("authorizer", Kind::Text, "local", "Who decides what a principal may do.")
        .absent("authorization is not there yet"),
];

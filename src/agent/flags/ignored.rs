//! The rows of flags that are accepted and ignored: what they tune is not there, or is always so.

use crate::flags::{Flag, Kind};

const COLLECTION: &str = "sandboxes of nested containers always go with that of their executor";
const IPV6: &str = "no IPv6 address is listened on or told";
const AUTHENTICATION: &str = "authentication is not there yet";
const IMAGES: &str = "container images are not there yet, and --image_providers is refused";
const DOCKER: &str = "the docker containerizer is not there yet, and refused in --containerizers";
const CGROUPS: &str = "the cgroups isolator that it belongs to is not there yet, and refused in --isolation";
const ISOLATORS: &str = "the isolator that it belongs to is not there yet, and refused in --isolation";
const SYSTEMD: &str = "executors are not put into a slice of systemd yet";
const OVERSUBSCRIPTION: &str =
    "oversubscription is not there yet, and --resource_estimator and --qos_controller are refused";

pub const IGNORED: &[Flag] = &[
    Flag::with(
        "gc_non_executor_container_sandboxes",
        Kind::Bool,
        "false",
        "Whether sandboxes of nested containers are collected too.",
    )
    .harmless(COLLECTION),
    Flag::with("launcher_dir", Kind::Text, "/usr/local/libexec/mesos", "Location of Mesos binaries")
        .harmless("executor and helpers are in this binary"),
    Flag::with(
        "http_heartbeat_interval",
        Kind::Duration,
        "30secs",
        "How often sessions with nested containers are kept alive.",
    )
    .harmless("the calls that it concerns are not there yet"),
    Flag::with("http_command_executor", Kind::Bool, "false", "Whether the command executor speaks HTTP.")
        .harmless("the command executor always speaks HTTP"),
    Flag::unset("agent_features", Kind::Json, "Features that the agent has, in JSON.")
        .harmless("an agent always tells the features that it has"),
    Flag::unset("ip6", Kind::Text, "IPv6 address to tell for containers on the network of the host.")
        .harmless(IPV6),
    Flag::unset("ip6_discovery_command", Kind::Text, "A shell command that prints the IPv6 address.")
        .harmless(IPV6),
    Flag::with(
        "authentication_backoff_factor",
        Kind::Duration,
        "1secs",
        "By how much an agent waits longer with each try to authenticate.",
    )
    .harmless(AUTHENTICATION),
    Flag::with(
        "authentication_timeout_min",
        Kind::Duration,
        "5secs",
        "The least time to wait before authenticating again.",
    )
    .harmless(AUTHENTICATION),
    Flag::with(
        "authentication_timeout_max",
        Kind::Duration,
        "1mins",
        "The most time to wait before authenticating again.",
    )
    .harmless(AUTHENTICATION),
    Flag::unset("image_provisioner_backend", Kind::Text, "How root filesystems are made from images.")
        .harmless(IMAGES),
    Flag::unset("image_gc_config", Kind::Json, "When images are removed, in JSON.").harmless(IMAGES),
    Flag::with("appc_simple_discovery_uri_prefix", Kind::Text, "http://", "Where Appc images are found.")
        .harmless(IMAGES),
    Flag::with("appc_store_dir", Kind::Text, "/tmp/mesos/store/appc", "Directory of Appc images.")
        .harmless(IMAGES),
    Flag::with(
        "docker_registry",
        Kind::Text,
        "https://registry-1.docker.io",
        "Where Docker images are pulled from.",
    )
    .harmless(IMAGES),
    Flag::with("docker_store_dir", Kind::Text, "/tmp/mesos/store/docker", "Directory of Docker images.")
        .harmless(IMAGES),
    Flag::with(
        "docker_ignore_runtime",
        Kind::Bool,
        "false",
        "Whether entry point, environment and directory of an image are ignored.",
    )
    .harmless(IMAGES),
    Flag::unset("docker_config", Kind::Json, "Configuration of docker, with passwords of registries.")
        .secret()
        .harmless(IMAGES),
    Flag::with(
        "sandbox_directory",
        Kind::Text,
        "/mnt/mesos/sandbox",
        "Where a container with an image of its own sees its sandbox.",
    )
    .harmless(IMAGES),
    Flag::with("docker", Kind::Text, "docker", "The docker program.").harmless(DOCKER),
    Flag::with("docker_socket", Kind::Text, "/var/run/docker.sock", "How docker is reached.")
        .harmless(DOCKER),
    Flag::with("docker_remove_delay", Kind::Duration, "6hrs", "How long an ended docker container is kept.")
        .harmless(DOCKER),
    Flag::with(
        "docker_kill_orphans",
        Kind::Bool,
        "true",
        "Whether docker containers that nobody knows are killed.",
    )
    .harmless(DOCKER),
    Flag::unset("docker_mesos_image", Kind::Text, "The docker image that this agent runs in.")
        .harmless(DOCKER),
    Flag::with(
        "docker_stop_timeout",
        Kind::Duration,
        "0ns",
        "How long docker waits between stopping and killing.",
    )
    .harmless(DOCKER),
    Flag::with(
        "cgroups_cpu_enable_pids_and_tids_count",
        Kind::Bool,
        "false",
        "Whether processes and threads of a container are counted.",
    )
    .harmless("processes and threads are always counted"),
    Flag::unset("cgroups_net_cls_primary_handle", Kind::Text, "Primary handle of net_cls, like 0xAAAA.")
        .harmless(CGROUPS),
    Flag::unset(
        "cgroups_net_cls_secondary_handles",
        Kind::Text,
        "Range of secondary handles of net_cls, like 0xAAAA,0xBBBB.",
    )
    .harmless(CGROUPS),
    Flag::with(
        "revocable_cpu_low_priority",
        Kind::Bool,
        "true",
        "Whether containers with revocable cpus come last.",
    )
    .harmless(OVERSUBSCRIPTION),
    Flag::unset("perf_events", Kind::Text, "Events that perf samples.").harmless(CGROUPS),
    Flag::with("perf_interval", Kind::Duration, "1mins", "How often perf samples.").harmless(CGROUPS),
    Flag::with("perf_duration", Kind::Duration, "10secs", "How long perf samples.").harmless(CGROUPS),
    Flag::with("xfs_project_range", Kind::Text, "[5000-10000]", "XFS project ids of containers (disk/xfs).")
        .harmless(ISOLATORS),
    Flag::with(
        "xfs_kill_containers",
        Kind::Bool,
        "false",
        "Whether containers over their disk quota are killed (disk/xfs).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "docker_volume_checkpoint_dir",
        Kind::Text,
        "/var/run/mesos/isolators/docker/volume",
        "Where volumes in use are noted (docker/volume).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "docker_volume_chown",
        Kind::Bool,
        "false",
        "Whether volumes are given to the user of the container (docker/volume).",
    )
    .harmless(ISOLATORS),
    Flag::unset("nvidia_gpu_devices", Kind::Text, "GPUs to offer (gpu/nvidia).").harmless(ISOLATORS),
    Flag::unset(
        "default_container_dns",
        Kind::Json,
        "Name servers of containers with networks, in JSON (network/cni, docker).",
    )
    .harmless(ISOLATORS),
    Flag::unset("network_cni_plugins_dir", Kind::Text, "Directories of CNI plugins (network/cni).")
        .harmless(ISOLATORS),
    Flag::unset("network_cni_config_dir", Kind::Text, "Directory of CNI networks (network/cni).")
        .harmless(ISOLATORS),
    Flag::with(
        "network_cni_root_dir_persist",
        Kind::Bool,
        "false",
        "Whether CNI state outlives a reboot (network/cni).",
    )
    .harmless(ISOLATORS),
    Flag::with("network_cni_metrics", Kind::Bool, "true", "Whether CNI has metrics (network/cni).")
        .harmless(ISOLATORS),
    Flag::with(
        "ephemeral_ports_per_container",
        Kind::Count,
        "1024",
        "Ephemeral ports of a container (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::unset("eth0_name", Kind::Text, "The public network interface (network/port_mapping).")
        .harmless(ISOLATORS),
    Flag::unset("lo_name", Kind::Text, "The loopback interface (network/port_mapping).").harmless(ISOLATORS),
    Flag::unset(
        "egress_rate_limit_per_container",
        Kind::Bytes,
        "The most bytes a second that a container sends (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "egress_unique_flow_per_container",
        Kind::Bool,
        "false",
        "Whether each container is a flow (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "egress_flow_classifier_parent",
        Kind::Text,
        "root",
        "Where flows are told apart (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "network_enable_socket_statistics_summary",
        Kind::Bool,
        "false",
        "Whether sockets are counted (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "network_enable_socket_statistics_details",
        Kind::Bool,
        "false",
        "Whether sockets are described (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "network_enable_snmp_statistics",
        Kind::Bool,
        "false",
        "Whether SNMP counters are read (network/port_mapping).",
    )
    .harmless(ISOLATORS),
    Flag::with(
        "systemd_enable_support",
        Kind::Bool,
        "true",
        "Whether executors are put where systemd lets them live on.",
    )
    .harmless(SYSTEMD),
    Flag::with(
        "systemd_runtime_directory",
        Kind::Text,
        "/run/systemd/system",
        "The runtime directory of systemd.",
    )
    .harmless(SYSTEMD),
    Flag::with(
        "qos_correction_interval_min",
        Kind::Duration,
        "0ns",
        "The least time between corrections by the QoS controller.",
    )
    .harmless(OVERSUBSCRIPTION),
    Flag::with(
        "oversubscribed_resources_interval",
        Kind::Duration,
        "15secs",
        "How often resources to oversubscribe are estimated.",
    )
    .harmless(OVERSUBSCRIPTION),
    Flag::unset("domain_socket_location", Kind::Text, "The socket for executors.")
        .harmless("there are no domain sockets for executors, and --http_executor_domain_sockets is refused"),
];

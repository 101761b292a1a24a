//! One small case per decision of the core.

mod agents;
mod authentication;
mod flow;
mod frameworks;
mod generated;
mod launching;
mod meanwhile;
mod remembered;
mod returning;

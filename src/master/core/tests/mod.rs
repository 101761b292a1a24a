//! One small case per decision of the core.

mod flow;

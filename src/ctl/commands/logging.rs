//! `logging toggle` and `logging level`.

use std::time::Duration;

use serde_json::json;

use crate::base::duration::format;
use crate::ctl::Ctl;
use crate::ctl::args::Target;
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::print::line;

pub fn toggle(ctl: &Ctl, level: u32, duration: Duration, target: &Target) -> Result<(), Error> {
    let server = ctl.target(target)?;
    let (level, lasting) = (level.to_string(), format(duration));
    let query = [("level", level.as_str()), ("duration", lasting.as_str())];
    server.open(&Request::post("/logging/toggle", &[]).query(&query))?;
    line(&format!("{} logs at level {level} for {lasting}.", server.capital_name()))
}

pub fn level(ctl: &Ctl, target: &Target) -> Result<(), Error> {
    let server = ctl.target(target)?;
    let level = server.text(&Request::get("/logging/toggle"))?;
    let level = level.trim();
    ctl.output
        .pairs(&[("level".to_owned(), level.to_owned())], &json!({ "level": level.parse::<u32>().ok() }))
}

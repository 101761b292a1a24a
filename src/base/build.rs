//! Which Mesos we stand for, and when and by whom this binary was built.

/// The version of Mesos whose behaviour this is, as clients compare it.
pub const VERSION: &str = "1.11.0";

/// Seconds since the epoch at which the crate was built.
pub fn time() -> u64 {
    env!("MESOS_BUILD_TIME").parse().unwrap_or(0)
}

pub fn user() -> &'static str {
    env!("MESOS_BUILD_USER")
}

/// The commit it was built from, if it was built in a clone.
pub fn git_sha() -> Option<&'static str> {
    Some(env!("MESOS_BUILD_SHA")).filter(|sha| !sha.is_empty())
}

/// When it was built, as `2013-08-26 06:41:22`, UTC.
pub fn date() -> String {
    utc(time())
}

fn utc(seconds: u64) -> String {
    let (seconds, days) = (seconds % 86_400, seconds / 86_400);
    // Days since 0000-03-01, in eras of 400 years: leap days then end the year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let day = day - (153 * shifted + 2) / 5 + 1;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates() {
        assert_eq!(utc(1_377_499_282), "2013-08-26 06:41:22");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc(0), "1970-01-01 00:00:00");
    }
}

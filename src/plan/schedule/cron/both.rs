//! A day of month and a weekday in one schedule: cron takes either, many mean both. The rule that says both.

use super::{CronFields, bit};

/// The weekdays of a rule, from Sunday on.
const DAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
/// More hours or minutes than so many would not be read by anybody.
const VALUES_MAX: usize = 12;

/// The recurrence rule whose days are in both day fields of a cron schedule, where both are restricted.
pub fn both_days(text: &str) -> Option<String> {
    let fields = CronFields::parse(text).ok().filter(|fields| fields.either_day)?;
    let mut parts = vec!["FREQ=MONTHLY".to_owned()];
    let months = values(fields.months, 1..=12);
    if months.len() < 12 {
        parts.push(format!("BYMONTH={}", months.join(",")));
    }
    let weekdays: Vec<&str> = (0u32..)
        .zip(DAYS)
        .filter(|(day, _)| fields.weekdays & bit(*day) != 0)
        .map(|(_, name)| name)
        .collect();
    // Seven days in a row from the 1st, 8th, … have each weekday once: the first, the second, …
    let week = (0u32..4).find(|week| fields.days == (week * 7 + 1..=week * 7 + 7).map(bit).sum::<u64>());
    if let Some(week) = week {
        let days: Vec<String> = weekdays.iter().map(|day| format!("{}{day}", week + 1)).collect();
        parts.push(format!("BYDAY={}", days.join(",")));
    } else {
        parts.push(format!("BYMONTHDAY={}", values(fields.days, 1..=31).join(",")));
        parts.push(format!("BYDAY={}", weekdays.join(",")));
    }
    for (name, values) in
        [("BYHOUR", values(fields.hours, 0..=23)), ("BYMINUTE", values(fields.minutes, 0..=59))]
    {
        let listed = if values.len() <= VALUES_MAX { values.join(",") } else { "…".to_owned() };
        parts.push(format!("{name}={listed}"));
    }
    Some(parts.join(";"))
}

fn values(bits: u64, all: std::ops::RangeInclusive<u32>) -> Vec<String> {
    all.filter(|value| bits & bit(*value) != 0).map(|value| value.to_string()).collect()
}

//! The text of a cron schedule, in the dialect of Kubernetes' own scheduled jobs.
//!
//! Five fields: minute, hour, day of month, month, day of week. Each is a list of numbers, names (`jan`,
//! `mon`; case does not matter), ranges and steps; `?` is `*`; `N/step` runs from N to the field's end; 0 and
//! 7 are both Sunday. The macros `@hourly` to `@yearly` are read too.
//!
//! What other dialects add is refused rather than guessed at: seconds and years shift the meaning of every
//! field, and `L`, `W` and `#` mean different things to different programs.

use thiserror::Error;

/// The longest cron text that is read, in bytes.
pub const CRON_LENGTH_MAX: usize = 100;

/// Why a text is no cron schedule. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronError {
    /// Nothing was written.
    #[error("the cron schedule is empty; write five fields such as `0 2 * * *`")]
    Empty,
    /// The text is longer than [`CRON_LENGTH_MAX`].
    #[error("the cron schedule has {0} characters and may have {max}; use ranges and steps, or several clocks", max = CRON_LENGTH_MAX)]
    TooLong(usize),
    /// A zone inside the schedule.
    #[error("`{0}`: a zone inside the schedule is not supported; write it into timeZone")]
    ZonePrefix(String),
    /// The `@every` macro.
    #[error("`@every` is not supported; write `interval: 1h30m` instead of cron")]
    Every,
    /// Another `@` macro.
    #[error(
        "`{0}` is not known; write @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or five fields"
    )]
    UnknownMacro(String),
    /// Not five fields.
    #[error("the cron schedule has {0} fields and needs five: minute, hour, day of month, month, day of week{hint}",
        hint = if *.0 > 5 { " (seconds and years are not supported)" } else { "" })]
    FieldCount(usize),
    /// A character that only other dialects know.
    #[error(
        "{field} `{item}`: `{symbol}` is not in Kubernetes' cron dialect; write numbers, names, lists, ranges and steps{rule}",
        rule = instead(.field, .item)
    )]
    Extension {
        /// The field, in words.
        field: &'static str,
        /// The part of the field that holds the character.
        item: String,
        /// The character.
        symbol: char,
    },
    /// A part that is neither a number nor a name of this field.
    #[error(
        "{field} `{item}` is not understood; write {min} to {max}{names}, a range such as {min}-{max}, a step such as */5, or a list of these",
        names = names(.field)
    )]
    Malformed {
        /// The field, in words.
        field: &'static str,
        /// What was written.
        item: String,
        /// The least value of the field.
        min: u32,
        /// The greatest value of the field.
        max: u32,
    },
    /// A number outside the field's values.
    #[error("{field} `{value}` is out of range; write {min} to {max}")]
    OutOfRange {
        /// The field, in words.
        field: &'static str,
        /// The number that was written.
        value: String,
        /// The least value of the field.
        min: u32,
        /// The greatest value of the field.
        max: u32,
    },
    /// A range whose end comes before its start.
    #[error(
        "{field} `{item}` runs backwards; write it as two ranges, such as {field_start}-{max},{min}-{field_end}"
    )]
    Backwards {
        /// The field, in words.
        field: &'static str,
        /// What was written.
        item: String,
        /// The range's first value.
        field_start: u32,
        /// The range's last value.
        field_end: u32,
        /// The least value of the field.
        min: u32,
        /// The greatest value of the field.
        max: u32,
    },
    /// A step of zero, or one that is no number.
    #[error("{field} `{item}` has no usable step; write a number from 1 behind the slash, such as */5")]
    Step {
        /// The field, in words.
        field: &'static str,
        /// What was written.
        item: String,
    },
    /// The fields are fine one by one, and no date has them all.
    #[error("`{0}` never comes: no month it names has such a day; correct the day of month or the month")]
    NeverFires(String),
}

/// The names that a field takes beside numbers.
fn names(field: &str) -> String {
    let rule = [MONTH, WEEKDAY].into_iter().find(|rule| rule.name == field);
    let names = rule.and_then(|rule| Some(format!(", {} to {}", rule.names.first()?, rule.names.last()?)));
    names.unwrap_or_default()
}

/// What says the same as an item of another dialect.
fn instead(field: &str, item: &str) -> String {
    let day = |text: &str| {
        let number = number(text).map(|day| day % 7);
        let named = WEEKDAY.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let index = number.and_then(|day| usize::try_from(day).ok()).or(named)?;
        WEEKDAY.names.get(index)?.get(..2).map(str::to_ascii_uppercase)
    };
    let upper = item.to_ascii_uppercase();
    let rule = match upper.as_str() {
        "L" if field == DAY.name => Some("BYMONTHDAY=-1".to_owned()),
        "1W" if field == DAY.name => Some("BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1".to_owned()),
        "LW" | "WL" if field == DAY.name => Some("BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1".to_owned()),
        _ if field == WEEKDAY.name => match upper.split_once('#') {
            Some((weekday, nth)) if number(nth).is_some() => {
                day(weekday).map(|day| format!("BYDAY={nth}{day}"))
            }
            _ => upper.strip_suffix('L').and_then(day).map(|day| format!("BYDAY=-1{day}")),
        },
        _ => None,
    };
    let written = |rule| {
        format!("; or instead of cron a rule such as `rrule: FREQ=MONTHLY;{rule};BYHOUR=2;BYMINUTE=0`")
    };
    rule.map(written).unwrap_or_default()
}

/// A cron schedule as sets of values, one bit each. Times and dates are found in it by [`super::calendar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CronFields {
    /// Bits 0 to 59.
    pub(super) minutes: u64,
    /// Bits 0 to 23.
    pub(super) hours: u64,
    /// Bits 1 to 31.
    pub(super) days: u64,
    /// Bits 1 to 12.
    pub(super) months: u64,
    /// Bits 0 (Sunday) to 6.
    pub(super) weekdays: u64,
    /// Both day fields are restricted: a date needs to be in one of them only.
    pub(super) either_day: bool,
    /// The schedule repeats through the day, rather than naming fixed times.
    pub(super) repeats: bool,
}

struct Rule {
    name: &'static str,
    min: u32,
    max: u32,
    /// The greatest value that may be written; above `max` only for Sunday's 7.
    written_max: u32,
    /// Names of the values, from `min` on.
    names: &'static [&'static str],
}

const MINUTE: Rule = Rule { name: "minute", min: 0, max: 59, written_max: 59, names: &[] };
const HOUR: Rule = Rule { name: "hour", min: 0, max: 23, written_max: 23, names: &[] };
const DAY: Rule = Rule { name: "day of month", min: 1, max: 31, written_max: 31, names: &[] };
const MONTH: Rule = Rule {
    name: "month",
    min: 1,
    max: 12,
    written_max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Rule = Rule {
    name: "day of week",
    min: 0,
    max: 6,
    written_max: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl CronFields {
    /// Reads a cron schedule, and refuses one that no date satisfies.
    pub(super) fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > CRON_LENGTH_MAX {
            return Err(CronError::TooLong(text.chars().count()));
        }
        let plain = expand_macro(text.trim())?;
        let fields: Vec<&str> = plain.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(if fields.is_empty() {
                CronError::Empty
            } else {
                CronError::FieldCount(fields.len())
            });
        };
        let (minutes, hours) = (MINUTE.parse(minute)?, HOUR.parse(hour)?);
        let (days, months, weekdays) = (DAY.parse(day)?, MONTH.parse(month)?, WEEKDAY.parse(weekday)?);
        let fields = Self {
            minutes: minutes.bits,
            hours: hours.bits,
            days: days.bits,
            months: months.bits,
            weekdays: fold_sunday(weekdays.bits),
            either_day: !days.star && !weekdays.star,
            repeats: minutes.repeats || hours.repeats,
        };
        if fields.comes() { Ok(fields) } else { Err(CronError::NeverFires(text.trim().to_owned())) }
    }

    /// Whether any date has the fields: a weekday always comes round, a day of month only in a long enough
    /// month.
    fn comes(&self) -> bool {
        const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        self.either_day
            || (1u32..).zip(LENGTHS).any(|(month, length)| {
                self.months & bit(month) != 0 && self.days & (bit(length + 1) - 1) != 0
            })
    }
}

fn expand_macro(text: &str) -> Result<&str, CronError> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("tz=") || lower.starts_with("cron_tz=") {
        return Err(CronError::ZonePrefix(text.split_whitespace().next().unwrap_or(text).to_owned()));
    }
    match lower.as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        every if every.starts_with("@every") => Err(CronError::Every),
        other if other.starts_with('@') => Err(CronError::UnknownMacro(text.to_owned())),
        _ => Ok(text),
    }
}

struct Values {
    bits: u64,
    /// An unrestricted field, which leaves the choice of days to the other day field.
    star: bool,
    /// A field that says "every so often" rather than "at".
    repeats: bool,
}

impl Rule {
    fn parse(&self, field: &str) -> Result<Values, CronError> {
        let mut values = Values { bits: 0, star: false, repeats: field.contains(['*', '?', '/']) };
        for item in field.split(',') {
            let (range, step) = match item.split_once('/') {
                None => (item, 1),
                Some((range, step)) => (range, self.step(step, item)?),
            };
            let wild = matches!(range, "*" | "?");
            let (first, last) = if wild {
                (self.min, self.max)
            } else if let Some((first, last)) = range.split_once('-') {
                self.range(first, last, item)?
            } else {
                let first = self.value(range, item)?;
                (first, if item.contains('/') { first.max(self.max) } else { first })
            };
            let stride = usize::try_from(step).unwrap_or(usize::MAX);
            values.bits |= (first..=last).step_by(stride).fold(0, |bits, value| bits | bit(value));
            // `*/2` restricts the field; `*/1` does not.
            values.star |= wild && step == 1;
        }
        let all = bit(self.max + 1) - bit(self.min);
        values.repeats |= values.bits & all == all;
        Ok(values)
    }

    fn step(&self, text: &str, item: &str) -> Result<u32, CronError> {
        number(text)
            .filter(|step| *step > 0)
            .ok_or_else(|| CronError::Step { field: self.name, item: item.to_owned() })
    }

    fn range(&self, first: &str, last: &str, item: &str) -> Result<(u32, u32), CronError> {
        let (start, end) = (self.value(first, item)?, self.value(last, item)?);
        // Named by its word, Sunday ends a week: `fri-sun`.
        let end = if number(last).is_none() && start > end && end == 0 { self.written_max } else { end };
        if start <= end {
            return Ok((start, end));
        }
        Err(CronError::Backwards {
            field: self.name,
            item: item.to_owned(),
            field_start: start,
            field_end: end,
            min: self.min,
            max: self.max,
        })
    }

    /// One value, written as a number or as a name.
    fn value(&self, text: &str, item: &str) -> Result<u32, CronError> {
        if let Some((value, _)) =
            (self.min..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text))
        {
            return Ok(value);
        }
        let (field, min, max) = (self.name, self.min, self.written_max);
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match number(text) {
            Some(value) if (min..=max).contains(&value) => Ok(value),
            _ if digits => Err(CronError::OutOfRange { field, value: text.to_owned(), min, max }),
            _ => Err(match item.chars().find(|c| "LlWw#+HhRr~".contains(*c)) {
                Some(symbol) if !self.is_long_name(text) => {
                    CronError::Extension { field, item: item.to_owned(), symbol }
                }
                _ => CronError::Malformed { field, item: item.to_owned(), min, max },
            }),
        }
    }

    /// Whether a word is a name with more letters, such as `Wednesday`; in `friL` and `friW` the last one is
    /// a symbol.
    fn is_long_name(&self, text: &str) -> bool {
        let Some((head, rest)) = text.split_at_checked(3) else { return false };
        let is_symbol = ["", "l", "w"].iter().any(|symbol| rest.eq_ignore_ascii_case(symbol));
        !is_symbol
            && rest.bytes().all(|byte| byte.is_ascii_alphabetic())
            && self.names.iter().any(|name| name.eq_ignore_ascii_case(head))
    }
}

/// A number of plain digits: no sign, no space.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Both 0 and 7 are Sunday.
fn fold_sunday(bits: u64) -> u64 {
    (bits & !bit(7)) | u64::from(bits & bit(7) != 0)
}

/// The bit that stands for `value`; none for values that no field has.
pub(super) fn bit(value: u32) -> u64 {
    1u64.checked_shl(value).unwrap_or(0)
}

mod both;
mod zoned;

pub use both::both_days;
pub(super) use zoned::ZonedCron;

#[cfg(test)]
mod tests;

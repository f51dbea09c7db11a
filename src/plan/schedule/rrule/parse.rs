//! The text of a recurrence rule: RFC 5545's RRULE, with the lines DTSTART, RDATE and EXDATE where they are
//! wanted.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::days::{Days, weekday_number};
use super::error::{RRULE_LENGTH_MAX, RruleError};
use super::expand::{Frequency, Rule};
use super::times::Times;
use crate::plan::schedule::cron::bit;
use crate::plan::schedule::zone::Zone;

/// The greatest COUNT: as many occurrences are listed once, when the rule is read.
pub const RRULE_COUNT_MAX: u32 = 1_000;

/// The greatest INTERVAL.
const INTERVAL_MAX: i64 = 1_000_000;

/// What a text says.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) rule: Rule,
    pub(super) count: Option<u32>,
    pub(super) extra: Vec<DateTime>,
    pub(super) except: Vec<DateTime>,
}

/// Reads a rule and its lines. `start` is the DTSTART of a text that has none.
pub(super) fn parse(text: &str, zone: &Zone, start: DateTime) -> Result<Parsed, RruleError> {
    if text.len() > RRULE_LENGTH_MAX {
        return Err(RruleError::TooLong(text.len()));
    }
    let upper = text.to_ascii_uppercase();
    let (mut rule, mut written_start) = (None, None);
    let (mut extra, mut except) = (Vec::new(), Vec::new());
    for line in upper.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, value) = line.split_once(':').unwrap_or(("RRULE", line));
        let (name, params) = head.split_once(';').unwrap_or((head, ""));
        check_params(params, line, zone)?;
        match name {
            "RRULE" if rule.is_none() => rule = Some(value),
            "DTSTART" if written_start.is_none() => written_start = Some(moment(value, name)?.wall(zone)),
            "RDATE" | "EXDATE" => {
                let walls = value.split(',').map(|item| match moment(item, name)? {
                    Moment::Date(_) => Err(RruleError::DateWithoutTime(format!("{name} {item}"))),
                    other => Ok(other.wall(zone)),
                });
                let walls = walls.collect::<Result<Vec<_>, _>>()?;
                if name == "RDATE" { extra.extend(walls) } else { except.extend(walls) }
            }
            "RRULE" | "DTSTART" => return Err(RruleError::Repeated(name.to_owned())),
            _ => return Err(RruleError::UnknownLine(line.chars().take(60).collect())),
        }
    }
    let start = written_start.unwrap_or(start);
    let parts = Parts::split(rule.unwrap_or_default())?;
    let (rule, count) = parts.rule(start, zone)?;
    extra.sort_unstable();
    except.sort_unstable();
    Ok(Parsed { rule, count, extra, except })
}

/// Parameters of a line: the zone, which can only be the clock's, and the kind of its value, which shows.
fn check_params(params: &str, line: &str, zone: &Zone) -> Result<(), RruleError> {
    for param in params.split(';').filter(|param| !param.is_empty()) {
        match param.split_once('=') {
            Some(("TZID", name)) if zone.is_named(name) => {}
            Some(("TZID", name)) => return Err(RruleError::OtherZone(name.to_owned())),
            Some(("VALUE", "DATE" | "DATE-TIME")) => {}
            _ => return Err(RruleError::UnknownLine(line.chars().take(60).collect())),
        }
    }
    Ok(())
}

/// A date, a time on the wall, or an instant in UTC.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Date(Date),
    Wall(DateTime),
    Instant(Timestamp),
}

impl Moment {
    /// The time on the wall; a date alone is its midnight.
    fn wall(self, zone: &Zone) -> DateTime {
        match self {
            Self::Date(date) => date.at(0, 0, 0, 0),
            Self::Wall(wall) => wall,
            Self::Instant(instant) => zone.wall(instant),
        }
    }
}

/// Reads `20270101`, `20270101T090000` or `20270101T090000Z`.
fn moment(text: &str, part: &str) -> Result<Moment, RruleError> {
    let text = text.trim();
    let malformed = || RruleError::Malformed {
        part: part.to_owned(),
        value: text.to_owned(),
        wanted: "a time such as 20270101T090000, or 20270101T080000Z in UTC".to_owned(),
    };
    let (local, utc) = text.strip_suffix('Z').map_or((text, false), |local| (local, true));
    let (date, time) = local.split_once('T').unwrap_or((local, ""));
    let date = digits::<8>(date).and_then(|number| {
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    });
    let date = date.ok_or_else(malformed)?;
    if time.is_empty() && !local.contains('T') && !utc {
        return Ok(Moment::Date(date));
    }
    let wall = digits::<6>(time).and_then(|number| {
        let (hour, minute, second) = (number / 10_000, number / 100 % 100, number % 100);
        let part = |number: u32| i8::try_from(number).ok();
        let (year, month, day) = (date.year(), date.month(), date.day());
        DateTime::new(year, month, day, part(hour)?, part(minute)?, part(second)?, 0).ok()
    });
    let wall = wall.ok_or_else(malformed)?;
    if !utc {
        return Ok(Moment::Wall(wall));
    }
    jiff::tz::Offset::UTC.to_timestamp(wall).map(Moment::Instant).map_err(|_| malformed())
}

/// A number of exactly so many digits.
fn digits<const LENGTH: usize>(text: &str) -> Option<u32> {
    let plain = text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The parts of a rule: names and values, none of them twice.
struct Parts<'a> {
    parts: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, RruleError> {
        const NAMES: [&str; 14] = [
            "FREQ",
            "INTERVAL",
            "COUNT",
            "UNTIL",
            "WKST",
            "BYMONTH",
            "BYWEEKNO",
            "BYYEARDAY",
            "BYMONTHDAY",
            "BYDAY",
            "BYHOUR",
            "BYMINUTE",
            "BYSECOND",
            "BYSETPOS",
        ];
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for part in text.trim().trim_end_matches(';').split(';').map(str::trim) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if part.is_empty() {
                return Err(RruleError::Empty);
            }
            if !NAMES.contains(&name) {
                return Err(RruleError::UnknownPart(name.chars().take(40).collect()));
            }
            if parts.iter().any(|(other, _)| *other == name) {
                return Err(RruleError::Repeated(name.to_owned()));
            }
            parts.push((name, value));
        }
        Ok(Self { parts })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.parts.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    fn rule(&self, start: DateTime, zone: &Zone) -> Result<(Rule, Option<u32>), RruleError> {
        let frequency = match self.get("FREQ").ok_or(RruleError::Empty)? {
            "YEARLY" => Frequency::Yearly,
            "MONTHLY" => Frequency::Monthly,
            "WEEKLY" => Frequency::Weekly,
            "DAILY" => Frequency::Daily,
            "HOURLY" => Frequency::Hourly,
            "MINUTELY" => Frequency::Minutely,
            "SECONDLY" => return Err(RruleError::Secondly),
            other => {
                return Err(malformed(
                    "FREQ",
                    other,
                    "YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY or MINUTELY".to_owned(),
                ));
            }
        };
        let count = self.number("COUNT", 1..=i64::from(RRULE_COUNT_MAX))?;
        let until = self.get("UNTIL").map(|value| moment(value, "UNTIL")).transpose()?;
        if count.is_some() && until.is_some() {
            return Err(RruleError::CountAndUntil);
        }
        let until = until.map(|until| match until {
            // Of a repeated hour, the second pass is not later than the first on the wall.
            Moment::Instant(instant) => zone.reached(instant),
            other => other.wall(zone),
        });
        let week_start = self.get("WKST").map_or(Ok(0), |value| {
            weekday(value).ok_or_else(|| malformed("WKST", value, "MO, TU, WE, TH, FR, SA or SU".to_owned()))
        })?;
        let times = Times {
            hours: self.bits("BYHOUR", 0..=23)?.unwrap_or_else(|| {
                if frequency < Frequency::Hourly { value_bit(start.hour()) } else { u64::MAX >> 40 }
            }),
            minutes: self.bits("BYMINUTE", 0..=59)?.unwrap_or_else(|| {
                if frequency < Frequency::Minutely { value_bit(start.minute()) } else { u64::MAX >> 4 }
            }),
            seconds: self.bits("BYSECOND", 0..=59)?.unwrap_or_else(|| value_bit(start.second())),
        };
        let interval = self.number("INTERVAL", 1..=INTERVAL_MAX)?.unwrap_or(1);
        let days = self.days(frequency, start, week_start)?;
        let positions = self.numbers("BYSETPOS", 366)?;
        let rule = Rule { frequency, interval, start, until, week_start, days, times, positions };
        Ok((rule, count.and_then(|count| u32::try_from(count).ok())))
    }

    /// What decides whether a date is in the rule. What the rule leaves open is taken from its start.
    fn days(&self, frequency: Frequency, start: DateTime, week_start: i8) -> Result<Days, RruleError> {
        let mut days = Days {
            months: self.bits("BYMONTH", 1..=12)?.unwrap_or_default(),
            of_month: self.numbers("BYMONTHDAY", 31)?,
            of_year: self.numbers("BYYEARDAY", 366)?,
            weeks: self.numbers("BYWEEKNO", 53)?,
            week_start,
            ..Days::default()
        };
        for item in self.get("BYDAY").into_iter().flat_map(|value| value.split(',')) {
            let wanted = || {
                malformed(
                    "BYDAY",
                    item,
                    "MO, TU, WE, TH, FR, SA, SU, or such a day with a number, as in 2MO or -1FR".to_owned(),
                )
            };
            let split = item.len().saturating_sub(2);
            let (ordinal, day) = item.split_at_checked(split).ok_or_else(wanted)?;
            let day = weekday(day).ok_or_else(wanted)?;
            match (ordinal, signed(ordinal).filter(|n| (1..=53).contains(&n.unsigned_abs()))) {
                ("", _) => days.weekdays |= value_bit(day),
                (_, None) => return Err(wanted()),
                _ if frequency > Frequency::Monthly => return Err(RruleError::OrdinalDay(item.to_owned())),
                (_, Some(nth)) => days.nth_weekdays.insert(nth, day),
            }
        }
        days.nth_of_month = frequency == Frequency::Monthly || days.months != 0;
        let open = days.of_month.is_empty()
            && days.of_year.is_empty()
            && days.weeks.is_empty()
            && days.weekdays == 0
            && days.nth_weekdays.is_empty();
        if open {
            match frequency {
                Frequency::Yearly if days.months == 0 => {
                    days.months = value_bit(start.month());
                    days.of_month.push(start.day().into());
                }
                Frequency::Yearly | Frequency::Monthly => days.of_month.push(start.day().into()),
                Frequency::Weekly => days.weekdays = value_bit(weekday_number(start.date())),
                _ => {}
            }
        }
        Ok(days)
    }

    fn number(&self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, RruleError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = digits_up_to_ten(value).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| malformed(name, value, wanted_range(*range.start(), *range.end())))
    }

    /// A list of numbers from a range that starts at 0 or more, as bits.
    fn bits(&self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<u64>, RruleError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let mut bits = 0;
        for item in value.split(',') {
            let number = digits_up_to_ten(item).filter(|number| range.contains(number));
            let number = number.and_then(|number| u32::try_from(number).ok());
            bits |=
                bit(number
                    .ok_or_else(|| malformed(name, item, wanted_range(*range.start(), *range.end())))?);
        }
        Ok(Some(bits))
    }

    /// A list of numbers that may count from the end: 1 to `max` and -1 to -`max`.
    fn numbers(&self, name: &str, max: i16) -> Result<Vec<i16>, RruleError> {
        let mut numbers = Vec::new();
        for item in self.get(name).into_iter().flat_map(|value| value.split(',')) {
            let number = signed(item).filter(|number| (1..=max).contains(&number.saturating_abs()));
            let wanted = || malformed(name, item, format!("1 to {max}, or -1 to -{max} from the end"));
            numbers.push(number.ok_or_else(wanted)?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

fn malformed(part: &str, value: &str, wanted: String) -> RruleError {
    RruleError::Malformed { part: part.to_owned(), value: value.chars().take(40).collect(), wanted }
}

fn wanted_range(first: i64, last: i64) -> String {
    format!("a number from {first} to {last}")
}

fn digits_up_to_ten(text: &str) -> Option<i64> {
    let plain = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A whole number with or without a sign.
fn signed(text: &str) -> Option<i16> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The number of a weekday's two letters, Monday being 0.
fn weekday(text: &str) -> Option<i8> {
    (0..).zip(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]).find(|(_, name)| *name == text).map(|(day, _)| day)
}

fn value_bit(value: i8) -> u64 {
    bit(u32::from(value.unsigned_abs()))
}

//! Random schedules, zones and instants, the same ones for the same seed.

use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

use super::dateutil::Case;

/// Zones with changes of many kinds: an hour, half an hour, at midnight, before it, for Ramadan, a day that
/// was lost.
pub const ZONES: [&str; 16] = [
    "Etc/UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Nuuk",
    "America/St_Johns",
    "Europe/Paris",
    "Europe/Dublin",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Antarctica/Troll",
];

/// 1990 to 2060, in seconds since 1970.
const YEARS: std::ops::Range<i64> = 631_152_000..2_840_140_800;

/// An instant: half of them within three days of a change of the clocks of `zone`, where it has any.
pub fn instant(random: &mut Rng, zone: &str) -> i64 {
    const THREE_DAYS: i64 = 3 * 24 * 3600;
    let any = random.i64(YEARS);
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let near = Timestamp::from_second(any).unwrap();
    let at = match zone.preceding(near).next() {
        Some(change) if random.bool() && change.timestamp().as_second() >= YEARS.start => {
            change.timestamp().as_second() + random.i64(-THREE_DAYS..THREE_DAYS)
        }
        _ => any,
    };
    // Often right on a minute, or on the hour, where a tick may be.
    at - at.rem_euclid(one_of(random, &[1, 60, 60, 1800, 3600]))
}

/// One of the values.
pub fn one_of<T: Copy>(random: &mut Rng, values: &[T]) -> T {
    values[random.usize(..values.len())]
}

/// A zone.
pub fn zone(random: &mut Rng) -> &'static str {
    one_of(random, &ZONES)
}

/// A cron schedule of five fields, in all forms of the dialect.
pub fn cron(random: &mut Rng) -> String {
    let minute = field(random, 0, 59, 2);
    // Changes of the clocks happen at night.
    let hour = if random.bool() { field(random, 0, 4, 6) } else { field(random, 0, 23, 3) };
    let day = field(random, 1, 31, 6);
    let month = match random.u8(..8) {
        0 => field(random, 1, 12, 0),
        1 => one_of(random, &["jan", "Mar", "mar-oct", "APR,nov", "feb/3"]).to_owned(),
        _ => "*".to_owned(),
    };
    let weekday = match random.u8(..8) {
        0 => one_of(random, &["sun", "Sat", "mon-fri", "fri,SUN", "tue/2"]).to_owned(),
        1..4 => field(random, 0, 7, 0),
        _ => "*".to_owned(),
    };
    format!("{minute} {hour} {day} {month} {weekday}")
}

/// A field of values from `min` to `max`; the more `stars`, the more often a star.
fn field(random: &mut Rng, min: u32, max: u32, stars: u8) -> String {
    let first = random.u32(min..=max);
    let last = random.u32(first..=max);
    match random.u8(..8 + stars) {
        0..3 => first.to_string(),
        3 => format!("{first},{last}"),
        4 => format!("{first}-{last}"),
        5 => format!("{first}-{last}/{}", random.u32(1..=max / 2)),
        6 => format!("*/{}", random.u32(1..=max)),
        7 => format!("{first}/{}", random.u32(1..=max / 2)),
        _ => "*".to_owned(),
    }
}

const DAY: i64 = 24 * 3600;
const YEAR: i64 = 365 * DAY;

/// `endAt`, in one case of eight, not before the start.
fn end(random: &mut Rng, start: Option<i64>, at: i64, span: i64) -> Option<i64> {
    let end = at + random.i64(-span..span);
    (random.u8(..8) == 0 && start.is_none_or(|start| start <= end)).then_some(end)
}

/// An interval of elapsed time.
pub fn elapsed(random: &mut Rng) -> Case {
    let zone = zone(random);
    let at = instant(random, zone);
    let text = match random.u8(..4) {
        0 => format!("{}s", random.u32(1..5000)),
        1 => format!("{}m", random.u32(1..3000)),
        2 => format!("{}h", random.u32(1..2000)),
        _ => format!("{}h{}m{}s", random.u32(..50), random.u32(..100), random.u32(1..100)),
    };
    let start = (random.u8(..4) != 0).then(|| at - random.i64(-YEAR..30 * YEAR));
    let end = end(random, start, at, 100 * DAY);
    Case { kind: "elapsed", text, zone, at, start, end }
}

/// A step of the calendar. Half of the anchors show the time of day of the question, which is often near a
/// change of the clocks, and many are the last day of a month.
pub fn calendar(random: &mut Rng) -> Case {
    let zone = zone(random);
    let at = instant(random, zone);
    let text = match random.u8(..4) {
        0 => format!("{}d", one_of(random, &[1, 1, 2, 3, 7, 30, 45])),
        1 => format!("{}w", random.u32(1..=10)),
        2 => format!("{}mo", one_of(random, &[1, 1, 2, 3, 6, 12, 13, 30])),
        _ => format!("{}y", random.u32(1..=5)),
    };
    let mut anchor = if random.bool() {
        at - random.i64(-400..8000) * DAY + random.i64(-4..=4) * 1800
    } else {
        at - random.i64(-YEAR..20 * YEAR)
    };
    if random.u8(..3) == 0 {
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        let zoned = Timestamp::from_second(anchor).unwrap().to_zoned(tz);
        anchor = zoned.last_of_month().unwrap().timestamp().as_second();
    }
    let start = (random.u8(..8) != 0).then_some(anchor);
    let end = end(random, start, at, 2 * YEAR);
    Case { kind: "calendar", text, zone, at, start, end }
}

/// Frequencies, how long before a question a rule may start, in seconds, and the most that a number of BYDAY
/// may be.
const FREQUENCIES: [(&str, i64, i64); 6] = [
    ("YEARLY", 40 * YEAR, 20),
    ("MONTHLY", 15 * YEAR, 5),
    ("WEEKLY", 8 * YEAR, 0),
    ("DAILY", 3 * YEAR, 0),
    ("HOURLY", 40 * DAY, 0),
    ("MINUTELY", DAY, 0),
];

/// A recurrence rule, with a DTSTART or with a `startAt` that it begins at. dateutil walks all the way from
/// there, so frequent rules begin near the question.
pub fn rrule(random: &mut Rng) -> Case {
    let zone = zone(random);
    let at = instant(random, zone);
    let (frequency, back, most) = one_of(random, &FREQUENCIES);
    let begin = at - random.i64(-back / 8..back);
    // The minute of the question now and then, and with it that of a change of the clocks.
    let begin = if random.u8(..3) == 0 { begin - (begin - at).rem_euclid(1800) } else { begin };
    let rule = rule(random, (frequency, most), zone, at);
    let start = (random.u8(..4) == 0).then_some(begin);
    let text = match start {
        // Without either it begins with 1970.
        Some(_) => format!("RRULE:{rule}"),
        None if back > 5 * YEAR && random.u8(..8) == 0 => format!("RRULE:{rule}"),
        None => format!("DTSTART:{}\nRRULE:{rule}", wall(zone, begin)),
    };
    let end = end(random, start, at, back / 2);
    except(random, Case { kind: "rrule", text, zone, at, start, end })
}

/// Leaves out ticks that there are, and one that there may not be; adds one.
fn except(random: &mut Rng, mut case: Case) -> Case {
    let mut excepted = Vec::new();
    if random.u8(..4) == 0
        && let Ok(clock) = case.clock()
    {
        let at = Timestamp::from_second(case.at).unwrap();
        excepted.extend(clock.next_after(at));
        excepted.extend(clock.latest_in(Timestamp::MIN, at));
        excepted.extend(at.checked_add(jiff::SignedDuration::from_hours(1)));
        let walls: Vec<_> = excepted.iter().map(|tick| wall(case.zone, tick.as_second())).collect();
        case.text = format!("{}\nEXDATE:{}", case.text, walls.join(","));
    }
    if random.u8(..8) == 0 {
        let extra = case.at + random.i64(-2 * DAY..2 * DAY);
        case.text = format!("{}\nRDATE:{}", case.text, wall(case.zone, extra));
    }
    case
}

/// What the clock on the wall shows, as RFC 5545 writes it.
fn wall(zone: &str, at: i64) -> String {
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    zone.to_datetime(Timestamp::from_second(at).unwrap()).strftime("%Y%m%dT%H%M%S").to_string()
}

/// The value of RRULE.
fn rule(random: &mut Rng, (frequency, most): (&str, i64), zone: &str, at: i64) -> String {
    const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let often = matches!(frequency, "HOURLY" | "MINUTELY");
    let mut parts = vec![format!("FREQ={frequency}")];
    let chance = |random: &mut Rng, percent: u8| random.u8(..100) < percent;
    if chance(random, 60) {
        parts.push(format!("INTERVAL={}", one_of(random, &[1, 2, 3, 5, 7, 13, 90])));
    }
    if chance(random, 20) {
        parts.push(format!("WKST={}", one_of(random, &DAYS)));
    }
    if chance(random, if often { 8 } else { 30 }) {
        parts.push(format!("BYMONTH={}", numbers(random, 1, 12, false)));
    }
    if chance(random, if often { 8 } else { 25 }) {
        parts.push(format!("BYMONTHDAY={}", numbers(random, 1, 31, true)));
    }
    if chance(random, 5) {
        parts.push(format!("BYYEARDAY={}", numbers(random, 1, 366, true)));
    }
    if frequency == "YEARLY" && chance(random, 15) {
        parts.push(format!("BYWEEKNO={}", numbers(random, 1, 51, false)));
    }
    if chance(random, if often { 15 } else { 40 }) {
        let ordinals = most > 0 && random.bool();
        // With BYMONTH they count in the month, and at the twentieth Monday of December dateutil fails.
        let most = if parts.iter().any(|part| part.starts_with("BYMONTH=")) { most.min(5) } else { most };
        let count = random.usize(1..=3);
        let day = |random: &mut Rng| match one_of(random, &DAYS) {
            day if ordinals => format!("{}{day}", one_of(random, &[1, -1]) * random.i64(1..=most)),
            day => day.to_owned(),
        };
        let days: Vec<String> = (0..count).map(|_| day(random)).collect();
        parts.push(format!("BYDAY={}", days.join(",")));
    }
    if chance(random, 40) {
        // Changes of the clocks happen at night.
        let last = if random.bool() { 4 } else { 23 };
        parts.push(format!("BYHOUR={}", numbers(random, 0, last, false)));
    }
    if chance(random, 40) {
        parts.push(format!("BYMINUTE={}", numbers(random, 0, 59, false)));
    }
    if chance(random, 10) {
        parts.push(format!("BYSECOND={}", numbers(random, 0, 59, false)));
    }
    if parts.len() > 2 && chance(random, 25) {
        parts.push(format!("BYSETPOS={}", numbers(random, 1, 5, true)));
    }
    match random.u8(..6) {
        0 => parts.push(format!("COUNT={}", random.u32(1..=60))),
        1 => parts.push(format!("UNTIL={}", wall(zone, at + random.i64(-30 * DAY..300 * DAY)))),
        _ => {}
    }
    parts.join(";")
}

/// One to four numbers, in no order; some of them counted from the end.
fn numbers(random: &mut Rng, first: i64, last: i64, negative: bool) -> String {
    let count = random.usize(1..=4);
    let sign = |random: &mut Rng| if negative && random.u8(..5) < 2 { -1 } else { 1 };
    let numbers: Vec<String> =
        (0..count).map(|_| (random.i64(first..=last) * sign(random)).to_string()).collect();
    numbers.join(",")
}

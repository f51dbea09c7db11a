//! Random schedules, zones and instants, the same ones for the same seed.

use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

/// Zones with changes of many kinds: an hour, half an hour, at midnight, before it, for Ramadan, a day that was lost.
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

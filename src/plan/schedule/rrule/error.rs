//! What may be wrong with the text of a recurrence rule.

use jiff::civil::DateTime;
use thiserror::Error;

/// The longest recurrence rule that is read, in bytes.
pub const RRULE_LENGTH_MAX: usize = 1_000;

/// Why a text is no recurrence rule. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RruleError {
    /// Nothing was written, or no FREQ in it.
    #[error("the rrule has no FREQ; write a rule such as FREQ=MONTHLY;BYDAY=-1FR")]
    Empty,
    /// The text is longer than [`RRULE_LENGTH_MAX`].
    #[error("the rrule has {0} bytes and may have {max}; use several clocks, or dates", max = RRULE_LENGTH_MAX)]
    TooLong(usize),
    /// A line of iCalendar that is not read here.
    #[error(
        "the rrule's line `{0}` is not understood; write one RRULE and at most DTSTART, RDATE and EXDATE lines"
    )]
    UnknownLine(String),
    /// A line or part that may be there once.
    #[error("`{0}` is there twice; write it once, or use several clocks")]
    Repeated(String),
    /// A part that RFC 5545 does not have.
    #[error(
        "`{0}` is no part of a recurrence rule; write FREQ, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND or BYSETPOS"
    )]
    UnknownPart(String),
    /// A value that is not one of its part's.
    #[error("{part} `{value}` is not understood; write {wanted}")]
    Malformed {
        /// The part, such as `BYDAY`.
        part: String,
        /// What was written.
        value: String,
        /// What may be written.
        wanted: String,
    },
    /// Every second.
    #[error("FREQ=SECONDLY is not supported; write `interval: 10s` instead of an rrule")]
    Secondly,
    /// COUNT and UNTIL at once.
    #[error("COUNT and UNTIL exclude each other; write one of them")]
    CountAndUntil,
    /// An ordinal such as 2MO where a week or less is repeated.
    #[error(
        "BYDAY `{0}` has a number, which needs FREQ=MONTHLY or FREQ=YEARLY; write the weekday alone, such as MO"
    )]
    OrdinalDay(String),
    /// A zone other than the clock's.
    #[error("TZID={0} is not the clock's zone; write the zone into timeZone and leave TZID out")]
    OtherZone(String),
    /// A part with a date in it that excludes or adds a time.
    #[error("{0} needs a time as well, such as 20270101T090000; to leave out whole days write except.dates")]
    DateWithoutTime(String),
    /// The occurrences up to COUNT are too far apart to be listed.
    #[error("the rrule's COUNT={0} takes too long to count out; write UNTIL instead of COUNT")]
    CountTooFar(u32),
    /// No date has all the parts, or none before UNTIL.
    #[error(
        "the rrule never comes: no date from {0} on has all that it asks for; correct its parts, UNTIL or DTSTART"
    )]
    NeverComes(DateTime),
}

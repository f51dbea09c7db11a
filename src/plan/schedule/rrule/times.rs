//! The times of day of a recurrence rule: hours, minutes and seconds as sets, never as a list.

use jiff::civil::Time;

use crate::plan::schedule::calendar::{highest_to, lowest_from};

/// Every combination of these hours, minutes and seconds, one bit each. None of the sets is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) hours: u64,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
}

impl Times {
    /// How many times a day has.
    pub(super) fn len(self) -> u32 {
        self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones()
    }

    /// The time at that place of the day's, counted from 0.
    pub(super) fn at(self, place: u32) -> Option<Time> {
        let (minutes, seconds) = (self.minutes.count_ones(), self.seconds.count_ones());
        let hour = nth_bit(self.hours, place.checked_div(seconds)?.checked_div(minutes)?)?;
        let minute = nth_bit(self.minutes, place.checked_div(seconds)?.checked_rem(minutes)?)?;
        time(hour, minute, nth_bit(self.seconds, place.checked_rem(seconds)?)?)
    }

    /// The first time of the day that is not before `from`.
    pub(super) fn first_from(self, from: Time) -> Option<Time> {
        let (hour, minute, second) = numbers(from);
        let has_hour = lowest_from(self.hours, hour) == Some(hour);
        let has_minute = has_hour && lowest_from(self.minutes, minute) == Some(minute);
        if has_minute && let Some(second) = lowest_from(self.seconds, second) {
            return time(hour, minute, second);
        }
        if has_hour && let Some(minute) = lowest_from(self.minutes, minute + 1) {
            return time(hour, minute, lowest_from(self.seconds, 0)?);
        }
        time(lowest_from(self.hours, hour + 1)?, lowest_from(self.minutes, 0)?, lowest_from(self.seconds, 0)?)
    }

    /// The last time of the day that is not after `until`.
    pub(super) fn last_until(self, until: Time) -> Option<Time> {
        let (hour, minute, second) = numbers(until);
        let has_hour = highest_to(self.hours, hour) == Some(hour);
        let has_minute = has_hour && highest_to(self.minutes, minute) == Some(minute);
        if has_minute && let Some(second) = highest_to(self.seconds, second) {
            return time(hour, minute, second);
        }
        if has_hour && let Some(minute) = minute.checked_sub(1).and_then(|to| highest_to(self.minutes, to)) {
            return time(hour, minute, highest_to(self.seconds, 59)?);
        }
        time(
            highest_to(self.hours, hour.checked_sub(1)?)?,
            highest_to(self.minutes, 59)?,
            highest_to(self.seconds, 59)?,
        )
    }
}

fn numbers(time: Time) -> (u32, u32, u32) {
    let number = |part: i8| u32::from(part.unsigned_abs());
    (number(time.hour()), number(time.minute()), number(time.second()))
}

fn time(hour: u32, minute: u32, second: u32) -> Option<Time> {
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, 0).ok()
}

/// The value of the set's bit at that place, counted from 0.
fn nth_bit(bits: u64, place: u32) -> Option<u32> {
    let rest = (0..place).fold(bits, |bits, _| bits & bits.wrapping_sub(1));
    (rest != 0).then(|| rest.trailing_zeros())
}

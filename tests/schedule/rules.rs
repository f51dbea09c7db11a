//! Why another program answers otherwise: each rule says what that program does, and checks that the case is
//! of its kind.
//!
//! There are two sorts. A *reading* is a text that means something else there: the text is rewritten to say
//! in our dialect what the other program takes it for, and must then have the other program's answer. The
//! others are about changes of the clocks: such a change must be there.

use std::fmt;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use daskflow::plan::schedule::CRON_LENGTH_MAX;

use super::{Answer, CronCase, Direction, ours};

const DAY: i64 = 24 * 3600;

/// The greatest change of the clocks that comes every year: two hours, at Troll.
const CHANGE: i64 = 2 * 3600;

/// A named difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Python takes the last hour of 28 October 2023 in Nuuk for summer time, which began there with the next
    /// year's.
    PythonAtNuuk,
    /// croniter takes a range of one value, `4-4` or `4-4/2`, for `*` or `*/2`. So it does with a step from
    /// the last value.
    CroniterRangeOfOne,
    /// croniter does not take `*/1` for a star beside another day field without one, and takes a list of all
    /// values for a star beside a field with one. To Kubernetes `*/1` is a star, and a list of all values is
    /// not.
    CroniterWholeDayField,
    /// croniter adds elapsed time across a change of the clocks, so that an answer beyond it is off by its
    /// length, or is a tick before or after, even one before the question. It runs a time in a gap after it,
    /// and passes over the second of two passes.
    CroniterAcrossChange,
    /// croniter gives up on `0 0 31 4 1`, because no April has a 31st, though a Monday suffices.
    CroniterNoSuchDay,
    /// croniter does not find a 29th of February backwards.
    CroniterLeapDay,
    /// croniter passes over the 1st of a month where the month before lacks a later day of the schedule, as
    /// in `0 0 1,31 * *`.
    CroniterShortMonth,
    /// cronsim takes `4-4/2` for `4/2`.
    CronsimRangeOfOne,
    /// cronsim counts `3/2` in the days of the week up to 7, which is Sunday. To Kubernetes the last day is
    /// 6.
    CronsimStepToSunday,
    /// cronsim, as Debian's cron, wants both day fields to hold where one begins with a star, stepped or not.
    /// To Kubernetes a stepped star restricts, and either field suffices.
    CronsimSteppedStar,
    /// cronsim takes a schedule for fixed times unless its minutes or hours begin with a star: `0/15 2 * * *`
    /// is fixed. Here a step anywhere in them makes it repeat.
    CronsimFixedUnlessStar,
    /// cronsim forgets on which pass of a repeated hour it was asked.
    CronsimForgetsPass,
    /// cronsim runs the times of a calendar day that the zone skipped when that day would have ended. Here
    /// they are lost.
    CronsimLostDay,
    /// cronsim steps in hours and from midnight: where a change is no whole hour, not on the hour, or at
    /// midnight, it lands beside the tick, or goes round for ever.
    CronsimSteps,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The rule by which croniter answers otherwise, if there is one.
pub fn of_croniter(case: &CronCase, direction: Direction, theirs: Answer) -> Option<Rule> {
    let fields = Fields::of(&case.text);
    let whole = fields.clone().whole_day_field(&fields);
    let one = fields.map(|field, last| range_of_one(field, last, true));
    let readings =
        [(Rule::CroniterWholeDayField, whole), (Rule::CroniterRangeOfOne, one.whole_day_field(&fields))];
    if let Some(rule) = by_reading(case, direction, theirs, &fields, &readings) {
        return Some(rule);
    }
    let (_, read) = readings.last()?;
    let expected = ours(&CronCase { text: read.text(), ..case.clone() }, direction);
    if theirs == Answer::None && fields.has_no_date(case) {
        return Some(Rule::CroniterNoSuchDay);
    }
    let (Answer::At(expected_at), Answer::At(at)) = (expected, theirs) else { return None };
    let date = case.zone().to_datetime(second(expected_at)).date();
    if direction == Direction::Previous && (date.month(), date.day()) == (2, 29) && at < expected_at {
        return Some(Rule::CroniterLeapDay);
    }
    let short = date.yesterday().is_ok_and(|last| last.day() < 31);
    if direction == Direction::Next && date.day() == 1 && short && read.0[2] != "*" && at > expected_at {
        return Some(Rule::CroniterShortMonth);
    }
    let changes = Changes::around(case, expected, theirs);
    let close = (expected_at - at).abs() <= DAY + CHANGE;
    let back = direction == Direction::Next && at <= case.at;
    let across = !changes.0.is_empty() && (close || back);
    if at_nuuk(case.zone, theirs) {
        return Some(Rule::PythonAtNuuk);
    }
    (across || changes.repeat(expected_at) || changes.skip_before(at)).then_some(Rule::CroniterAcrossChange)
}

/// The rule by which cronsim answers otherwise, if there is one.
pub fn of_cronsim(case: &CronCase, direction: Direction, theirs: Answer) -> Option<Rule> {
    let fields = Fields::of(&case.text);
    let one = fields.map(|field, _| range_of_one(field, u32::MAX, false));
    let sunday = one.step_to_sunday();
    // The list of all odd minutes may be longer than a schedule may be.
    let fixed = Some(sunday.listed()).filter(|fields| fields.text().len() <= CRON_LENGTH_MAX);
    let fixed = fixed.unwrap_or_else(|| sunday.clone());
    let readings = [
        (Rule::CronsimRangeOfOne, one),
        (Rule::CronsimStepToSunday, sunday),
        (Rule::CronsimFixedUnlessStar, fixed),
    ];
    if let Some(rule) = by_reading(case, direction, theirs, &fields, &readings) {
        return Some(rule);
    }
    let (_, read) = readings.last()?;
    let both_hold = |answer| matches!(answer, Answer::At(at) if read.ticks_in_both(case.zone, at));
    let expected = ours(&CronCase { text: read.text(), ..case.clone() }, direction);
    let neither = theirs == Answer::None && read.has_no_date(case);
    if read.has_stepped_star() && (neither || both_hold(theirs) && !both_hold(expected)) {
        return Some(Rule::CronsimSteppedStar);
    }
    let changes = Changes::around(case, expected, theirs);
    if read.fixed_and_whole() && (changes.end_at(theirs) || changes.repeat_answer(expected)) {
        return Some(Rule::CronsimFixedUnlessStar);
    }
    if changes.repeat(case.at) {
        return Some(Rule::CronsimForgetsPass);
    }
    if at_nuuk(case.zone, theirs) {
        return Some(Rule::PythonAtNuuk);
    }
    if changes.skip_a_day() {
        return Some(Rule::CronsimLostDay);
    }
    (!read.fixed() && changes.are_odd()).then_some(Rule::CronsimSteps)
}

/// The first of the readings, each built on the one before, whose text has their answer.
fn by_reading(
    case: &CronCase,
    direction: Direction,
    theirs: Answer,
    fields: &Fields,
    readings: &[(Rule, Fields)],
) -> Option<Rule> {
    let fits = |read: &Fields| {
        read != fields && ours(&CronCase { text: read.text(), ..case.clone() }, direction) == theirs
    };
    readings.iter().find(|(_, read)| fits(read)).map(|(rule, _)| *rule)
}

/// The five fields of a schedule.
#[derive(Clone, PartialEq, Eq)]
struct Fields([String; 5]);

/// The last value of each field.
const LAST: [u32; 5] = [59, 23, 31, 12, 6];

impl Fields {
    fn of(text: &str) -> Self {
        let fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Self(fields.try_into().unwrap())
    }

    fn text(&self) -> String {
        self.0.join(" ")
    }

    fn map(&self, rewrite: impl Fn(&str, u32) -> String) -> Self {
        Self(std::array::from_fn(|at| rewrite(&self.0[at], LAST[at])))
    }

    /// What croniter makes of a day field with all values, beside the other one as it was written.
    fn whole_day_field(mut self, written: &Self) -> Self {
        let whole = |field: &str, last: u32, first: u32| {
            let forms = [format!("{first}-{last}"), format!("{first}/1"), format!("{first}-{last}/1")];
            field == "*/1" || forms.iter().any(|form| form == field)
        };
        let day = whole(&self.0[2], 31, 1);
        let weekday =
            ["0-7", "1-7", "0-7/1", "1-7/1"].contains(&self.0[4].as_str()) || whole(&self.0[4], 6, 0);
        for (this, other, is_whole) in [(2, 4, day), (4, 2, weekday)] {
            if is_whole && written.0[other].contains('*') {
                "*".clone_into(&mut self.0[this]);
            } else if is_whole {
                // Either suffices, and this one always holds.
                (self.0[2], self.0[4]) = ("*".to_owned(), "*".to_owned());
            }
        }
        self
    }

    fn step_to_sunday(&self) -> Self {
        let mut fields = self.clone();
        if let Some((first, step)) = self.0[4].split_once('/')
            && first != "*"
            && !first.contains('-')
        {
            fields.0[4] = format!("{first}-7/{step}");
        }
        fields
    }

    /// Whether no date has the day of the month and the month.
    fn has_no_date(&self, case: &CronCase) -> bool {
        let text = self.0[..4].join(" ") + " *";
        ours(&CronCase { text, ..case.clone() }, Direction::Next) == Answer::None
    }

    /// Whether the fields that cronsim takes for fixed have all minutes or all hours in them, which is no
    /// list here.
    fn fixed_and_whole(&self) -> bool {
        self.fixed() && (self.0[0] == "0-59" || self.0[1] == "0-23")
    }

    fn has_stepped_star(&self) -> bool {
        let (day, weekday) = (&self.0[2], &self.0[4]);
        day != "*" && weekday != "*" && (day.starts_with('*') || weekday.starts_with('*'))
    }

    /// Whether the schedule ticks then by its day of the month alone, and by its day of the week alone.
    fn ticks_in_both(&self, zone: &'static str, at: i64) -> bool {
        let alone = |star: usize| {
            let mut fields = self.clone();
            "*".clone_into(&mut fields.0[star]);
            let case = CronCase { kind: "cron", text: fields.text(), zone, at: at + 1 };
            ours(&case, Direction::Previous) == Answer::At(at)
        };
        alone(2) && alone(4)
    }

    fn fixed(&self) -> bool {
        self.0[..2].iter().all(|field| !field.starts_with('*'))
    }

    /// Minutes and hours as lists, if neither begins with a star.
    fn listed(&self) -> Self {
        let mut fields = self.clone();
        if self.fixed() {
            for (field, last) in fields.0.iter_mut().zip(LAST).take(2) {
                *field = list(field, last);
            }
        }
        fields
    }
}

/// A range or a step as a list.
fn list(field: &str, last: u32) -> String {
    let Some((range, step)) = field.split_once('/') else { return field.to_owned() };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
        None => (range.parse().unwrap(), last),
    };
    if step == "1" {
        return format!("{first}-{last}");
    }
    let values = (first..=last).step_by(step.parse().unwrap());
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

/// `4-4/2` as `4/2`, or for croniter as `*/2`. To it `4-4` is `*/1`, and so is `7/1` on the days of the week.
fn range_of_one(field: &str, last: u32, croniter: bool) -> String {
    let (range, step) = field.split_once('/').map_or((field, None), |(range, step)| (range, Some(step)));
    let (first, one) = match range.split_once('-') {
        Some((first, end)) => (first, first == end),
        None => (range, step.is_some() && range.parse().is_ok_and(|first: u32| first >= last)),
    };
    match step {
        _ if !one => field.to_owned(),
        _ if croniter => format!("*/{}", step.unwrap_or("1")),
        Some(step) => format!("{first}/{step}"),
        None => field.to_owned(),
    }
}

/// Whether the answer is in the hour that Python takes for another.
pub fn at_nuuk(zone: &str, answer: Answer) -> bool {
    /// 2023-10-29T02:00:00Z, the end of the 28th there.
    const MIDNIGHT: i64 = 1_698_544_800;
    zone == "America/Nuuk"
        && matches!(answer, Answer::At(at) if (MIDNIGHT - 2 * 3600..MIDNIGHT).contains(&at))
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

/// The changes of the clocks between a question and its answers, and a day on either side: when, and by how
/// much.
struct Changes(Vec<(i64, i64, TimeZone)>);

impl Changes {
    fn around(case: &CronCase, ours: Answer, theirs: Answer) -> Self {
        let zone = case.zone();
        let instants = [Answer::At(case.at), ours, theirs].into_iter().filter_map(|answer| match answer {
            Answer::At(at) => Some(at),
            _ => None,
        });
        let instants: Vec<i64> = instants.collect();
        let (first, last) = (instants.iter().min().unwrap() - DAY, instants.iter().max().unwrap() + DAY);
        let offset = |at: i64| i64::from(zone.to_offset(second(at)).seconds());
        let changes = zone
            .following(second(first))
            .map(|change| change.timestamp().as_second())
            .take_while(|at| *at <= last)
            .map(|at| (at, offset(at) - offset(at - 1), zone.clone()))
            .filter(|(_, by, _)| *by != 0);
        Self(changes.collect())
    }

    /// Whether the clocks show for the second time what they show at `at`.
    fn repeat(&self, at: i64) -> bool {
        self.0.iter().any(|(change, by, _)| (*change..change - by).contains(&at))
    }

    fn repeat_answer(&self, answer: Answer) -> bool {
        matches!(answer, Answer::At(at) if self.repeat(at))
    }

    /// Whether the clocks have just skipped no less than what has passed since.
    fn skip_before(&self, at: i64) -> bool {
        self.0.iter().any(|(change, by, _)| (*change..=change + by).contains(&at))
    }

    /// Whether one is at that instant.
    fn end_at(&self, answer: Answer) -> bool {
        self.0.iter().any(|(change, ..)| Answer::At(*change) == answer)
    }

    fn skip_a_day(&self) -> bool {
        self.0.iter().any(|(_, by, _)| *by >= DAY)
    }

    /// Whether one is not a whole number of hours, is not on the hour, or meets midnight.
    fn are_odd(&self) -> bool {
        self.0.iter().any(|(change, by, zone)| {
            let after = zone.to_datetime(second(*change));
            let before = after - SignedDuration::from_secs(*by);
            let odd = |wall: DateTime| wall.minute() != 0 || wall.time() == Time::midnight();
            by % 3600 != 0 || odd(before) || odd(after) || before.date() != after.date()
        })
    }
}

//! The vectors of robfig/cron 3.0.1, the parser and clock of Kubernetes' CronJob: facts from its
//! `spec_test.go` and `parser_test.go`, with times rewritten as RFC 3339. "Local" of its tests is UTC here,
//! unless the row names a zone.

/// Zone, an instant, the schedule as robfig/cron reads it, and its next tick; no tick is an empty text.
///
/// These were written for a parser with a field of seconds in front, and some with a zone before that.
pub type Next = (&'static str, &'static str, &'static str, &'static str);

/// `TestNext`.
pub const NEXT: [Next; 58] = [
    ("UTC", "2012-07-09T14:45:00Z", "0 0/15 * * * *", "2012-07-09T15:00:00Z"),
    ("UTC", "2012-07-09T14:59:00Z", "0 0/15 * * * *", "2012-07-09T15:00:00Z"),
    ("UTC", "2012-07-09T14:59:59Z", "0 0/15 * * * *", "2012-07-09T15:00:00Z"),
    ("UTC", "2012-07-09T15:45:00Z", "0 20-35/15 * * * *", "2012-07-09T16:20:00Z"),
    ("UTC", "2012-07-09T23:46:00Z", "0 */15 * * * *", "2012-07-10T00:00:00Z"),
    ("UTC", "2012-07-09T23:45:00Z", "0 20-35/15 * * * *", "2012-07-10T00:20:00Z"),
    ("UTC", "2012-07-09T23:35:51Z", "15/35 20-35/15 * * * *", "2012-07-10T00:20:15Z"),
    ("UTC", "2012-07-09T23:35:51Z", "15/35 20-35/15 1/2 * * *", "2012-07-10T01:20:15Z"),
    ("UTC", "2012-07-09T23:35:51Z", "15/35 20-35/15 10-12 * * *", "2012-07-10T10:20:15Z"),
    ("UTC", "2012-07-09T23:35:51Z", "15/35 20-35/15 1/2 */2 * *", "2012-07-11T01:20:15Z"),
    ("UTC", "2012-07-09T23:35:51Z", "15/35 20-35/15 * 9-20 * *", "2012-07-10T00:20:15Z"),
    ("UTC", "2012-07-09T23:35:51Z", "15/35 20-35/15 * 9-20 Jul *", "2012-07-10T00:20:15Z"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 9 Apr-Oct ?", "2012-08-09T00:00:00Z"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 */5 Apr,Aug,Oct Mon", "2012-08-01T00:00:00Z"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 */5 Oct Mon", "2012-10-01T00:00:00Z"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 * Feb Mon", "2013-02-04T00:00:00Z"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 * Feb Mon/2", "2013-02-01T00:00:00Z"),
    ("UTC", "2012-12-31T23:59:45Z", "0 * * * * *", "2013-01-01T00:00:00Z"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 29 Feb ?", "2016-02-29T00:00:00Z"),
    ("UTC", "2012-03-11T00:00:00-05:00", "TZ=America/New_York 0 30 2 11 Mar ?", "2013-03-11T02:30:00-04:00"),
    ("UTC", "2012-03-11T00:00:00-05:00", "TZ=America/New_York 0 0 * * * ?", "2012-03-11T01:00:00-05:00"),
    ("UTC", "2012-03-11T01:00:00-05:00", "TZ=America/New_York 0 0 * * * ?", "2012-03-11T03:00:00-04:00"),
    ("UTC", "2012-03-11T03:00:00-04:00", "TZ=America/New_York 0 0 * * * ?", "2012-03-11T04:00:00-04:00"),
    ("UTC", "2012-03-11T04:00:00-04:00", "TZ=America/New_York 0 0 * * * ?", "2012-03-11T05:00:00-04:00"),
    ("UTC", "2012-03-11T00:00:00-05:00", "CRON_TZ=America/New_York 0 0 * * * ?", "2012-03-11T01:00:00-05:00"),
    ("UTC", "2012-03-11T01:00:00-05:00", "CRON_TZ=America/New_York 0 0 * * * ?", "2012-03-11T03:00:00-04:00"),
    ("UTC", "2012-03-11T03:00:00-04:00", "CRON_TZ=America/New_York 0 0 * * * ?", "2012-03-11T04:00:00-04:00"),
    ("UTC", "2012-03-11T04:00:00-04:00", "CRON_TZ=America/New_York 0 0 * * * ?", "2012-03-11T05:00:00-04:00"),
    ("UTC", "2012-03-11T00:00:00-05:00", "TZ=America/New_York 0 0 1 * * ?", "2012-03-11T01:00:00-05:00"),
    ("UTC", "2012-03-11T01:00:00-05:00", "TZ=America/New_York 0 0 1 * * ?", "2012-03-12T01:00:00-04:00"),
    ("UTC", "2012-03-11T00:00:00-05:00", "TZ=America/New_York 0 0 2 * * ?", "2012-03-12T02:00:00-04:00"),
    ("UTC", "2012-11-04T00:00:00-04:00", "TZ=America/New_York 0 30 2 04 Nov ?", "2012-11-04T02:30:00-05:00"),
    ("UTC", "2012-11-04T01:45:00-04:00", "TZ=America/New_York 0 30 1 04 Nov ?", "2012-11-04T01:30:00-05:00"),
    ("UTC", "2012-11-04T00:00:00-04:00", "TZ=America/New_York 0 0 * * * ?", "2012-11-04T01:00:00-04:00"),
    ("UTC", "2012-11-04T01:00:00-04:00", "TZ=America/New_York 0 0 * * * ?", "2012-11-04T01:00:00-05:00"),
    ("UTC", "2012-11-04T01:00:00-05:00", "TZ=America/New_York 0 0 * * * ?", "2012-11-04T02:00:00-05:00"),
    ("UTC", "2012-11-04T00:00:00-04:00", "TZ=America/New_York 0 0 1 * * ?", "2012-11-04T01:00:00-04:00"),
    ("UTC", "2012-11-04T01:00:00-04:00", "TZ=America/New_York 0 0 1 * * ?", "2012-11-04T01:00:00-05:00"),
    ("UTC", "2012-11-04T01:00:00-05:00", "TZ=America/New_York 0 0 1 * * ?", "2012-11-05T01:00:00-05:00"),
    ("UTC", "2012-11-04T00:00:00-04:00", "TZ=America/New_York 0 0 2 * * ?", "2012-11-04T02:00:00-05:00"),
    ("UTC", "2012-11-04T02:00:00-05:00", "TZ=America/New_York 0 0 2 * * ?", "2012-11-05T02:00:00-05:00"),
    ("UTC", "2012-11-04T00:00:00-04:00", "TZ=America/New_York 0 0 3 * * ?", "2012-11-04T03:00:00-05:00"),
    ("UTC", "2012-11-04T03:00:00-05:00", "TZ=America/New_York 0 0 3 * * ?", "2012-11-05T03:00:00-05:00"),
    ("America/New_York", "2012-11-04T00:00:00-04:00", "0 0 * * * ?", "2012-11-04T01:00:00-04:00"),
    ("America/New_York", "2012-11-04T01:00:00-04:00", "0 0 * * * ?", "2012-11-04T01:00:00-05:00"),
    ("America/New_York", "2012-11-04T01:00:00-05:00", "0 0 * * * ?", "2012-11-04T02:00:00-05:00"),
    ("America/New_York", "2012-11-04T00:00:00-04:00", "0 0 1 * * ?", "2012-11-04T01:00:00-04:00"),
    ("America/New_York", "2012-11-04T01:00:00-04:00", "0 0 1 * * ?", "2012-11-04T01:00:00-05:00"),
    ("America/New_York", "2012-11-04T01:00:00-05:00", "0 0 1 * * ?", "2012-11-05T01:00:00-05:00"),
    ("America/New_York", "2012-11-04T00:00:00-04:00", "0 0 2 * * ?", "2012-11-04T02:00:00-05:00"),
    ("America/New_York", "2012-11-04T02:00:00-05:00", "0 0 2 * * ?", "2012-11-05T02:00:00-05:00"),
    ("America/New_York", "2012-11-04T00:00:00-04:00", "0 0 3 * * ?", "2012-11-04T03:00:00-05:00"),
    ("America/New_York", "2012-11-04T03:00:00-05:00", "0 0 3 * * ?", "2012-11-05T03:00:00-05:00"),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 30 Feb ?", ""),
    ("UTC", "2012-07-09T23:35:00Z", "0 0 0 31 Apr ?", ""),
    ("America/New_York", "2012-11-04T00:00:00-04:00", "0 0 3 3 * ?", "2012-12-03T03:00:00-05:00"),
    ("UTC", "2018-10-17T05:00:00-04:00", "TZ=America/Sao_Paulo 0 0 9 10 * ?", "2018-11-10T06:00:00-05:00"),
    ("UTC", "2018-02-14T05:00:00-05:00", "TZ=America/Sao_Paulo 0 0 9 22 * ?", "2018-02-22T07:00:00-05:00"),
];

/// `TestNextWithTz`: an instant may be written with any offset.
pub const NEXT_WITH_OFFSET: [Next; 4] = [
    ("Asia/Kolkata", "2016-01-03T13:09:03+05:30", "14 14 * * *", "2016-01-03T14:14:00+05:30"),
    ("Asia/Kolkata", "2016-01-03T04:09:03+05:30", "14 14 * * ?", "2016-01-03T14:14:00+05:30"),
    ("Asia/Kolkata", "2016-01-03T14:09:03+05:30", "14 14 * * *", "2016-01-03T14:14:00+05:30"),
    ("Asia/Kolkata", "2016-01-03T14:00:00+05:30", "14 14 * * ?", "2016-01-03T14:14:00+05:30"),
];

/// `TestActivation`: whether the schedule ticks at that instant.
pub const ACTIVATION: [(&str, &str, bool); 29] = [
    ("2012-07-09T15:00:00Z", "0/15 * * * *", true),
    ("2012-07-09T15:45:00Z", "0/15 * * * *", true),
    ("2012-07-09T15:40:00Z", "0/15 * * * *", false),
    ("2012-07-09T15:05:00Z", "5/15 * * * *", true),
    ("2012-07-09T15:20:00Z", "5/15 * * * *", true),
    ("2012-07-09T15:50:00Z", "5/15 * * * *", true),
    ("2012-07-15T15:00:00Z", "0/15 * * Jul *", true),
    ("2012-07-15T15:00:00Z", "0/15 * * Jun *", false),
    ("2012-07-15T08:30:00Z", "30 08 ? Jul Sun", true),
    ("2012-07-15T08:30:00Z", "30 08 15 Jul ?", true),
    ("2012-07-16T08:30:00Z", "30 08 ? Jul Sun", false),
    ("2012-07-16T08:30:00Z", "30 08 15 Jul ?", false),
    ("2012-07-09T15:00:00Z", "@hourly", true),
    ("2012-07-09T15:04:00Z", "@hourly", false),
    ("2012-07-09T15:00:00Z", "@daily", false),
    ("2012-07-09T00:00:00Z", "@daily", true),
    ("2012-07-09T00:00:00Z", "@weekly", false),
    ("2012-07-08T00:00:00Z", "@weekly", true),
    ("2012-07-08T01:00:00Z", "@weekly", false),
    ("2012-07-08T00:00:00Z", "@monthly", false),
    ("2012-07-01T00:00:00Z", "@monthly", true),
    ("2012-07-15T00:00:00Z", "* * 1,15 * Sun", true),
    ("2012-06-15T00:00:00Z", "* * 1,15 * Sun", true),
    ("2012-08-01T00:00:00Z", "* * 1,15 * Sun", true),
    ("2012-07-15T00:00:00Z", "* * */10 * Sun", true),
    ("2012-07-15T00:00:00Z", "* * * * Mon", false),
    ("2012-07-09T00:00:00Z", "* * 1,15 * *", false),
    ("2012-07-15T00:00:00Z", "* * 1,15 * *", true),
    ("2012-07-15T00:00:00Z", "* * */2 * Sun", true),
];

/// What becomes of a text of `parser_test.go`, or of the short tests of `spec_test.go`.
pub enum Read {
    /// It ticks as this five-field schedule does.
    As(&'static str),
    /// It is refused here and there.
    Refused(&'static str),
    /// Only robfig/cron reads it. Here it is refused, and the message says what to write instead.
    RefusedHere(&'static str),
}

/// `TestParseSchedule`, `TestOptionalSecondSchedule`, `TestStandardSpecSchedule`, `TestParseScheduleErrors`,
/// `TestErrors`, `TestSlash0NoHang` and `TestNoDescriptorParser`: each text and what becomes of it. Where
/// robfig/cron was told to read seconds and the text has none to read, the row says what its standard parser
/// does.
///
/// Left out, because they test parts that only robfig/cron has: `TestAll`, `TestBits` and
/// `TestNormalizeFields`.
pub const TEXTS: &[(&str, Read)] = &[
    ("0 5 * * * *", Read::RefusedHere(SIX)),
    ("5 5 * * * *", Read::RefusedHere(SIX)),
    ("* 5 * * * *", Read::RefusedHere(SIX)),
    ("5 * * * *", Read::As("5 0-23 * * *")),
    ("CRON_TZ=UTC  0 5 * * * *", Read::RefusedHere(ZONE)),
    ("CRON_TZ=UTC  5 * * * *", Read::RefusedHere(ZONE)),
    ("CRON_TZ=Asia/Tokyo 0 5 * * * *", Read::RefusedHere(ZONE)),
    ("TZ=UTC  @midnight", Read::RefusedHere(ZONE)),
    ("TZ=Asia/Tokyo @midnight", Read::RefusedHere(ZONE)),
    ("@every 5m", Read::RefusedHere("`@every` is not supported; write `interval: 1h30m` instead of cron")),
    ("@midnight", Read::As("0 0 * * *")),
    ("@yearly", Read::As("0 0 1 1 *")),
    ("@annually", Read::As("0 0 1 1 *")),
    ("* 5 j * * *", Read::Refused(SIX)),
    ("5 j * * *", Read::Refused("hour `j` is not understood; write 0 to 23")),
    ("@every Xm", Read::Refused("`@every` is not supported")),
    ("@every 1m", Read::RefusedHere("`@every` is not supported")),
    ("@unrecognized", Read::Refused("`@unrecognized` is not known; write @hourly")),
    ("* * * *", Read::Refused("the cron schedule has 4 fields and needs five")),
    ("", Read::Refused("the cron schedule is empty; write five fields")),
    ("xyz", Read::Refused("the cron schedule has 1 fields and needs five")),
    ("60 0 * * *", Read::Refused("minute `60` is out of range; write 0 to 59")),
    ("0 60 * * *", Read::Refused("hour `60` is out of range; write 0 to 23")),
    ("0 0 * * XYZ", Read::Refused("day of week `XYZ` is not understood; write 0 to 7")),
    ("TZ=America/New_York 15/0 * * * *", Read::Refused(ZONE)),
    ("15/0 * * * *", Read::Refused("minute `15/0` has no usable step; write a number from 1")),
];

/// Six fields.
pub const SIX: &str = "the cron schedule has 6 fields and needs five: minute, hour, day of month, month, day of week \
     (seconds and years are not supported)";

/// A zone in front.
pub const ZONE: &str = "a zone inside the schedule is not supported; write it into timeZone";

/// `TestRange` and `TestField`: a field of the days of the week, whose values there are 0 to 7 too, and its
/// days, Sunday being 0; or why it is refused. Rows for a field of 1 to 3, 1 to 5, 1 to 7 or 3 to 5, which no
/// schedule has, are carried over to the field that the message speaks of.
pub const FIELDS: &[(&str, Result<&[i8], &str>)] = &[
    ("5", Ok(&[5])),
    ("0", Ok(&[0])),
    ("7", Ok(&[0])),
    ("5-5", Ok(&[5])),
    ("5-6", Ok(&[5, 6])),
    ("5-7", Ok(&[0, 5, 6])),
    ("5-6/2", Ok(&[5])),
    ("5-7/2", Ok(&[0, 5])),
    ("5-7/1", Ok(&[0, 5, 6])),
    ("*", Ok(&[0, 1, 2, 3, 4, 5, 6])),
    ("*/2", Ok(&[0, 2, 4, 6])),
    ("5,6", Ok(&[5, 6])),
    ("5,6,7", Ok(&[0, 5, 6])),
    ("1,5-7/2,3", Ok(&[0, 1, 3, 5])),
    ("5--5", Err("day of week `5--5` is not understood")),
    ("jan-x", Err("day of week `jan-x` is not understood")),
    ("2-x", Err("day of week `2-x` is not understood")),
    ("*/-12", Err("day of week `*/-12` has no usable step")),
    ("*//2", Err("day of week `*//2` has no usable step")),
    ("8", Err("day of week `8` is out of range; write 0 to 7")),
    ("5-3", Err("day of week `5-3` runs backwards; write it as two ranges, such as 5-6,0-3")),
    ("*/0", Err("day of week `*/0` has no usable step")),
];

"""Writes rrule_dateutil.txt: what dateutil finds for many recurrence rules. Run by hand, with python-dateutil 2.9.0.

Each line: DTSTART | rule | a time | up to five occurrences later than it | the last one that is not later than it.
Rules are put together at random from a fixed seed; those of RFC 5545's own examples come first. Left out are rules for
which the schedule engine says something else on purpose: see src/plan/schedule/rrule/mod.rs.
"""
import itertools
import random
import signal
from datetime import datetime, timedelta

from dateutil.rrule import rrulestr

EXAMPLES = """
FREQ=DAILY;COUNT=10
FREQ=DAILY;UNTIL=19971224T000000
FREQ=DAILY;INTERVAL=2
FREQ=DAILY;INTERVAL=10;COUNT=5
FREQ=YEARLY;UNTIL=20000131T140000;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA
FREQ=DAILY;UNTIL=20000131T140000;BYMONTH=1
FREQ=WEEKLY;COUNT=10
FREQ=WEEKLY;INTERVAL=2;WKST=SU
FREQ=WEEKLY;UNTIL=19971007T000000;WKST=SU;BYDAY=TU,TH
FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000;WKST=SU;BYDAY=MO,WE,FR
FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH
FREQ=MONTHLY;COUNT=10;BYDAY=1FR
FREQ=MONTHLY;UNTIL=19971224T000000;BYDAY=1FR
FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU
FREQ=MONTHLY;COUNT=6;BYDAY=-2MO
FREQ=MONTHLY;BYMONTHDAY=-3
FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15
FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1
FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15
FREQ=MONTHLY;INTERVAL=2;BYDAY=TU
FREQ=YEARLY;COUNT=10;BYMONTH=6,7
FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3
FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200
FREQ=YEARLY;BYDAY=20MO
FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO
FREQ=YEARLY;BYMONTH=3;BYDAY=TH
FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8
FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13
FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13
FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8
FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3
FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2
FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000
FREQ=MINUTELY;INTERVAL=15;COUNT=6
FREQ=MINUTELY;INTERVAL=90;COUNT=4
FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40
FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16
FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO
FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU
FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5
""".split()

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


class TooSlow(Exception):
    pass


def too_slow(*_):
    raise TooSlow


def numbers(pick, low, high, most=4, negative=False):
    count = pick.randint(1, most)
    values = {pick.randint(low, high) * (-1 if negative and pick.random() < 0.4 else 1) for _ in range(count)}
    return ",".join(map(str, sorted(values)))


def rule(pick):
    freq = pick.choice(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"])
    parts = [f"FREQ={freq}"]
    if pick.random() < 0.6:
        parts.append(f"INTERVAL={pick.choice([1, 2, 3, 5, 7, 13, 90])}")
    if pick.random() < 0.3:
        parts.append(f"WKST={pick.choice(DAYS)}")
    if pick.random() < 0.3:
        parts.append("BYMONTH=" + numbers(pick, 1, 12))
    if pick.random() < 0.25:
        parts.append("BYMONTHDAY=" + numbers(pick, 1, 31, negative=True))
    if pick.random() < 0.12:
        parts.append("BYYEARDAY=" + numbers(pick, 1, 366, 6, negative=True))
    if freq == "YEARLY" and pick.random() < 0.25:
        # Counted from the end, dateutil misses the last days of a year that are in the next one's first week.
        parts.append("BYWEEKNO=" + numbers(pick, 1, 53))
    if pick.random() < 0.4:
        days = pick.sample(DAYS, pick.randint(1, 3))
        if freq in ("YEARLY", "MONTHLY") and pick.random() < 0.5:
            most = 5 if freq == "MONTHLY" else 20
            days = [str(pick.choice([1, -1]) * pick.randint(1, most)) + day for day in days]
        parts.append("BYDAY=" + ",".join(days))
    if pick.random() < 0.4:
        parts.append("BYHOUR=" + numbers(pick, 0, 23))
    if pick.random() < 0.4:
        parts.append("BYMINUTE=" + numbers(pick, 0, 59))
    if pick.random() < 0.2:
        parts.append("BYSECOND=" + numbers(pick, 0, 59))
    if len(parts) > 2 and pick.random() < 0.25:
        parts.append("BYSETPOS=" + numbers(pick, 1, 5, negative=True))
    if pick.random() < 0.15:
        parts.append(f"COUNT={pick.randint(1, 40)}")
    return ";".join(parts)


def line(start, text, at):
    rules = rrulestr(text, dtstart=start, cache=False)
    stamp = lambda time: time.strftime("%Y%m%dT%H%M%S")
    horizon = at + timedelta(days=366 * 12)
    after = list(itertools.islice((t for t in itertools.takewhile(lambda t: t < horizon, rules) if t > at), 5))
    before = None
    for time in rules:
        if time > at:
            break
        before = time
    if not after and before is None:
        return None
    return " | ".join([stamp(start), text, stamp(at), " ".join(map(stamp, after)) or "-", stamp(before) if before else "-"])


def main():
    pick = random.Random(5545)
    signal.signal(signal.SIGALRM, too_slow)
    lines = []
    first = datetime(1997, 9, 2, 9)
    cases = [(first, text, first + timedelta(days=days)) for text in EXAMPLES for days in (-1, 45, 900)]
    for _ in range(700):
        start = datetime(2019, 1, 1) + timedelta(seconds=pick.randint(0, 4 * 365 * 86400))
        cases.append((start, rule(pick), start + timedelta(seconds=pick.randint(-86400, 500 * 86400))))
    for start, text, at in cases:
        signal.alarm(2)
        try:
            found = line(start, text, at)
        except (TooSlow, ValueError):
            found = None
        finally:
            signal.alarm(0)
        if found:
            lines.append(found)
    with open("rrule_dateutil.txt", "w") as out:
        out.write("# Written by rrule_dateutil.py; do not edit.\n" + "\n".join(lines) + "\n")


main()

"""Answers questions about schedules with other people's programs: croniter and cronsim for cron, dateutil for recurrence
rules and steps of the calendar, and arithmetic for elapsed intervals.

Reads one JSON object per line and writes one per line, in the same order. Instants are whole seconds since 1970. Every
question has a "kind", a "zone" and an instant "at". An answer has the first tick later than "at" ("next") and the last one
before it ("previous"), for cron from each program; null where there is none, and "endless" where the program does not come
back. The zone's offset at "at" is told too, so that both sides can be seen to know the same zones.

dateutil knows only times on the wall. `instant` maps them by the rule that the engine documents, with zoneinfo alone.
"""

import json
import re
import signal
import sys
import zoneinfo
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dateutil.rrule
from croniter import croniter
from croniter.croniter import CroniterBadDateError
from cronsim import CronSim, CronSimError
from dateutil.relativedelta import relativedelta

# What takes a program longer than this, in seconds of its own work, is taken for a loop without an end. A usual answer
# takes less than a hundredth of it.
PATIENCE = 2.0

DAY = 86400

# How far dateutil looks for a tick, in seconds, by how often a rule repeats.
HORIZON = {
    "YEARLY": 60 * 366 * DAY,
    "MONTHLY": 20 * 366 * DAY,
    "WEEKLY": 8 * 366 * DAY,
    "DAILY": 4 * 366 * DAY,
    "HOURLY": 60 * DAY,
    "MINUTELY": 3 * DAY,
}


class Endless(Exception):
    pass


class BeyondHorizon(Exception):
    pass


def give_up(_signal, _frame):
    raise Endless


def ask(search):
    """The instant that `search` finds."""
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        return int(search().timestamp())
    except Endless:
        return "endless"
    except (CroniterBadDateError, CronSimError, StopIteration):
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def cron(question, zone):
    text, start = question["text"], datetime.fromtimestamp(question["at"], zone)
    return {
        "croniter": {
            "next": ask(lambda: croniter(text, start).get_next(datetime)),
            "previous": ask(lambda: croniter(text, start).get_prev(datetime)),
        },
        "cronsim": {
            "next": ask(lambda: next(CronSim(text, start))),
            "previous": ask(lambda: next(CronSim(text, start, reverse=True))),
        },
    }


def wall_at(zone, at):
    """What the clock on the wall shows."""
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)


def instant(zone, wall):
    """The instant of a time on the wall: the first pass of two, and in a gap the first instant after it. With it, whether
    the zone has such a day at all."""
    first, second = (int(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if wall_at(zone, first) == wall:
        return first, True
    # In a gap: fold 0 is read with the offset before it and so is later than the change, fold 1 is earlier.
    before, after = second, first
    while after - before > 1:
        middle = (before + after) // 2
        if wall_at(zone, middle) > wall:
            after = middle
        else:
            before = middle
    midnight = wall.replace(hour=0, minute=0, second=0)
    last = wall_at(zone, before) + timedelta(seconds=1)
    lost = last <= midnight and wall_at(zone, after) >= midnight + timedelta(days=1)
    return after, not lost


def bounds(question):
    """The first and the last instant that may be the next tick, and that may be the previous one."""
    at, start, end = (question[name] for name in ("at", "start", "end"))
    first = at + 1 if start is None else max(at + 1, start)
    last = at - 1 if end is None else min(at - 1, end)
    return (first, float("inf") if end is None else end), (float("-inf") if start is None else start, last)


def ends(question):
    """The instants around which the two answers are."""
    (first, _), (_, last) = bounds(question)
    return first, last


def among(ticks, question):
    """The two answers, from ticks in order that surround the question."""
    (first, end), (start, last) = bounds(question)
    return {
        "next": next((tick for tick in ticks if first <= tick <= end), None),
        "previous": next((tick for tick in reversed(ticks) if start <= tick <= last), None),
    }


def listed(question, name):
    """The times of a line of the rule."""
    lines = re.findall(f"^{name}:(.*)$", question["text"], re.MULTILINE)
    return {datetime.strptime(time, "%Y%m%dT%H%M%S") for line in lines for time in line.split(",")}


def occurrences(question, zone, until):
    """The times on the wall that a rule names, up to `until` and a little further. It is walked from its start."""
    rebuild = dateutil.rrule._iterinfo.rebuild

    def rebuild_until(info, year, month):
        # A rule that names no time any more is walked to the end of time otherwise. In a yearly one the month is that of
        # its start, and says nothing.
        if year > until.year or year == until.year and month > until.month and info.rrule._freq > dateutil.rrule.YEARLY:
            raise BeyondHorizon
        rebuild(info, year, month)

    start = wall_at(zone, question["start"]) if question["start"] is not None else datetime(1970, 1, 1)
    soon = wall_at(zone, max(question["at"], question["start"] or question["at"])) + timedelta(days=2)
    text = "\n".join(line for line in question["text"].splitlines() if not line.startswith("RDATE"))
    walls, beyond = [], 0
    dateutil.rrule._iterinfo.rebuild = rebuild_until
    try:
        for wall in dateutil.rrule.rrulestr(text, dtstart=start):
            if wall > until:
                break
            walls.append(wall)
            beyond += wall > soon
            # With a COUNT all are wanted, to know whether it is reached.
            if beyond > 4 and "COUNT=" not in text:
                break
    except BeyondHorizon:
        pass
    except ValueError as error:
        # What dateutil says of a rule that can name no time.
        if "empty" not in str(error):
            raise
    finally:
        dateutil.rrule._iterinfo.rebuild = rebuild
    return sorted({*walls, *(listed(question, "RDATE") - listed(question, "EXDATE"))})


def rrule(question, zone):
    horizon = HORIZON[re.search("FREQ=([A-Z]+)", question["text"])[1]]
    until = max(question["at"], question["start"] or question["at"]) + horizon
    walls = occurrences(question, zone, wall_at(zone, until) + timedelta(days=2))
    (first, end), (start, last) = bounds(question)

    def index(at):
        """Of the first time that is later than an instant. The map to instants never runs backwards."""
        low, high = 0, len(walls)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if instant(zone, walls[middle])[0] > at else (middle + 1, high)
        return low

    def exists(walls):
        return next((tick for tick, exists in (instant(zone, wall) for wall in walls) if exists), None)

    following, preceding = exists(walls[index(first - 1):]), exists(reversed(walls[:index(last)]))
    return {
        "next": following if following is not None and following <= end else None,
        "previous": preceding if preceding is not None and preceding >= start else None,
        "until": until,
        "occurrences": len(walls),
    }


def calendar(question, zone):
    count, unit = re.fullmatch(r"(\d+)(d|w|mo|y)", question["text"]).groups()
    name, days = {"d": ("days", 1), "w": ("weeks", 7), "mo": ("months", 30.436875), "y": ("years", 365.2425)}[unit]
    anchor = wall_at(zone, question["start"]) if question["start"] is not None else datetime(1970, 1, 1)
    ticks = []
    for around in ends(question):
        elapsed = (wall_at(zone, around) - anchor).total_seconds() / DAY
        steps = int(elapsed / (days * int(count)))
        for n in range(steps - 5, steps + 6):
            if n == 0 and question["start"] is not None:
                ticks.append(question["start"])
                continue
            tick, exists = instant(zone, anchor + relativedelta(**{name: n * int(count)}))
            if exists:
                ticks.append(tick)
    return among(sorted(ticks), question)


def elapsed(question, _zone):
    seconds = {"h": 3600, "m": 60, "s": 1}
    step = sum(int(number) * seconds[unit] for number, unit in re.findall(r"(\d+)([hms])", question["text"]))
    anchor = question["start"] or 0
    near = [anchor + (end - anchor) // step * step for end in ends(question)]
    return among(sorted({tick + n * step for tick in near for n in range(-2, 3)}), question)


KINDS = {"cron": cron, "rrule": rrule, "calendar": calendar, "elapsed": elapsed}


def main():
    signal.signal(signal.SIGVTALRM, give_up)
    # The zones of the pinned package, not those of the machine.
    zoneinfo.reset_tzpath(to=())
    for line in sys.stdin:
        question = json.loads(line)
        zone = ZoneInfo(question["zone"])
        answer = KINDS[question["kind"]](question, zone)
        answer["offset"] = int(datetime.fromtimestamp(question["at"], zone).utcoffset().total_seconds())
        print(json.dumps(answer))


main()

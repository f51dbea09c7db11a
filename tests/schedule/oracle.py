"""Answers questions about schedules with other people's programs: croniter and cronsim.

Reads one JSON object per line and writes one per line, in the same order. Instants are whole seconds since 1970. Every
question has a "kind", a "zone" and an instant "at". An answer has for each program the first tick later than "at" ("next")
and the last one before it ("previous"); null where there is none, and "endless" where the program does not come back.
"""

import json
import signal
import sys
import zoneinfo
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError
from cronsim import CronSim, CronSimError

# What takes a program longer than this, in seconds of its own work, is taken for a loop without an end. A usual answer
# takes less than a thousandth of it.
PATIENCE = 2.0


class Endless(Exception):
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


def cron(question, start):
    text = question["text"]
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


KINDS = {"cron": cron}


def main():
    signal.signal(signal.SIGVTALRM, give_up)
    # The zones of the pinned package, not those of the machine.
    zoneinfo.reset_tzpath(to=())
    for line in sys.stdin:
        question = json.loads(line)
        start = datetime.fromtimestamp(question["at"], ZoneInfo(question["zone"]))
        answer = KINDS[question["kind"]](question, start)
        answer["offset"] = int(start.utcoffset().total_seconds())
        print(json.dumps(answer))


main()

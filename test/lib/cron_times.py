"""When a cron schedule starts, without any code of ours.

Which local times a schedule names croniter says, for a clock that never
changes; which moments show a local time, Python's zoneinfo says. What is to
become of times that are left out or shown twice stands here as doc/reference.md
has it (croniter's own rules for them differ).

Reads lines of JSON {"cron", "zone", "from", "until"} (seconds since 1970) and
answers each with a JSON array: the starts from the one to before the other.
"""
import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter


def goes_by_the_clock(cron):
    fields = cron.split()[:2]
    return any("*" in field or "/" in field or field in ("0-59", "0-23") for field in fields)


def moments(local, zone):
    """The moments at which the zone's clocks show a local time, first to last."""
    found = []
    for fold in (0, 1):
        moment = local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
        if moment.astimezone(zone).replace(tzinfo=None) == local and moment not in found:
            found.append(moment)
    return sorted(found)


def after_the_gap(local, zone):
    """The first moment whose local time is later than one that is left out."""
    while not moments(local, zone):
        local += timedelta(minutes=1)
    return moments(local, zone)[0]


def starts(cron, zone, begin, end):
    margin = timedelta(days=2)
    local = croniter(cron, datetime.fromtimestamp(begin, timezone.utc).replace(tzinfo=None) - margin)
    last = datetime.fromtimestamp(end, timezone.utc).replace(tzinfo=None) + margin
    found = set()
    while True:
        time = local.get_next(datetime)
        if time > last:
            break
        shown = moments(time, zone)
        if goes_by_the_clock(cron):
            found.update(shown)
        else:
            found.add(shown[0] if shown else after_the_gap(time, zone))
    return sorted(second for second in (int(moment.timestamp()) for moment in found) if begin <= second < end)


for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps(starts(question["cron"], ZoneInfo(question["zone"]), question["from"], question["until"])),
          flush=True)

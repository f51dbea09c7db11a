"""Libraries that wait for a schedule of their own: ended at once, with the cure. The libraries are stood in for by
modules of their names and methods; what is tested is that the loop ends, whatever it catches."""

import pytest

LIBRARIES = {
    "apscheduler": (
        {"apscheduler/__init__.py": "", "apscheduler/schedulers/__init__.py": "",
         "apscheduler/schedulers/blocking.py": "class BlockingScheduler:\n    def start(self):\n        print('waits')\n"},
        "from apscheduler.schedulers.blocking import BlockingScheduler\nBlockingScheduler().start()\n",
    ),
    "schedule": (
        {"schedule.py": "class Scheduler:\n    def run_pending(self):\n        print('waits')\n"
                        "default = Scheduler()\ndef run_pending():\n    default.run_pending()\n"},
        "import schedule, time\nwhile True:\n    try:\n        schedule.run_pending()\n    except Exception:\n        pass\n"
        "    time.sleep(0.1)\n",
    ),
}


@pytest.mark.parametrize("kind", ["Auto", "Dask"])
@pytest.mark.parametrize("case", LIBRARIES.values(), ids=LIBRARIES)
def test_waiting_for_a_schedule_is_ended_with_the_cure(bare, tmp_path, case, kind):
    files, source = case
    for name, text in files.items():
        (tmp_path / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib" / name).write_text(text)
    done = bare.run(source, PYTHONPATH=tmp_path / "lib", DASKFLOW_ENGINE=kind)
    assert (done.code, done.reason) == (4, "NoFlowRan"), done
    assert "leave the schedule to the manifest" in done.message and "waits" not in done.out

#!/usr/bin/env bash
# The Python with the programs that schedules are held against (tests/venv.sh says where and how):
#
#   DASKFLOW_ORACLES_PYTHON=$(tests/schedule/venv.sh) cargo test --test schedule oracles
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# zoneinfo came with Python 3.9.
exec "$here/../venv.sh" oracles 3.9 "$here/requirements.txt" croniter cronsim dateutil tzdata

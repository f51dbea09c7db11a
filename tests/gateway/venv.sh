#!/usr/bin/env bash
# The Python with Dask Gateway's server and proxy (tests/venv.sh says where and how):
#
#   DASKFLOW_GATEWAY_PYTHON=$(tests/gateway/venv.sh) cargo test --test files gateway
#
# The proxy is in the wheels for Linux and for macOS on Arm, and not elsewhere.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../venv.sh" gateway 3.10 "$here/requirements.txt" dask_gateway dask_gateway_server distributed

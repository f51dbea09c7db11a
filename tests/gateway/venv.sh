#!/usr/bin/env bash
# The Python with Dask Gateway's server and proxy (tests/venv.sh says where and how), and with a JupyterHub:
#
#   DASKFLOW_GATEWAY_PYTHON=$(tests/gateway/venv.sh) cargo test --test files gateway
#
# tests/gateway/venv.sh 2023.1.1 makes that of an older release, for DASKFLOW_GATEWAY_OLDER_PYTHON.
#
# The proxy is in the wheels for Linux and for macOS on Arm, and not elsewhere.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1:+-$1}
exec "$here/../venv.sh" "gateway$name" 3.10 "$here/requirements$name.txt" dask_gateway dask_gateway_server distributed

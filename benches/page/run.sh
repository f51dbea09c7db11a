#!/bin/bash
# What `daskflow ui` costs on this machine: the first byte of each page with 10,000 runs, and its memory with 50 tabs, open for
# MINUTES. Program and sizes: benches/program.sh.
. "$(dirname "$0")/../../tests/lib.sh"
. "$root/benches/program.sh"

figures page python3

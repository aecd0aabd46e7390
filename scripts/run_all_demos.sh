#!/usr/bin/env bash
# The demonstrations, one after the other. With --no-teardown what the last one started keeps running.
#   scripts/run_all_demos.sh [--no-teardown]
set -euo pipefail

cd "$(dirname "$0")/.."
exec npm run -s demos -- "$@"

#!/usr/bin/env bash
# swift_functional.sh SOURCE WORK PYTHON [pytest arguments]
# Run Swift's own functional tests (test/functional below SOURCE, a checkout of openstack/swift) against control and
# object store on loopback. PYTHON has Bivouac. What the suite imports is installed into WORK/venv.
set -euo pipefail
source=$(realpath "$1") work=$(realpath "$2") python=$3
shift 3
here=$(realpath "$(dirname "$0")")
if [ ! -x "$work/venv/bin/pytest" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -qq -r "$source/requirements.txt" python-swiftclient python-keystoneclient \
    keystonemiddleware pytest pytest-timeout boto3 requests-mock mock setuptools
fi
state=$work/state
processes=()
stop() { kill "${processes[@]}" 2>/dev/null || true; wait; rm -rf "$state"; }
trap stop EXIT
rm -rf "$state"
export BIVOUAC_DRIVERS=sim BIVOUAC_LOG_LEVEL=warning BIVOUAC_HTTP_PORT=${BIVOUAC_HTTP_PORT:-5977} \
  BIVOUAC_OBJECT_STORE_SWIFT_PORT=${BIVOUAC_OBJECT_STORE_SWIFT_PORT:-8977} \
  BIVOUAC_OBJECT_STORE_S3_PORT=${BIVOUAC_OBJECT_STORE_S3_PORT:-9977}
for module in bivouac.app bivouac.app.objects; do
  "$python" -m $module --state "$state" 2> "$work/$module.log" &
  processes+=($!)
  case $module in
    bivouac.app) url=http://127.0.0.1:$BIVOUAC_HTTP_PORT/healthz ;;
    *) url=http://127.0.0.1:$BIVOUAC_OBJECT_STORE_SWIFT_PORT/healthcheck ;;
  esac
  for _ in $(seq 100); do
    curl -sf -o /dev/null "$url" && break
    kill -0 "${processes[-1]}" || { cat "$work/$module.log" >&2; exit 1; }
    sleep 0.2
  done
done
identity=http://127.0.0.1:$BIVOUAC_HTTP_PORT/identity/v3
"$python" "$here/swift_accounts.py" "$identity" "$(cat "$state/control/admin-password")" > "$work/test.conf"
cd "$source"
# The checkout has no package metadata; PBR_VERSION stands in for it.
SWIFT_TEST_CONFIG_FILE=$work/test.conf PBR_VERSION=2.38.0 "$work/venv/bin/python" -m pytest test/functional -q \
  -p no:cacheprovider --timeout 120 -rfEs --tb=short -W ignore "$@" > "$work/swift-functional.txt" 2>&1 || true
tail -1 "$work/swift-functional.txt"

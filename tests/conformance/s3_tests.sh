#!/usr/bin/env bash
# s3_tests.sh SOURCE WORK PYTHON [pytest arguments]
# Run ceph/s3-tests' test_s3.py and test_headers.py (SOURCE is a checkout) against the S3 door on loopback. PYTHON has
# Bivouac. What the suite imports is installed into WORK/s3-venv. Environment: S3_JOBS (2), S3_PORT (19077).
set -euo pipefail
source=$(realpath "$1") work=$(realpath "$2") python=$3
shift 3
here=$(realpath "$(dirname "$0")")
port=${S3_PORT:-19077}
if [ ! -x "$work/s3-venv/bin/pytest" ]; then
  python3 -m venv "$work/s3-venv"
  "$work/s3-venv/bin/pip" install -qq -r "$source/requirements.txt" pytest-timeout pytest-xdist
fi
state=$(mktemp -d "$work/s3-state.XXXXXX")
server=
stop() { kill "$server" 2>/dev/null || true; wait; rm -rf "$state"; }
trap stop EXIT
"$python" "$here/s3_server.py" "$port" "$state" > "$state/out" 2> "$work/s3-server.log" &
server=$!
until grep -q ready "$state/out"; do
  kill -0 "$server" || { cat "$work/s3-server.log" >&2; exit 1; }
  sleep 0.2
done
user() { # SECTION NAME: a user of one of the server's projects
  printf '[%s]\ndisplay_name = %s-id\nuser_id = %s-id\nemail = %s@example.com\naccess_key = %s-key\nsecret_key = %s-secret\n' \
    "$1" "$2" "$2" "$2" "$2" "$2"
}
{
  printf '[DEFAULT]\nhost = 127.0.0.1\nport = %s\nis_secure = False\nssl_verify = False\n' "$port"
  printf '[fixtures]\nbucket prefix = s3-tests-{random}-\niam name prefix = s3-tests-\niam path prefix = /s3-tests/\n'
  user 's3 main' main
  printf 'api_name = default\nlc_debug_interval = 10\n'
  user 's3 alt' alt
  user 's3 tenant' tenant
  printf 'tenant = testx\n'
  for section in iam 'iam root' 'iam alt root'; do user "$section" iam; done
  printf '[webidentity]\ntoken = x\naud = x\nsub = x\nazp = x\nuser_token = x\nthumbprint = x\nKC_REALM = x\n'
} > "$work/s3-tests.conf"
cd "$source"
AWS_MAX_ATTEMPTS=2 S3TEST_CONF=$work/s3-tests.conf "$work/s3-venv/bin/python" -m pytest s3tests/functional/test_s3.py \
  s3tests/functional/test_headers.py -q -p no:cacheprovider --timeout 120 -n "${S3_JOBS:-2}" --dist load -rfEs --tb=short \
  -W ignore "$@" > "$work/s3-tests.txt" 2>&1 || true
tail -1 "$work/s3-tests.txt"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The bench measures, says so, and leaves nothing behind, also when it is ended early. Its figures are of no interest here.
. "$(dirname "$0")/lib.sh"
need fio

bench=$HERE/../bench/bench.py
build=$W/build
mkdir -p "$build/src" "$build/tests"
ln -s "$(dirname "$RAWVIEW")/rawviewd" "$build/src/rawviewd"
ln -s "$BENCH_PROGRAMS" "$build/tests/bench"
small=(--runs 1 --seconds 0.1 --size 4 --views 3)
# Our own targets: others take their time to start.
ours=(--targets 'host,null,rawview')

step "jobs of every kind, our targets"
# A read, a write, a disk of each kind, and everything that is not measured with fio; two of them take turns.
jobs=(read reread randwrite-32 alloc zstd-random chain-1 chain-4 walk start ready pss-busy views views-pss)
"$PYTHON" "$bench" "$build" "${small[@]}" "${ours[@]}" "${jobs[@]}" >"$W/out" || fail "the bench failed: $(cat "$W/out")"
json=$build/bench/bench.json
equal "failures" "$(jq '.failures | length' "$json")" 0
equal "jobs" "$(jq '.figures | length' "$json")" "${#jobs[@]}"
# read, reread, randwrite-32 and alloc of three targets, walk of two, the rest of one.
equal "figures over 0" "$(jq '[.figures[][] | select(.median > 0)] | length' "$json")" 22
equal "goals that say whether they hold" \
    "$(jq '[.goals[] | select(.job == "reread" and .reached > 0 and (.holds | type) == "boolean")] | length' "$json")" 1
grep -q '^zstd-random  *IOPS ' "$W/out" || fail "no line of the table: $(cat "$W/out")"
! grep '.\{121\}' "$W/out" || fail "more than 120 columns"
grep -q '^reread  *rawview: at least 0.6 x host  *.* (.*)$' "$W/out" || fail "no word about a goal: $(cat "$W/out")"
grep -q '^views-pss  *rawview: at most 400 MiB  *holds (.*)$' "$W/out" || fail "no word about a limit: $(cat "$W/out")"
"$PYTHON" -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$build/bench/bench.svg" ||
    fail "the plot is not XML"

step "less is better where it is"
"$PYTHON" - "$(dirname "$bench")" <<'EOF' || fail "ratios the wrong way round"
import sys
sys.path.insert(0, sys.argv[1])
import report
results = {"figures": {job: {"rawview": {"median": 2}, "qsd": {"median": 8}} for job in ("start", "read", "pss-idle", "views")}}
got = {job: report.times_as_good(results, job, "rawview", "qsd") for job in results["figures"]}
sys.exit(got != {"start": 4, "pss-idle": 4, "views": 4, "read": 0.25})
EOF

step "what was measured before is kept when asked for"
"$PYTHON" "$bench" "$build" "${small[@]}" --targets host,rawview-raw --add read >"$W/out" || fail "$(cat "$W/out")"
equal "jobs" "$(jq '.figures | length' "$json")" "${#jobs[@]}"
equal "targets of a job measured again" "$(jq -c '.figures.read | keys' "$json")" '["host","rawview-raw"]'

step "growth"
"$PYTHON" "$bench" "$build" "${small[@]}" growth 1G chain-4 >"$W/out" || fail "growth failed: $(cat "$W/out")"
keys='["read_ns","alloc_ns"]'
[[ ${SANITIZE:-none} != none ]] || ! command -v valgrind >/dev/null || keys='["read_ns","alloc_ns","read_instructions","alloc_instructions"]'
equal "shapes with figures" \
    "$(jq --argjson k "$keys" '[.figures[] | select([.[$k[]]] | all(. > 0))] | length' "$build/bench/growth.json")" 2
grep -q '^time of a read: ' "$W/out" || fail "no word about what grows: $(cat "$W/out")"

step "a job that cannot run is said, and fails"
mkdir -p "$W/broken/src"
cat >"$W/broken/src/rawviewd" <<'EOF'
#!/bin/sh
echo no view today
[ "$1" = --version ]
EOF
chmod +x "$W/broken/src/rawviewd"
expect_fail "not measured: read, rawview: no view today" "$PYTHON" "$bench" "$W/broken" "${small[@]}" \
    --targets host,rawview read

step "ended early"
"$PYTHON" "$bench" "$build" --runs 1 --seconds 60 --size 4 --targets rawview randread-1 >"$W/out" &
pid=$!
wait_until 20 pgrep --parent "$pid" --exact fio >/dev/null || fail "no fio: $(cat "$W/out")"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
equal "status" "$status" 143
no_mount_left
equal "files left" "$(find "$build" -name 'bench.*' -type d)" ""
if pgrep --exact rawviewd >/dev/null; then fail "a view is left"; fi

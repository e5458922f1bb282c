#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The bench measures, says so, and leaves nothing behind, also when it is ended early. Its figures are of no interest here.
. "$(dirname "$0")/lib.sh"
need fio

bench=$HERE/../bench/bench.py
build=$W/build
mkdir -p "$build/src" "$build/tests"
ln -s "$RAWVIEW" "$build/src/rawview"
ln -s "$BENCH_PROGRAMS" "$build/tests/bench"

step "three jobs, three targets"
"$PYTHON" "$bench" "$build" --runs 1 --seconds 1 --size 8 --targets host,null,rawview read randread-32 alloc >"$W/out" ||
    fail "the bench failed: $(cat "$W/out")"
json=$build/bench/bench.json
equal "failures" "$(jq '.failures | length' "$json")" 0
equal "figures over 0" "$(jq '[.figures[][] | select(.median > 0)] | length' "$json")" 9
grep -q '^randread-32 ' "$W/out" || fail "no line of the table: $(cat "$W/out")"
grep -q '^alloc: at least 0.8 x plain file: .* (.*)$' "$W/out" || fail "no word about a goal: $(cat "$W/out")"
"$PYTHON" -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$build/bench/bench.svg" ||
    fail "the plot is not XML"

step "a job that cannot run is said, and fails"
mkdir -p "$W/broken/src"
cat >"$W/broken/src/rawview" <<'EOF'
#!/bin/sh
echo no view today
[ "$1" = --version ]
EOF
chmod +x "$W/broken/src/rawview"
expect_fail "not measured: read, rawview: no view today" "$PYTHON" "$bench" "$W/broken" --runs 1 --size 8 \
    --targets host,rawview read

step "ended early"
"$PYTHON" "$bench" "$build" --runs 1 --seconds 60 --size 8 --targets rawview randread-1 >"$W/out" &
pid=$!
wait_until 20 pgrep --parent "$pid" --exact fio >/dev/null || fail "no fio: $(cat "$W/out")"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
equal "status" "$status" 143
no_mount_left
equal "files left" "$(find "$build" -name 'bench.*' -type d)" ""
if pgrep --exact rawviewd >/dev/null; then fail "a view is left"; fi

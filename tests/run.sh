#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh [SUITE…]: what `./dev test` does. Six builds below build/, each with the suites that tell something there:
#   plain   gcc, warnings are errors                 unit format property model crash integration
#                                                    lint documents package system vm
#   bare    gcc, without all that can be left out,   unit format, what is installed, and the main job there
#           below /usr/local
#   asan    gcc, AddressSanitizer and UBSan          unit format property fuzz model crash integration
#   tsan    gcc, ThreadSanitizer                     unit property model crash integration
#   clang   clang, warnings are errors               unit property
#   fuzz    clang, fuzzers, the same sanitizers      fuzz: each target for 8 seconds
# With CI=true a test of integration, documents, package, system or vm that is skipped, and a missing piece that they need, are failures.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

known=(unit format property fuzz model crash integration lint documents package system vm)
wanted=("$@")
[ $# -gt 0 ] || wanted=("${known[@]}")
for suite in "${wanted[@]}"; do
    [[ " ${known[*]} " == *" $suite "* ]] || {
        echo "dev test: there is no suite '$suite'; there are: ${known[*]}" >&2
        exit 2
    }
done

ci=${CI:-false}
passed=0 failed=0 skipped=0 skipped_real=0
troubles=()
build_targets=()
began=$SECONDS

trouble() {
    troubles+=("$1")
    failed=$((failed + 1))
    echo "!! $1"
}

# Says which of the things that real mounts and a booted systemd need are not here. (A VM needs no /dev/kvm.)
look_for_pieces() {
    local missing=() piece
    [ -c /dev/fuse ] || missing+=(/dev/fuse)
    for piece in fusermount3 systemd-nspawn mmdebstrap qemu-img qemu-system-x86_64 debugfs setarch; do
        command -v "$piece" >/dev/null || missing+=("$piece")
    done
    [ "$(id -u)" = 0 ] || missing+=("root's rights")
    [ "${#missing[@]}" -gt 0 ] || return 0
    echo
    echo "!! missing here: $(printf '%s, ' "${missing[@]}" | sed 's/, $//'): what needs it will be skipped (see ./dev deps)"
    [ "$ci" != true ] || trouble "CI=true, and what integration, system and vm need is missing: ${missing[*]}"
}

# build NAME [MESON OPTIONS]; CC comes from the environment, and so do the targets, if not all are to be made.
build() {
    local name=$1 start=$SECONDS
    shift
    mkdir -p "$(dirname "build/$name")"
    {
        if [ -f "build/$name/build.ninja" ]; then
            meson configure "build/$name" "$@"
        else
            meson setup "build/$name" "$@"
        fi && meson compile -C "build/$name" "${build_targets[@]}"
    } >"build/$name.log" 2>&1 || {
        tail -n 60 "build/$name.log"
        trouble "build/$name did not build"
        return 1
    }
    echo "   built in $((SECONDS - start)) s"
}

# What ThreadSanitizer has nothing to say about: tests of commands, which have one thread, and of what a start refuses. `limits`
# measures memory, which it multiplies, of images that others have opened under it by then.
threadless='bad-images\|bench\|check\|cli-sandbox\|cloop\|check-progress\|deputy\|descriptors\|dmg-read\|doctor\|environment\|ewf\|info'
threadless+='\|inherited\|limits\|list\|map\|odd-paths\|outside\|partitions\|privileges\|refusals\|words'

# suite NAME SUITE [PREFIX…]: runs one suite in one build, and adds up.
suite() {
    local name=$1 suite=$2 start=$SECONDS log p f s multiplier=1
    shift 2
    [[ $name =~ ^(plain|bare|clang)$ ]] || multiplier=6
    # Most of suite model is one thread, and qemu-img's work.
    local only=() environment=()
    [ "$name" = plain ] || environment=(env MODEL_SEEDS=1)
    [ "$name/$suite" != tsan/model ] || only=('model threads')
    [ "$name/$suite" != tsan/integration ] || mapfile -t only < <(meson test -C "build/$name" --no-rebuild --suite "$suite" --list |
        sed -n 's|^.* / ||p' | grep -v -x "$threadless")
    # What is left out changes nothing of mounts, and the prefix little.
    [ "$name/$suite" != bare/package ] || only=(install)
    [ "$name/$suite" != bare/system ] || only=(main-job)
    log=build/$name/meson-logs/$suite
    rm -f "$log.json" "$log.txt"
    "${environment[@]}" "$@" meson test -C "build/$name" --no-rebuild --suite "$suite" --logbase "$suite" \
        --print-errorlogs -t "$multiplier" "${only[@]}" >"$log.out" 2>&1 || true
    { read -r p f s && mapfile -t notes; } < <(python3 tests/results.py "$log.json")
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [[ $suite =~ ^(integration|documents|package|system|vm)$ ]]; then skipped_real=$((skipped_real + s)); fi
    printf '   %-12s %3d passed, %d failed, %d skipped  (%d s)\n' "$suite" "$p" "$f" "$s" $((SECONDS - start))
    [ "$((p + f + s))" -gt 0 ] || {
        tail -n 20 "$log.out"
        trouble "build/$name: suite $suite ran no test"
    }
    printf '      %s\n' "${notes[@]}" | sed '/^ *$/d'
    if [ "$f" -gt 0 ]; then
        troubles+=("build/$name: suite $suite: $f failed")
        sed -n '/^Summary of Failures/q; p' "$log.out" | tail -n 150
    fi
}

# Daemons cannot show a test what a sanitizer has to say, so each report is a file; every file is a failure.
reports() {
    local name=$1 file
    for file in "$PWD/build/$name/reports"/*; do
        [ -s "$file" ] || continue
        head -n 40 "$file"
        trouble "build/$name: a sanitizer complains, see $file"
    done
}

# run NAME "SUITES" [PREFIX…]: those of SUITES that are wanted.
run() {
    local name=$1 suite
    local -a suites
    read -ra suites <<<"$2"
    shift 2
    rm -rf "build/$name/reports"
    mkdir -p "build/$name/reports"
    for suite in "${suites[@]}"; do
        [[ " ${wanted[*]} " != *" $suite "* ]] || suite "$name" "$suite" "$@"
    done
    reports "$name"
}

# Is any of these suites wanted?
any() {
    local suite
    for suite in $1; do
        [[ " ${wanted[*]} " != *" $suite "* ]] || return 0
    done
    return 1
}

# Each fuzz target in turn, from its corpus alone: what earlier runs have added would take longer to read than there is time.
fuzz() {
    local seconds=$1 start=$SECONDS log=build/fuzz/ci.log name executions edges inputs findings
    rm -rf build/fuzz/ci
    mkdir -p build/fuzz/ci
    python3 -B tests/fuzz/fuzz.py build/fuzz/tree build/fuzz/ci $((seconds * ${#build_targets[@]})) >"$log" 2>&1 || {
        tail -n 150 "$log"
        trouble "a fuzz target has found something, or has not run: see build/fuzz/ci"
        return 0
    }
    while read -r name executions edges inputs findings; do
        [[ " ${build_targets[*]} " == *" fuzz-$name "* ]] || continue
        if [ "$executions" -eq 0 ] || [ "$findings" -gt 0 ]; then trouble "fuzz target $name: $executions executions, $findings findings"; fi
        passed=$((passed + 1))
        printf '   %-12s %8d executions, %5d edges, %5d inputs kept\n' "$name" "$executions" "$edges" "$inputs"
    done < <(sed -n '/^target /,$p' "$log")
    printf '   %d targets ran for %d s each (%d s)\n' "${#build_targets[@]}" "$seconds" $((SECONDS - start))
}

look_for_pieces

# What a fuzz target replays tells more under a sanitizer, and takes minutes.
plain="unit format property model crash integration lint documents package system vm"
if any "$plain"; then
    printf '\n== plain: gcc, warnings are errors\n'
    CC=gcc build plain --werror && run plain "$plain"
fi

bare="unit format package system"
if any "$bare"; then
    printf '\n== bare: without all that can be left out, below /usr/local\n'
    mapfile -t without < <(python3 -B tests/features.py --options)
    CC=gcc build bare --werror --prefix=/usr/local "${without[@]}" && run bare "$bare"
fi

asan="unit format property fuzz model crash integration"
if any "$asan"; then
    printf '\n== asan: AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer\n'
    export ASAN_OPTIONS="log_path=$PWD/build/asan/reports/asan:detect_leaks=1:abort_on_error=0"
    export UBSAN_OPTIONS="log_path=$PWD/build/asan/reports/ubsan:halt_on_error=1:print_stacktrace=1"
    CC=gcc build asan -Db_sanitize=address,undefined -Db_lundef=false && run asan "$asan"
fi

tsan="unit property model crash integration"
if any "$tsan"; then
    printf '\n== tsan: ThreadSanitizer\n'
    export TSAN_OPTIONS="log_path=$PWD/build/tsan/reports/tsan:second_deadlock_stack=1"
    # ThreadSanitizer of gcc 12 has no place to live where addresses are too random.
    CC=gcc build tsan -Db_sanitize=thread -Db_lundef=false && run tsan "$tsan" setarch -R
fi

clang="unit property"
if any "$clang"; then
    printf '\n== clang: warnings are errors\n'
    CC=clang build clang --werror && run clang "$clang"
fi

if any fuzz; then
    printf '\n== fuzz: clang, libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer\n'
    export ASAN_OPTIONS='' UBSAN_OPTIONS=print_stacktrace=1
    for target in $(python3 -B tests/fuzz/corpus.py targets); do
        build_targets+=("fuzz-$target")
    done
    CC=clang build fuzz/tree -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fsanitize=fuzzer-no-link && fuzz 8
fi

printf '\n== seen in %d min %d s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
status=0
if [ "$failed" -gt 0 ]; then
    printf '%s\n' "${troubles[@]}"
    echo "Not all is well: the lines above say where."
    status=1
elif [ "$ci" = true ] && [ "$skipped_real" -gt 0 ]; then
    echo "Nothing failed, but with CI=true no test of integration, documents, package, system or vm may be skipped, and $skipped_real were."
    status=1
elif [ "$skipped" -gt 0 ]; then
    echo "Nothing failed. What was skipped is not proved: the lines above say what, and why."
else
    echo "Every test of every suite asked for has passed, in all builds."
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"

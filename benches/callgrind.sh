# Shared by the benchmarks that count instructions; it is sourced and not run.
# shellcheck shell=bash

# build_example NAME: builds an example of the dialect and sets `bench` to its path.
build_example() {
    if ! command -v valgrind >/dev/null; then
        echo 'valgrind is needed (Debian: apt-get install valgrind)' >&2
        exit 2
    fi
    cargo build --release --locked --quiet -p dialect --example "$1"
    bench=${CARGO_TARGET_DIR:-target}/release/examples/$1
}

# count ARGUMENT...: instructions of the whole process.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" "$@" 2>&1 >/dev/null |
        sed -n 's/.*Collected : //p'
}

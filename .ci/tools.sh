# shellcheck shell=bash
# The programs that tests with real clients need, in pinned versions, in a folder outside the clone that
# is kept between runs. To be sourced; each function prints the path of its program, and everything else to
# standard error.

CLAUDE_CODE_VERSION=2.1.329

tools_folder=${SPILLWAY_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spillway-ci}
tools_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }

# retry COMMAND...: up to four times, because registries fail at times.
retry() {
    local pause
    for pause in 3 10 30; do
        "$@" && return
        say "failed, again in $pause s: $*"
        sleep "$pause"
    done
    "$@"
}

# install_once NAME COMMAND...: runs COMMAND with an empty folder as its last argument, unless an earlier run
# has completed; prints the folder. An interrupted run leaves no mark and is repeated.
install_once() {
    local folder=$tools_folder/$1 lock
    shift
    mkdir -p "$tools_folder"
    exec {lock}>"$tools_folder/.lock"
    flock "$lock"
    if [[ ! -e $folder/.complete ]]; then
        say "installing into $folder"
        rm -rf "$folder"
        mkdir -p "$folder"
        # Children do not inherit the lock: a daemon that outlives this script would hold it.
        "$@" "$folder" {lock}>&- >&2 || return
        touch "$folder/.complete"
    fi
    exec {lock}>&-
    printf '%s\n' "$folder"
}

# The interpreter of a virtual environment with requirements.txt; `cargo-lambda` is in the same folder.
python_with_judges() { python_with "$tools_here/requirements.txt"; }

# The interpreter of a virtual environment with ministack.txt.
python_with_ministack() { python_with "$tools_here/ministack.txt"; }

# Each Python of the machine gets its own environment, because an environment refers to its Python.
python_with() {
    local requirements=$1 mark folder
    mark=$({ cat "$requirements" && python3 -c 'import sys; print(sys.base_prefix, sys.version)'; } |
        sha256sum | cut -c1-12) || return
    folder=$(install_once "python-$mark" make_environment "$requirements") || return
    printf '%s\n' "$folder/bin/python"
}

make_environment() {
    if ! python3 -m venv "$2"; then
        # Debian splits venv from Python.
        of_debian python3-venv || return
        python3 -m venv --clear "$2" || return
    fi
    retry "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$1"
}

# The real Claude Code: a native binary inside the npm package, without Node.js and without a postinstall.
claude_code() {
    local folder
    folder=$(install_once "claude-code-$CLAUDE_CODE_VERSION" install_claude_code) || return
    printf '%s\n' "$folder"/node_modules/@anthropic-ai/claude-code-*/claude
}

install_claude_code() {
    command -v npm >/dev/null || { say "npm is needed to install Claude Code" && return 1; }
    retry npm install --prefix "$1" --no-audit --no-fund --no-update-notifier --ignore-scripts \
        --loglevel=error "@anthropic-ai/claude-code@$CLAUDE_CODE_VERSION"
}

# Valgrind counts instructions, which are the same on every machine.
valgrind_of_debian() {
    command -v valgrind || of_debian valgrind >&2
}

# of_debian PACKAGE: installs a package as root with apt-get; otherwise asks for it.
of_debian() {
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        say "please install $1"
        return 1
    fi
    retry apt-get -qq update || return
    retry env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$1"
}

#!/usr/bin/env python3
"""The rules of this repository that the compiler and clippy cannot check. Standard library only.

Licences, bans and sources are defined in deny.toml and checked here over `cargo metadata`: cargo-deny
itself would take longer to compile than Spillway, and its advisory database is a git repository, which a
closed network cannot reach. Exit status: 0 kept, 1 broken.
"""

import functools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"

# Names without a meaning for the contents.
EMPTY_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "shared", "util", "utils"}
# Ambiguous or unusual names of earlier versions, each with its replacement.
OLD_NAMES = {
    "Stop": "ErrorResponse", "Refusal": "ErrorResponse or TranslateError", "Refused": "the error's own name",
    "Unspilled": "FallbackError", "Question": "RequestBreakers", "Asked": "Decision", "Telling": "Recording",
    "Known": "CachedKey", "KnownKey": "CachedKey", "Resolved": "KeyPartition", "Patience": "StreamTimeouts",
    "Ending": "ExpectedEnd", "Rest": "RemainingBody", "Pump": "EventStream", "Opening": "BodyStart",
    "Opened": "StreamStart", "StreamOpened": "BodyStart", "Arrival": "IncomingRequest", "Parts": "Dependencies",
    "Record": "RequestLog", "Facts": "LogFields", "Behind": "PageCursor", "BreakerPlace": "BreakerKey",
    "ErrorSaid": "ErrorBody", "House": "LocalStack", "Terms": "TranslationContext", "Paper": "DocumentPart",
    "Toolbox": "ToolSet", "Use": "ToolChoice", "Act": "DrillStep", "Stage": "Sandbox", "Played": "DrillResult",
    "Form": "ResponseMode", "Performance": "ResponsePlan", "BreakIn": "InjectedError", "Beat": "Chunk",
    "Course": "FaultAction", "Swept": "MaintenanceStats", "Porter": "RequestGate", "Door": "RequestGate",
}
# Verbs that do not suit a program as their subject, and metaphors. In comments and in the parts of identifiers.
PERSONIFIED = re.compile(
    r"\b(tell|tells|told|says|said|hears|heard|knows|believes?|learns?|learned|whoever|whom|somebody|nobody"
    r"|everybody|unspilled|spills?|spilled|porter|toolbox)\b",
    re.IGNORECASE,
)
PERSONIFIED_NAME = re.compile(
    r"(?:^|_)(tell|tells|told|says|said|heard|knows|believes?|learns?|learned|whoever|whom|spill|spilled|porter"
    r"|toolbox)(?:_|$)"
)
TEST_NAME_CHARACTERS = 70
# The pure crates, and the crates and code that they must not use.
PURE = ("domain", "dialect")
IMPURE_CRATE = re.compile(
    r"(async-std|aws-.*|axum.*|getrandom|hyper.*|lambda_.*|mio|rand|reqwest|rusqlite|socket2|tokio.*|ureq|uuid)"
)
IMPURE_CODE = re.compile(
    r"std::(env|fs|net|process|thread)\b|(SystemTime|Instant|Timestamp|Zoned|Utc)::now\b|println!|eprintln!"
)
# The deployed crates, and the crates for one machine that they must not use.
DEPLOYED = ("proxy", "admin", "rollup")
ONE_MACHINE_ONLY = ("local", "simulators", "spillway", "dynoxide-rs", "rusqlite")


def main() -> int:
    broken = 0
    for rule in (
        names_say_what_is_inside,
        types_have_the_names_of_the_field,
        nothing_is_personified,
        test_names_are_short,
        no_test_is_ignored,
        every_crate_inherits_the_lints,
        every_dependency_is_used,
        pure_crates_stay_pure,
        deployed_crates_reach_nothing_of_one_machine,
        only_crates_io,
        no_banned_crate,
        licences_are_permissive,
    ):
        findings = sorted(set(rule()))
        print(f"{'kept  ' if not findings else 'BROKEN'} {rule.__name__.replace('_', ' ')}", flush=True)
        for finding in findings:
            print(f"       {finding}")
        broken += bool(findings)
    return 1 if broken else 0


# --- the text of the repository -------------------------------------------------------------------


def names_say_what_is_inside() -> Iterator[str]:
    for file in sources():
        inside = file.relative_to(ROOT).parts
        # The workspace's folder `shared/` contains crates and is not a module.
        for part in inside[inside.index("src") :] if "src" in inside else inside[-1:]:
            if Path(part).stem in EMPTY_NAMES:
                yield f"{'/'.join(inside)}: {Path(part).stem} names nothing"
        for name in re.findall(r"^\s*(?:pub(?:\(\w+\))? )?mod (\w+)", file.read_text(), re.MULTILINE):
            if name in EMPTY_NAMES:
                yield f"{'/'.join(inside)}: mod {name} names nothing"


def types_have_the_names_of_the_field() -> Iterator[str]:
    """One word, one idea: no type has an ambiguous name of an earlier version."""
    for file in sources():
        for name in re.findall(r"^\s*(?:pub(?:\(\w+\))? )?(?:struct|enum|trait|type) (\w+)", file.read_text(), re.MULTILINE):
            if name in OLD_NAMES:
                yield f"{file.relative_to(ROOT)}: {name}; use {OLD_NAMES[name]}"


def nothing_is_personified() -> Iterator[str]:
    for file in sources():
        for number, line in enumerate(file.read_text().splitlines(), 1):
            place = f"{file.relative_to(ROOT)}:{number}"
            # Quoted text is a wire fact or a message of another program.
            code, _, comment = re.sub(r"`[^`]*`|\"[^\"]*\"", "", line).partition("//")
            if found := PERSONIFIED.search(comment):
                yield f"{place}: \"{found[0]}\" in a comment"
            for name in re.findall(r"\b(?:fn|let|let mut|struct|mod|const|static) (\w+)", code):
                if found := PERSONIFIED_NAME.search(name.lower()):
                    yield f"{place}: {name} has the word \"{found[1]}\""


def test_names_are_short() -> Iterator[str]:
    for file in sources():
        for name in re.findall(r"#\[(?:tokio::)?test[^\n]*\]\s*(?:#\[[^\n]*\]\s*)*(?:async )?fn (\w+)", file.read_text()):
            if len(name) > TEST_NAME_CHARACTERS:
                yield f"{file.relative_to(ROOT)}: {name} has {len(name)} characters, not at most {TEST_NAME_CHARACTERS}"


def no_test_is_ignored() -> Iterator[str]:
    for file in sources():
        if re.search(r"#\[(ignore|should_panic)\b", file.read_text()):
            yield f"{file.relative_to(ROOT)}: a test that is skipped, or that any panic satisfies"


def every_crate_inherits_the_lints() -> Iterator[str]:
    for manifest in manifests():
        if tomllib.loads(manifest.read_text()).get("lints") != {"workspace": True}:
            yield f"{manifest.relative_to(ROOT)}: needs [lints] workspace = true"


def every_dependency_is_used() -> Iterator[str]:
    """Looks for the name in the crate's code. A dependency for a feature only is listed as for cargo-machete."""
    for manifest in manifests():
        declared = tomllib.loads(manifest.read_text())
        excused = declared["package"].get("metadata", {}).get("cargo-machete", {}).get("ignored", [])
        code = "\n".join(file.read_text() for file in manifest.parent.rglob("*.rs"))
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name in declared.get(kind, {}):
                crate = {"dynoxide-rs": "dynoxide"}.get(name, name).replace("-", "_")
                if name not in excused and not re.search(rf"\b{crate}(::|!| as\b|;|\")", code):
                    yield f"{manifest.relative_to(ROOT)}: {name} is not used"


# --- the dependency tree --------------------------------------------------------------------------


def pure_crates_stay_pure() -> Iterator[str]:
    for crate in PURE:
        for line in tree(crate):
            if IMPURE_CRATE.fullmatch(line.split()[0]):
                yield f"{crate} depends on {line}"
        for file in (ROOT / "shared" / crate / "src").rglob("*.rs"):
            if file.stem == "tests" or "tests" in file.parts:
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if line.startswith("#[cfg(test)]"):
                    break  # The tests of a file are at its end.
                if (found := IMPURE_CODE.search(line)) and not line.lstrip().startswith("//"):
                    yield f"{file.relative_to(ROOT)}:{number}: {found[0]}"


def deployed_crates_reach_nothing_of_one_machine() -> Iterator[str]:
    for crate in DEPLOYED:
        for line in tree(crate):
            if line.split()[0] in ONE_MACHINE_ONLY:
                yield f"{crate} depends on {line}"


def only_crates_io() -> Iterator[str]:
    for package in packages():
        if package["source"] not in (CRATES_IO, None):
            yield f"{package['name']} {package['version']} comes from {package['source']}"
        elif package["source"] is None and ROOT not in Path(package["manifest_path"]).parents:
            yield f"{package['name']} lies outside the repository"


def no_banned_crate() -> Iterator[str]:
    reasons = {ban["crate"]: ban["reason"] for ban in policy()["bans"]["deny"]}
    for package in packages():
        if package["name"] in reasons:
            yield f"{package['name']}: {reasons[package['name']]}"


def licences_are_permissive() -> Iterator[str]:
    rules = policy()["licenses"]
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules["exceptions"]}
    for package in packages():
        if package["source"] is None:
            continue
        allowed = set(rules["allow"]) | exceptions.get(package["name"], set())
        if not permits(package["license"] or "none", allowed):
            yield f"{package['name']} {package['version']}: {package['license']}"


def permits(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be fulfilled with the allowed licences; `/` is an old OR."""
    tokens = re.findall(r"[()]|[^\s()/]+|/", expression.replace(" WITH ", "\0WITH\0"))
    tokens.append("end")

    def alternatives() -> bool:
        fulfilled = requirements()
        while tokens[0] in ("OR", "/"):
            tokens.pop(0)
            fulfilled = requirements() or fulfilled
        return fulfilled

    def requirements() -> bool:
        fulfilled = licence()
        while tokens[0] == "AND":
            tokens.pop(0)
            fulfilled = licence() and fulfilled
        return fulfilled

    def licence() -> bool:
        token = tokens.pop(0)
        if token != "(":
            return token.replace("\0", " ") in allowed
        fulfilled = alternatives()
        return tokens.pop(0) == ")" and fulfilled

    return alternatives() and tokens == ["end"]


# --- sources of the facts --------------------------------------------------------------------


@functools.cache
def sources() -> list[Path]:
    return [file for file in tracked() if file.suffix == ".rs"]


@functools.cache
def manifests() -> list[Path]:
    members = [file for file in tracked() if file.name == "Cargo.toml" and file.parent != ROOT]
    # The fuzz targets are a separate workspace, for another toolchain.
    return [file for file in members if "fuzz" not in file.parts]


@functools.cache
def tracked() -> list[Path]:
    """The files that git tracks or would add."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    files = (ROOT / name for name in listed.split("\0") if name)
    return [file for file in files if file.is_file()]


@functools.cache
def policy() -> dict:
    return tomllib.loads((ROOT / "deny.toml").read_text())


@functools.cache
def packages() -> list[dict]:
    """Every package of the tree on every platform that deny.toml names."""
    found = {}
    for target in policy()["graph"]["targets"]:
        metadata = run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}")
        for package in json.loads(metadata)["packages"]:
            found[package["id"]] = package
    return list(found.values())


@functools.cache
def tree(crate: str) -> list[str]:
    """The crates that `crate` links, without itself."""
    lines = run("cargo", "tree", "--locked", f"--package={crate}", "--edges=normal", "--prefix=none")
    return lines.splitlines()[1:]


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())

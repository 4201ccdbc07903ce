"""The common parts of both judges: files, reports, and the self-test with invalid input.

A judge is a function from the bytes of one file to a list of findings, which is empty for a valid file. This
module is independent of the kind of file.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """A violation in a file."""

    rule: str
    """Short and stable; the self-test names the rule that each invalid case must violate."""
    where: str
    """The place inside the file: a JSON path, or the number and name of an event."""
    what: str


class Case(NamedTuple):
    """One example of the self-test."""

    name: str
    breaks: str | None
    """The rule that must be violated, or None for valid input."""
    content: bytes


Judge = Callable[[bytes], list[Finding]]


def run(description: str, suffixes: tuple[str, ...], judge: Judge, cases: Callable[[], Iterable[Case]]) -> int:
    """The command line of a judge. Exit status: 0 valid, 1 invalid or without input."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--self-test", action="store_true", help="judge known good and bad input")
    options = parser.parse_args()
    if options.self_test:
        return self_test(judge, list(cases()))
    if not options.folders:
        parser.error("name a folder to judge, or --self-test")
    return judge_folders(options.folders, suffixes, judge)


def judge_folders(folders: Iterable[Path], suffixes: tuple[str, ...], judge: Judge) -> int:
    """Validates every file with one of the suffixes, also in nested folders, and prints the invalid ones."""
    found = {file for folder in folders for suffix in suffixes for file in folder.rglob(f"*{suffix}")}
    files = sorted(file for file in found if file.is_file())
    refused = 0
    for file in files:
        findings = judge(file.read_bytes())
        refused += bool(findings)
        for finding in findings:
            print(f"{file}: [{finding.rule}] {finding.where}: {finding.what}")
    if not files:
        print(f"no {' or '.join(f'*{suffix}' for suffix in suffixes)} to judge in {', '.join(map(str, folders))}", file=sys.stderr)
    return conclude(len(files) - refused, refused)


def self_test(judge: Judge, cases: list[Case]) -> int:
    """Checks that valid cases pass, and that each invalid case violates exactly its rule."""
    failed = 0
    for case in cases:
        findings = judge(case.content)
        rules = {finding.rule for finding in findings}
        if (case.breaks in rules) if case.breaks else not rules:
            continue
        failed += 1
        print(f"{case.name}: expected {case.breaks or 'no finding'}, got {findings or 'no finding'}")
    return conclude(len(cases) - failed, failed)


def conclude(passed: int, failed: int) -> int:
    """The closing line and the exit status; a run without input fails."""
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1

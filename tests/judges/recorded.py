#!/usr/bin/env python3
"""Translates Claude Code's recorded requests for many targets, and writes the bodies for converse.py.

  recorded.py TRANSLATE FOLDER

TRANSLATE is the built example of shared/dialect; the recordings are that crate's fixtures. FOLDER is
the input of converse.py. Every recording must have a translation for every target.
"""

import json
import subprocess
import sys
from pathlib import Path

from verdict import conclude

RECORDINGS = Path(__file__).resolve().parents[2] / "shared/dialect/tests/fixtures/request"
# One of each kind with different requests.
TARGETS = (
    "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.anthropic.claude-opus-4-5-20251101-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-6-v1",
    "us.anthropic.claude-opus-4-7",
    "eu.anthropic.claude-opus-5",
    "global.anthropic.claude-sonnet-5-5",
    "global.anthropic.claude-opus-5-5",
    "global.anthropic.claude-haiku-5-5",
    "anthropic.claude-next-9",
)
DIALECTS = ("converse", "invoke", "auto")


def main() -> int:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    translate, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for recording in sorted(RECORDINGS.glob("*.json")):
        recorded = json.loads(recording.read_bytes())
        request, betas = json.dumps(recorded["body"]).encode(), recorded["anthropic_beta"] or ""
        for target in TARGETS:
            for dialect in DIALECTS:
                command = [translate, target, dialect, "answer", betas]
                done = subprocess.run(command, input=request, capture_output=True, check=False)
                told = done.stderr.decode()
                if done.returncode != 0:
                    failed += 1
                    print(f"{recording.stem} for {target} by {dialect}: {told.strip()}")
                    continue
                passed += 1
                operation, model_id, *_ = told.split()
                file = folder / f"recorded-{passed}-{recording.stem}-{dialect}.json"
                head = f'{{"operation":{json.dumps(operation)},"modelId":{json.dumps(model_id)},"body":'
                file.write_bytes(head.encode() + done.stdout + b"}")
    return conclude(passed, failed)


if __name__ == "__main__":
    sys.exit(main())

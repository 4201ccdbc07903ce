"""The output of the real Claude Code for each error of Spillway, as a table in docs/troubleshoot.md.

  claude_code_refusals.py --claude CLAUDE --spillway SPILLWAY [--write]

Started by claude-code-refusals.sh, which installs Claude Code. Each error is caused in its own
`spillway up --demo`, and shown by `claude -p` with a plan login and with an API key. The resulting table
must be the one in the document; `--write` writes it there.
"""

import argparse
import dataclasses
import json
import re
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from claude_code import SIGN_INS, Developer
from demo import Demo
from service import Failed, silently, story

DOCUMENT = Path(__file__).parents[2] / "docs" / "troubleshoot.md"
BEGIN, END = "<!-- table: shown -->\n", "<!-- end: shown -->\n"
AT_ONCE = 4
LOGIN, KEY = "a plan login", "an API key"
USED_UP = "[[plan:five_hour]]"
PROMPT = "canary-plover"

# The texts that Claude Code adds to an error, or shows instead.
ADDITIONS = {
    "login": "Failed to authenticate.",
    "model": "There's an issue with the selected model",
    "temporary": "This is a server-side issue, usually temporary",
    "not the limit": "(not your usage limit)",
    "repeated": "Repeated 529",
    "too large": "Request too large",
    "too long": "Prompt is too long",
    "limit": "You've hit your",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One error, and how to cause it."""

    name: str
    # Markers in the prompt; see shared/simulators/src/lib.rs.
    prompt: str = ""
    # Whether an earlier request has opened the breaker, so that Plan is not called.
    behind_breaker: bool = False
    # Options of `spillway up`.
    options: tuple[str, ...] = ()
    # Members that are added to the body of each request.
    body: dict[str, Any] | None = None
    # Returns the base URL, after any preparation.
    base_url: Callable[[Demo, Path], str] = lambda demo, _: demo.base_url
    # The keys of ADDITIONS that are shown, with either sign-in.
    additions: frozenset[str] = frozenset()
    # The sign-ins with which the sentence is not shown.
    hidden: tuple[str, ...] = ()
    # CLAUDE_CODE_MAX_RETRIES, where the client would otherwise wait for minutes.
    max_retries: int | None = None


def bedrock(status: int, kind: str, message: str) -> str:
    step = {"step": "error", "status": status, "type": kind, "message": message}
    return f"[[bedrock:{json.dumps(step)}]]"


def behind(name: str, step: str, *additions: str, **more: Any) -> Case:
    prompt = step if step.startswith("[[") else f"[[bedrock:{step}]]"
    return Case(name, prompt, behind_breaker=True, additions=frozenset(additions), **more)


def other_key(demo: Demo, _: Path) -> str:
    """A key of the right form that was never issued."""
    last = "A" if demo.access_key[-1] != "A" else "B"
    return demo.base_url.replace(demo.access_key, demo.access_key[:-1] + last)


def command(demo: Demo, spillway: Path, *arguments: str) -> dict[str, Any]:
    """A command on the data of the demo."""
    words = [spillway, *arguments, f"--data={demo.folder}/data", "--output=json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise Failed(f"spillway {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


def key_without_bedrock(demo: Demo, spillway: Path) -> str:
    """A key of a user without a Bedrock key."""
    user = command(demo, spillway, "user", "create", "Ada")
    key = command(demo, spillway, "key", "issue", user["user_id"])
    demo.keep_secret("the second access key", key["access_key"])
    return f"{demo.origin}/ak/{key['access_key']}"


def without_table(demo: Demo, _: Path) -> str:
    """Makes the key table unreadable."""
    with sqlite3.connect(demo.folder / "data" / "dynamodb.sqlite", timeout=10) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in tables:
            if name.startswith("sqlite_"):
                continue
            database.execute(f'DROP TABLE "{name}"')
    return demo.base_url


CASES = [
    Case("access key not valid, answered with 401", base_url=other_key, additions=frozenset({"login"})),
    Case(
        "access key not valid, answered with 404",
        options=("--unknown-key-status=404",),
        base_url=other_key,
        additions=frozenset({"model"}),
        hidden=(LOGIN, KEY),
    ),
    Case("address without an access key", base_url=lambda demo, _: demo.origin),
    Case(
        "keys cannot be read from DynamoDB",
        base_url=without_table,
        additions=frozenset({"temporary"}),
        max_retries=1,
    ),
    Case(
        "Plan cannot be reached",
        "[[plan:close]]",
        additions=frozenset({"temporary"}),
        max_retries=1,
    ),
    Case(
        "plan used up, no Bedrock key",
        USED_UP,
        base_url=key_without_bedrock,
        additions=frozenset({"temporary"}),
    ),
    Case(
        "plan throttles, no Bedrock key",
        '[[plan:{"step":"rate_limit","retry_after_s":1}]]',
        base_url=key_without_bedrock,
        additions=frozenset({"temporary"}),
        max_retries=1,
    ),
    Case(
        "plan used up, Bedrock key not accepted; Plan was asked",
        USED_UP + "[[bedrock:auth]]",
        hidden=(LOGIN,),
        additions=frozenset({"limit"}),
    ),
    Case(
        "plan used up, Bedrock down; Plan was asked",
        USED_UP + "[[bedrock:unavailable]]",
        additions=frozenset({"temporary"}),
        max_retries=1,
    ),
    behind("Bedrock key not accepted", "auth"),
    behind(
        "Bedrock key expired",
        bedrock(403, "ExpiredTokenException", "The security token included in the request is expired"),
    ),
    behind("Bedrock access denied", "403"),
    behind(
        "use case form not submitted",
        bedrock(
            404,
            "ResourceNotFoundException",
            "Model use case details have not been submitted for this account.",
        ),
    ),
    behind("no payment method in the AWS account", "out_of_credit"),
    behind("Bedrock throttles", '[[bedrock:{"step":"rate_limit","retry_after_s":1}]]', "not the limit", max_retries=1),
    behind("daily quota on Bedrock used up", "429"),
    behind("another quota on Bedrock used up", "quota"),
    behind("Bedrock down", "unavailable", "temporary", max_retries=3),
    behind("model not available on Bedrock", "404"),
    behind("Bedrock rejects the request", "400"),
    behind("prompt too long for Bedrock", "too_long", "too long", hidden=(LOGIN, KEY)),
    behind("request too large for Bedrock", "413", "too large", hidden=(LOGIN, KEY)),
    behind("feature that Bedrock does not have", "[[none]]", body={"mcp_servers": [{"type": "url", "url": "x"}]}),
]


@dataclasses.dataclass(frozen=True)
class Shown:
    """The behaviour of one run of the client."""

    text: str
    requests: int
    retries: int


@dataclasses.dataclass(frozen=True)
class Measured:
    """The response of Spillway to a case, and the client's output for each sign-in."""

    status: int
    kind: str
    error_class: str
    sentence: str
    shown: dict[str, Shown]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claude", type=Path, required=True)
    parser.add_argument("--spillway", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    options = parser.parse_args()

    def outcome(case: Case) -> Measured | Failed:
        try:
            return play(case, options.claude, options.spillway.resolve())
        except Failed as failure:
            return failure

    complaints, rows = [], []
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for case, measured in zip(CASES, pool.map(outcome, CASES), strict=True):
            wrong = [str(measured)] if isinstance(measured, Failed) else list(judge(case, measured))
            complaints += [f"{case.name}: {what}" for what in wrong]
            if not isinstance(measured, Failed):
                rows.append(row(case, measured))
            print(f"{'WRONG' if wrong else 'ok':6}{case.name}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    table = "\n".join(
        [
            "| error | answer | shown by `claude -p` | requests |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    if options.write:
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    elif old.strip() != table.strip():
        complaints.append(f"the table in {DOCUMENT.name} is not the one measured (--write writes it):\n{table}")
    if complaints:
        raise Failed("\n  ".join([f"{len(complaints)} differences:", *complaints]))
    print(f"{len(CASES)} errors are shown as docs/troubleshoot.md describes")


def play(case: Case, claude: Path, spillway: Path) -> Measured:
    """Runs the case as a plain request and with both sign-ins, each with its own Spillway."""
    more = {} if case.max_retries is None else {"CLAUDE_CODE_MAX_RETRIES": str(case.max_retries)}
    if case.body:
        more["CLAUDE_CODE_EXTRA_BODY"] = json.dumps(case.body)
    prompt = f"{PROMPT} {case.prompt}"
    shown = {}
    with silently(), Demo(spillway, 100, *case.options) as demo:
        demo.keep_secret("the prompt", PROMPT)
        base_url = case.base_url(demo, spillway)
        if case.behind_breaker:
            ask(base_url, USED_UP, {})
        status, headers, body = ask(base_url, prompt, case.body or {})
        for sign_in in (LOGIN, KEY):
            if "[[plan:" in case.prompt:
                close_breaker(demo, spillway, base_url)
            variable, credential, _, _ = SIGN_INS[sign_in]
            demo.keep_secret("the client's credential", credential)
            developer = Developer(claude, demo.folder / variable, base_url, {variable: credential}, **more)
            turn = developer.try_to_ask(prompt)
            if turn.status == 0:
                raise Failed(f"claude reports no error: {turn.result.get('result')}")
            shown[sign_in] = Shown(
                text=anonymous(str(turn.result.get("result"))),
                requests=demo.requests_logged(turn.session),
                retries=len(turn.retries),
            )
    error = body["error"]
    return Measured(
        status=status,
        kind=error["type"],
        error_class=headers.get("x-spillway-error", ""),
        sentence=anonymous(error["message"]),
        shown=shown,
    )


def close_breaker(demo: Demo, spillway: Path, base_url: str) -> None:
    """Resets the breaker, and waits until the cached state expires."""
    command(demo, spillway, "breaker", "reset", "--all")
    deadline = time.monotonic() + 10
    while not ask(base_url, "hello", {})[1].get("x-spillway-upstream", "").startswith("plan"):
        if time.monotonic() > deadline:
            raise Failed("the breaker is still open")
        time.sleep(0.2)


def ask(base_url: str, prompt: str, more: dict[str, Any]) -> tuple[int, Any, dict[str, Any]]:
    """Sends one request without Claude Code."""
    body = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}], **more}
    request = urllib.request.Request(
        f"{base_url}/v1/messages",
        data=json.dumps(body).encode(),
        headers={
            "authorization": "Bearer canary",
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def judge(case: Case, measured: Measured) -> Iterator[str]:
    """The differences from the expected behaviour."""
    # The rest of the message, about Plan, differs once the breaker is open.
    sentence = measured.sentence.split(". Your Claude plan")[0].rstrip(".")
    for sign_in, shown in measured.shown.items():
        is_hidden = sentence not in shown.text
        if is_hidden != (sign_in in case.hidden):
            yield f"with {sign_in} the sentence is {'not shown' if is_hidden else 'shown'}: {shown.text}"
    texts = [shown.text for shown in measured.shown.values()]
    found = {name for name, words in ADDITIONS.items() if any(words in text for text in texts)}
    if found != case.additions:
        yield f"the client adds {sorted(found)}, not {sorted(case.additions)}: {texts}"


def anonymous(text: str) -> str:
    """The text without the parts that differ in each run."""
    for pattern, name in (
        (r"127\.0\.0\.1:\d+", "HOST"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME UTC"),
        (r"resets [\w: ,]+ \(UTC\)", "resets TIME (UTC)"),
        (r"\(claude-[\w.-]+\)", "(MODEL)"),
        (r"\breq_\w+", "REQUEST"),
    ):
        text = re.sub(pattern, name, text)
    return text


def row(case: Case, measured: Measured) -> str:
    """A row of the table."""
    answer = f"{measured.status} `{measured.kind}`"
    if measured.error_class:
        answer += f", `{measured.error_class}`"
    cells = [
        ("<br>".join(f"with {sign_in}: {value}" for sign_in, value in values.items()))
        if len(set(values.values())) > 1
        else next(iter(values.values()))
        for values in (
            {sign_in: shown.text for sign_in, shown in measured.shown.items()},
            {sign_in: count(shown, case) for sign_in, shown in measured.shown.items()},
        )
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (case.name, answer, *cells)) + " |"


def count(shown: Shown, case: Case) -> str:
    """The number of times that the client sends the request."""
    if shown.retries and case.max_retries is not None:
        # Ten retries are the client's default.
        return "11"
    # A request without an access key is not in the log.
    return str(shown.requests or 1)


if __name__ == "__main__":
    sys.exit(story(main))

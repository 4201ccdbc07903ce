"""The real Claude Code when its plan responds with an error, without and with Spillway.

  claude_code_errors.py --claude CLAUDE --spillway SPILLWAY

Started by claude-code-errors.sh, which installs Claude Code. In each case the simulated plan sends the
same response to both. Without Spillway the client must behave as recorded here: otherwise it has changed,
and everything that relies on its behaviour must be reviewed. With Spillway it must never do worse.
"""

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from claude_code import SIGN_INS, Developer
from demo import Demo, Simulator
from service import Failed, silently, story

AT_ONCE = 4
PROMPT = "canary-bittern"
FROM_PLAN, FROM_BEDROCK = "Simulated Claude plan", "Simulated Amazon Bedrock"
KEY, LOGIN = "an API key", "a plan login"


@dataclasses.dataclass(frozen=True)
class Case:
    """A response of Plan, and the client's expected behaviour."""

    # The short name of a simulator's step, or a step.
    plan: str | dict[str, Any]
    # The requests that reach Plan without Spillway: S for a streamed response, J for one in JSON.
    requests: str
    # The beginning of the client's output.
    prints: str
    # The number of retries that it prints, and the minimum wait before the first.
    retries: int = 0
    wait_ms: int = 500
    # Whether Spillway falls back to Bedrock. If not, it delivers Plan's response.
    falls_back: bool = False
    # The beginning of the output with Spillway, where it differs: Spillway's responses are never cut off, and its
    # streams end in `message_stop` or an error.
    prints_with: str | None = None
    # Whether Plan sends it once and works again, or sends it to every request.
    once: bool = False
    sign_in: str = KEY
    # CLAUDE_CODE_MAX_RETRIES, where the client would otherwise wait for minutes.
    max_retries: int | None = None

    @property
    def name(self) -> str:
        step = self.plan if isinstance(self.plan, str) else " ".join(str(value) for value in self.plan.values())
        return step + (", once" if self.once else "") + (", with a login" if self.sign_in == LOGIN else "")


def rejected(message: str) -> str:
    return f"API Error: Request rejected (429) · {message}"


def trouble(status: int, message: str) -> str:
    return f"API Error: {status} {message}. This is a server-side issue, usually temporary"


QUOTA = "This request would exceed your account's rate limit. Please try again later."
MINUTE = "This request would exceed the rate limit for your organization of 50 requests per minute."
OVERLOADED = "API Error: Repeated 529 Overloaded errors."
NOTHING_READABLE = "API Error: API returned an empty or malformed response (HTTP 200)"
BROKE = trouble(502, "The connection to Anthropic's API broke before its answer was complete")

CASES = [
    # Every kind of 429: the client gives up, or retries up to its limit.
    Case("five_hour", "S", rejected(QUOTA), falls_back=True),
    Case("seven_day_opus", "S", rejected(QUOTA), falls_back=True),
    Case("five_hour", "S", "You've hit your 5-hour limit · resets ", falls_back=True, sign_in=LOGIN),
    Case(
        {"step": "rate_limit", "retry_after_s": 1},
        "SS",
        rejected(MINUTE),
        retries=1,
        wait_ms=1000,
        falls_back=True,
        max_retries=1,
    ),
    Case("bare_429", "SS", rejected(QUOTA), retries=1, falls_back=True, max_retries=1),
    Case("entitlement", "S", rejected("Extra usage is required"), falls_back=True),
    Case("spend_limit", "SS", rejected("Your organization"), retries=1, falls_back=True, max_retries=1),
    # Limits with another status than 429.
    Case(
        "self_set_limit",
        "SSSSSS",
        "API Error: 400 You have reached your specified API usage limits.",
        falls_back=True,
    ),
    Case("out_of_credit", "S", "Credit balance is too low", falls_back=True),
    Case("402", "S", "API Error: 402 There's an issue with your billing", falls_back=True),
    # Overloaded, as a status or in the stream; the client then retries without streaming.
    Case("529", "SSS", OVERLOADED, retries=2, falls_back=True),
    Case("529", "SSS", trouble(529, "Overloaded"), retries=2, falls_back=True, sign_in=LOGIN, max_retries=2),
    Case("first_error", "SSSJ", OVERLOADED, falls_back=True),
    Case("error_before_content", "SSSJ", OVERLOADED, falls_back=True),
    Case({"step": "stream_error", "after": "headers"}, "SS", FROM_PLAN, falls_back=True, once=True),
    # Broken.
    Case("500", "SSS", trouble(500, "Internal server error"), retries=2, max_retries=2),
    Case("502", "SS", trouble(502, "Bad Gateway"), retries=1, max_retries=1),
    Case("close", "SS", "API Error: Connection dropped (ECONNRESET).", retries=1, max_retries=1, prints_with=BROKE),
    Case("empty", "SJ", NOTHING_READABLE, prints_with=NOTHING_READABLE),
    Case({"step": "end", "after": "headers"}, "SJ", FROM_PLAN, once=True),
    Case("html", "SJ", NOTHING_READABLE),
    Case("end_before_content", "SJ", "API Error: JSON Parse error"),
    Case("first_api_error", "SJ", trouble(500, "Internal server error"), max_retries=1),
    Case(
        "cut_before_content",
        "SSJ",
        "API Error: Connection to the API was lost (ECONNRESET).",
        retries=1,
        max_retries=1,
        prints_with=BROKE,
    ),
    Case({"step": "cut", "after": "message_start"}, "SS", FROM_PLAN, retries=1, once=True),
    # Errors of the developer's login or request.
    Case("401", "SSS", "Invalid API key · Fix external API key", retries=2, max_retries=2),
    # The second retry is not sent, because the login cannot be renewed.
    Case("401", "SS", "Not logged in · Please run /login", retries=2, sign_in=LOGIN),
    Case("403", "S", "Failed to authenticate. API Error: 403 Your account does not have permission"),
    # Each retry without another optional feature.
    Case("400", "SSSSSS", "API Error: 400 messages: at least one message is required"),
    Case("404", "SJ", "There's an issue with the selected model (claude-opus-5-5)."),
    Case("413", "S", "Request too large (max 32MB)."),
]


@dataclasses.dataclass(frozen=True)
class Seen:
    """The behaviour of one run of the client."""

    plan: str
    bedrock: int
    waits_ms: list[int]
    failed: bool
    printed: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claude", type=Path, required=True)
    parser.add_argument("--spillway", type=Path, required=True)
    options = parser.parse_args()

    def outcome(case: Case) -> tuple[Seen, Seen] | Failed:
        try:
            return play(case, options.claude, options.spillway)
        except Failed as failure:
            return failure

    complaints = []
    print(f"{'':34}{'without Spillway':80}with Spillway")
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for case, seen in zip(CASES, pool.map(outcome, CASES), strict=True):
            if isinstance(seen, Failed):
                complaints.append(f"{case.name}: {seen}")
                continue
            wrong = list(judge(case, *seen))
            complaints += [f"{case.name}: {what}" for what in wrong]
            print(f"{'WRONG' if wrong else 'ok':6}{case.name:28}{row(seen[0]):80}{row(seen[1])}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    if complaints:
        raise Failed("\n  ".join([f"{len(complaints)} differences:", *complaints]))
    print(f"{len(CASES)} cases: with Spillway the client never does worse")


def play(case: Case, claude: Path, spillway: Path) -> tuple[Seen, Seen]:
    """Runs the case without and with Spillway. Each case has its own Spillway, with a closed breaker."""
    variable, credential, _, _ = SIGN_INS[case.sign_in]
    more = {} if case.max_retries is None else {"CLAUDE_CODE_MAX_RETRIES": str(case.max_retries)}
    step = case.plan if isinstance(case.plan, str) else json.dumps(case.plan)
    prompt = PROMPT if case.once else f"{PROMPT} [[plan:{step}]]"
    seen = []
    with silently(), Demo(spillway, plan_requests=100) as demo:
        demo.keep_secret("the client's credential", credential)
        demo.keep_secret("the prompt", PROMPT)
        for way, base_url in (("without", demo.plan.url), ("with", demo.base_url)):
            developer = Developer(claude, demo.folder / way, base_url, {variable: credential}, **more)
            demo.plan.reset()
            if case.once:
                demo.plan.script(case.plan)
            turn = developer.try_to_ask(prompt)
            seen.append(
                Seen(
                    plan=arrived(demo.plan),
                    bedrock=len(arrived(demo.bedrock)),
                    waits_ms=[event["retry_delay_ms"] for event in turn.retries],
                    failed=turn.status != 0 or turn.result.get("is_error") is not False,
                    printed=str(turn.result.get("result")),
                )
            )
    without, with_spillway = seen
    return without, with_spillway


def arrived(simulator: Simulator) -> str:
    """The message requests, as a letter for each."""
    requests = [request for request in simulator.requests() if "count" not in request["path"]]
    return "".join("S" if json.loads(request["body"]).get("stream") else "J" for request in requests)


def judge(case: Case, without: Seen, with_spillway: Seen) -> Iterator[str]:
    """The differences from the expected behaviour."""
    well = case.prints == FROM_PLAN
    if without.plan != case.requests:
        yield f"without Spillway the client sends {without.plan}, not {case.requests}"
    if not without.printed.startswith(case.prints) or without.failed == well:
        yield f"without Spillway the client prints: {without.printed}"
    if len(without.waits_ms) != case.retries:
        yield f"without Spillway the client prints {len(without.waits_ms)} retries, not {case.retries}"
    # The client adds up to a quarter.
    if without.waits_ms and not case.wait_ms <= without.waits_ms[0] <= case.wait_ms * 1.25:
        yield f"without Spillway the client waits {without.waits_ms[0]} ms, not {case.wait_ms}"
    if without.bedrock:
        yield "Bedrock was called without Spillway"

    if case.falls_back:
        if (with_spillway.plan, with_spillway.bedrock) != ("S", 1):
            yield f"Plan was called {with_spillway.plan}, Bedrock {with_spillway.bedrock} times, not once each"
        if with_spillway.waits_ms:
            yield f"the client retried: {with_spillway.waits_ms}"
        if with_spillway.failed or not with_spillway.printed.startswith(FROM_BEDROCK):
            yield f"Bedrock's response did not arrive: {with_spillway.printed}"
        return
    if with_spillway.bedrock:
        yield "Bedrock was called although the response is no reason for a fallback"
    if len(with_spillway.plan) > len(without.plan):
        yield f"Plan gets {with_spillway.plan} with Spillway and {without.plan} without"
    if len(with_spillway.waits_ms) > len(without.waits_ms):
        yield f"the client waits {with_spillway.waits_ms} with Spillway and {without.waits_ms} without"
    if with_spillway.failed != without.failed:
        yield f"the client {'fails' if with_spillway.failed else 'succeeds'} with Spillway only"
    if case.prints_with is not None:
        same = with_spillway.printed.startswith(case.prints_with)
    else:
        same = anonymous(with_spillway.printed) == anonymous(without.printed)
    if not same:
        yield f"with Spillway the client prints: {with_spillway.printed}"


def anonymous(printed: str) -> str:
    """The text without the parts that differ in each run: address and ids."""
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", re.sub(r"\breq_\w+", "REQUEST", printed))


def row(seen: Seen) -> str:
    """A run as a line of text."""
    waits = f" +{sum(seen.waits_ms) / 1000:.1f}s" if seen.waits_ms else ""
    legs = seen.plan + ("+" + "B" * seen.bedrock if seen.bedrock else "")
    return f"{legs + waits:15}{'fails' if seen.failed else 'succeeds'}: {seen.printed[:55]}"


if __name__ == "__main__":
    sys.exit(story(main))

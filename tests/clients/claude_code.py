"""The real Claude Code against `spillway up --demo`: one conversation that outlives the plan's limit.

  claude_code.py --claude CLAUDE --spillway SPILLWAY

Started by claude-code.sh, which installs Claude Code. The conversation runs twice: with an API key,
and with the token of a plan login, which most developers have.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo import Demo, as_shown, header
from service import Failed, check, story

# One attempt takes seconds. A client that retries needs minutes, which is also a failure.
TURN_SECONDS = 90

# The sign-ins of a developer, and the header with which Claude Code sends each credential.
SIGN_INS = {
    "an API key": ("ANTHROPIC_API_KEY", "sk-ant-api03-canary-credential-of-the-client", "x-api-key", ""),
    "a plan login": (
        "CLAUDE_CODE_OAUTH_TOKEN",
        "sk-ant-oat01-canary-credential-of-the-client",
        "authorization",
        "Bearer ",
    ),
}


class Turn:
    """The output and the exit status of one run of `claude -p`."""

    def __init__(self, events: list[dict[str, Any]], status: int, errors: str) -> None:
        self.events = events
        self.status = status
        self.errors = errors
        self.result = next((event for event in events if event["type"] == "result"), {})
        self.session: str = self.result.get("session_id", "")
        self.retries = [event for event in events if event.get("subtype") == "api_retry"]

    def blocks(self, speaker: str, kind: str) -> list[dict[str, Any]]:
        """The content blocks of one kind from the assistant or the user (that is, a tool)."""
        content = [event["message"]["content"] for event in self.events if event["type"] == speaker]
        blocks = [block for part in content if isinstance(part, list) for block in part]
        return [block for block in blocks if block.get("type") == kind]

    def check_that_it_went_well(self) -> None:
        result = {name: self.result.get(name) for name in ("subtype", "is_error", "result")}
        check(self.result.get("is_error") is False, "the client reports no error", result)
        check(self.result.get("subtype") == "success" and self.result.get("result"), "it has an answer", result)
        check(not self.retries, "the client did not retry", self.retries)


class Developer:
    """Claude Code with its own home and work folder, and without the caller's environment."""

    def __init__(self, claude: Path, folder: Path, base_url: str, credential: dict[str, str], **more: str) -> None:
        """`credential` and `more` are variables of the environment."""
        self._claude = claude
        self._work = folder / "work"
        self._work.mkdir(parents=True)
        home = folder / "home"
        home.mkdir()
        self._environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            "ANTHROPIC_BASE_URL": base_url,
            **credential,
            # Only Spillway is reachable.
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
            **more,
        }

    def write(self, name: str, text: str) -> Path:
        """Writes a file to the work folder."""
        file = self._work / name
        file.write_text(text)
        return file

    def ask(self, prompt: str, *, resume: str | None = None) -> Turn:
        """Runs `claude -p` in a new or an existing conversation; it must succeed."""
        turn = self.try_to_ask(prompt, resume=resume)
        if turn.status != 0:
            said = turn.result.get("result") or "\n".join(json.dumps(event)[:300] for event in turn.events[-5:])
            raise Failed(f"claude ended with status {turn.status}: {said}\n{turn.errors[-2000:]}")
        return turn

    def try_to_ask(self, prompt: str, *, resume: str | None = None) -> Turn:
        """Runs `claude -p`, with any exit status."""
        command = [str(self._claude), "-p", prompt, "--output-format", "stream-json", "--verbose"]
        command += ["--allowedTools", "Bash,Read", *(["--resume", resume] if resume else [])]
        process = subprocess.Popen(
            command,
            cwd=self._work,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A separate process group, so that a tool's children end with it.
            start_new_session=True,
        )
        try:
            out, errors = process.communicate(timeout=TURN_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"claude did not end within {TURN_SECONDS} s: {prompt}") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        events = []
        for line in out.splitlines():
            try:
                events.append(json.loads(line))
            except ValueError as error:
                raise Failed(f"claude printed no JSON: {line[:300]}") from error
        return Turn(events, process.returncode, errors)


class Legs:
    """The number of message requests of each upstream since the last call."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._seen = {"plan": 0, "bedrock": 0}

    def news(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        news = []
        for name, simulator in (("plan", self._demo.plan), ("bedrock", self._demo.bedrock)):
            requests = [request for request in simulator.requests() if "count" not in request["path"]]
            news.append(requests[self._seen[name] :])
            self._seen[name] = len(requests)
        print(f"    responses of Plan: {listed(news[0])}; of Bedrock: {listed(news[1])}", flush=True)
        return news[0], news[1]


def listed(requests: list[dict[str, Any]]) -> str:
    return ", ".join(str(request["status"]) for request in requests) or "none"


def statuses(requests: list[dict[str, Any]]) -> list[int]:
    return [request["status"] for request in requests]


def hold_a_conversation(claude: Path, spillway: Path, sign_in: str) -> None:
    variable, credential, header_name, prefix = SIGN_INS[sign_in]
    print(f"\nClaude Code signed in by {sign_in}", flush=True)
    # One request for the first turn, two for the tool loop; then the plan's limit is reached.
    with Demo(spillway, plan_requests=3) as demo:
        demo.keep_secret("the client's credential", credential)
        demo.keep_secret("the prompt", "canary-heron")
        developer, legs = Developer(claude, demo.folder, demo.base_url, {variable: credential}), Legs(demo)

        print("  text, from Plan", flush=True)
        turn = developer.ask("Remember the word canary-heron.")
        turn.check_that_it_went_well()
        plan, bedrock = legs.news()
        check(statuses(plan) == [200] and not bedrock, "Plan answered, Bedrock was not asked")
        check(header(plan[0], header_name) == as_shown(prefix + credential), "the client's own credential went to Plan")
        check(demo.access_key not in json.dumps(plan), "the access key did not go to Plan")
        session = turn.session

        print("  a tool loop, from Plan", flush=True)
        turn = developer.ask('[[tool:Bash {"command":"echo reed-$((6*7))"}]]', resume=session)
        turn.check_that_it_went_well()
        check_tool(turn, "Bash", "reed-42")
        plan, bedrock = legs.news()
        check(statuses(plan) == [200, 200] and not bedrock, "Plan answered twice, Bedrock was not asked")
        check(turn.session == session, "it is the same conversation", turn.session)

        print("  the same conversation after the plan's limit", flush=True)
        turn = developer.ask("Which word was it?", resume=session)
        turn.check_that_it_went_well()
        plan, bedrock = legs.news()
        check(statuses(plan) == [429], "Plan said 429", statuses(plan))
        check(statuses(bedrock) == [200], "Bedrock answered, at the first try", statuses(bedrock))
        check("canary-heron" in bedrock[0]["body"], "Bedrock was told the conversation so far")
        check("toolResult" in bedrock[0]["body"], "and what the tool had said")
        check(turn.session == session, "it is the same conversation", turn.session)

        print("  a tool loop, from Bedrock", flush=True)
        file = developer.write("nest.txt", "three blue eggs\n")
        turn = developer.ask(f"[[tool:Read {json.dumps({'file_path': str(file)})}]]", resume=session)
        turn.check_that_it_went_well()
        check_tool(turn, "Read", "three blue eggs")
        _, bedrock = legs.news()
        check(statuses(bedrock) == [200, 200], "Bedrock answered twice", statuses(bedrock))
        check("three blue eggs" not in bedrock[0]["body"], "what the tool reads was nowhere before it ran")
        check("three blue eggs" in bedrock[1]["body"], "its output came to Bedrock with the second request")

        sent = json.dumps(demo.bedrock.requests())
        for name, secret in (("access key", demo.access_key), ("client's credential", credential)):
            gone = secret not in sent and as_shown(f"Bearer {secret}") not in sent
            check(gone, f"the {name} did not go to Bedrock")


def check_tool(turn: Turn, name: str, output: str) -> None:
    calls = [call["name"] for call in turn.blocks("assistant", "tool_use")]
    check(calls == [name], f"the client was told to call {name}", calls)
    results = turn.blocks("user", "tool_result")
    said = [result for result in results if output in json.dumps(result["content"]) and not result.get("is_error")]
    check(said, f"{name} ran and its output went back", results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claude", type=Path, required=True)
    parser.add_argument("--spillway", type=Path, required=True)
    options = parser.parse_args()
    for sign_in in SIGN_INS:
        hold_a_conversation(options.claude, options.spillway, sign_in)


if __name__ == "__main__":
    sys.exit(story(main))

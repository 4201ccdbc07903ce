"""`spillway up --demo` for the client tests, and its two simulators, all on loopback."""

import hashlib
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from service import Service, say

# The last part of a Bedrock Runtime path.
OPERATIONS = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "count-tokens": "CountTokens",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
}


class Simulator:
    """One of the two upstreams of the demo, by its control endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url

    def requests(self) -> list[dict[str, Any]]:
        """The received requests, the oldest first: index, method, path, headers, body and status."""
        return self._call("GET", "requests")["requests"]

    def script(self, *steps: dict[str, Any]) -> None:
        """Scripts the next responses."""
        self._call("POST", "script", list(steps))

    def reset(self) -> None:
        """Clears the script, the requests and the usage windows."""
        self._call("POST", "reset")

    def _call(self, method: str, endpoint: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_simulator/{endpoint}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        # Without the proxy of the caller's environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            return json.load(response)


class Demo(Service):
    """A running `spillway up --demo` on scratch data, with the debug log."""

    def __init__(self, spillway: Path, plan_requests: int, *options: str) -> None:
        command: list[str | Path] = [spillway.resolve(), "up", "--demo", "--output=json", "--data={scratch}/data"]
        command += ["--listen=127.0.0.1:0", f"--demo-plan-requests={plan_requests}"]
        super().__init__([*command, "--log-level=debug", *options], {})
        ready = self.ready_line()
        try:
            self.origin: str = ready["base_url"]
            self.base_url: str = ready["anthropic_base_url"]
            self.access_key: str = ready["access_key"]
            self.plan = Simulator(ready["demo"]["plan_url"])
            self.bedrock = Simulator(ready["demo"]["bedrock_url"])
        except (KeyError, TypeError) as error:
            self.fail(f"the ready line lacks {error}: {sorted(ready)}")
        self.keep_secret("the access key", self.access_key)
        say(f"spillway answers on {self.origin}")

    def requests_logged(self, session: str) -> int:
        """The number of requests of one conversation of Claude Code in the log."""
        count, deadline = -1, time.monotonic() + 2
        # The last line may not have arrived.
        while time.monotonic() < deadline:
            lines = [line for line in self.printed() if f'"session.id":"{session}"' in line]
            found = sum(1 for line in lines if json.loads(line).get("message") == "request")
            if found == count:
                break
            count = found
            time.sleep(0.3)
        return count

    def before_stop(self) -> None:
        """Writes every Bedrock request below SPILLWAY_JUDGE_DIR, for tests/judges/converse.py."""
        if not (folder := os.environ.get("SPILLWAY_JUDGE_DIR")):
            return
        target = Path(folder) / "bedrock"
        target.mkdir(parents=True, exist_ok=True)
        for request in self.bedrock.requests():
            model_id, operation = request["path"].partition("?")[0].split("/")[-2:]
            name = f"{Path(sys.argv[0]).stem}-{self.process.pid}-{request['index']}.json"
            # As text, so that the judge gets the exact bytes of the body.
            (target / name).write_text(
                f'{{"operation":{json.dumps(OPERATIONS[operation])},'
                f'"modelId":{json.dumps(unquote(model_id))},"body":{request["body"]}}}'
            )


def header(request: dict[str, Any], name: str) -> str | None:
    """A header of a request that a simulator recorded."""
    return next((value for known, value in request["headers"] if known == name), None)


def as_shown(credential: str) -> str:
    """The value that a simulator returns for a header with this credential."""
    return f"sha256:{hashlib.sha256(credential.encode()).hexdigest()}"

"""The built proxy function under `cargo lambda watch`: it must respond, and its streams must arrive in pieces.

  lambda_watch.py --cargo-lambda CARGO_LAMBDA --function FUNCTION --world WORLD

`cargo lambda watch` serves the Lambda Runtime API and turns HTTP requests into events. FUNCTION is the
binary in its deployed form. WORLD (tests/examples/function_world.rs) serves the AWS and the upstreams of the
function, prints one line of JSON and runs until its standard input ends:

  {"environment": {"AWS_ENDPOINT_URL": "...", "SPILLWAY_PLAN_URL": "...", ...}, "access_key": "ak_..."}
"""

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from demo import Simulator
from service import Failed, Service, check, story

ROOT = Path(__file__).resolve().parents[2]
# The pause of the simulated upstream between two events, and the minimum time between the first and the last
# of them at the client: a buffered stream arrives at once.
PAUSE_MS = 200
SPREAD_SECONDS = 0.8


class Stream:
    """A streamed response, and the arrival times of its lines."""

    def __init__(self, port: int, access_key: str) -> None:
        body = {"model": "claude-sonnet-4-5", "max_tokens": 100, "stream": True}
        body["messages"] = [{"role": "user", "content": "canary-heron"}]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(
            "POST",
            f"/lambda-url/proxy/ak/{access_key}/v1/messages?beta=true",
            json.dumps(body),
            {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "sk-ant-canary"},
        )
        try:
            response = connection.getresponse()
        except OSError as error:
            raise Failed(f"no response to a streamed request: {error}") from error
        self.status = response.status
        self.upstream = response.headers.get("x-spillway-upstream", "").partition(";")[0]
        self.lines: list[tuple[float, str]] = []
        while line := response.readline():
            self.lines.append((time.monotonic(), line.decode().rstrip()))
        connection.close()

    def check(self, upstream: str) -> None:
        text = "\n".join(line for _, line in self.lines)
        check(self.status == 200 and self.upstream == upstream, f"{upstream} answers", (self.status, text[:500]))
        events = [(when, line) for when, line in self.lines if line.startswith("event:")]
        names = [line.partition(" ")[2] for _, line in events]
        check(names[:1] == ["message_start"] and names[-1:] == ["message_stop"], "the stream is whole", names)
        spread = events[-1][0] - events[0][0]
        check(spread >= SPREAD_SECONDS, f"its events come one by one, over {spread:.1f} s", spread)


class World(Service):
    """The AWS and the upstreams that the function needs."""

    def __init__(self, program: Path) -> None:
        super().__init__([program.resolve()], {}, stdin=subprocess.PIPE)

    def stop(self) -> None:
        self.check_running()
        self.process.stdin.close()
        self.check_end()


class Sandbox(Service):
    """A function's process, which ends without a signal, as on Lambda."""

    def stop(self) -> None:
        self.check_running()


class Watch(Service):
    """`cargo lambda watch`, whose exit status after a signal is undefined."""

    def stop(self) -> None:
        self.check_running()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, watch: Service) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    watch.fail("cargo lambda watch does not listen")


def health(port: int, function: Service) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/lambda-url/proxy/health")
    try:
        response = connection.getresponse()
        # Read to its end: an early disconnect ends the runtime under `cargo lambda watch`.
        response.read()
        return response.status
    except OSError as error:
        function.fail(f"the function does not answer: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cargo-lambda", type=Path, required=True)
    parser.add_argument("--function", type=Path, required=True)
    parser.add_argument("--world", type=Path, required=True)
    options = parser.parse_args()

    port = free_port()
    command: list[str | Path] = [options.cargo_lambda, "lambda", "watch", "--only-lambda-apis", "--ignore-changes"]
    command += ["--invoke-address=127.0.0.1", f"--invoke-port={port}"]
    # It asks cargo for the workspace.
    cargo = {name: os.environ[name] for name in ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
    with World(options.world) as world, Watch(command, cargo, cwd=ROOT).starts_without_a_line() as watch:
        ready = world.ready_line()
        plan = Simulator(ready["environment"]["SPILLWAY_PLAN_URL"])
        bedrock = Simulator(ready["environment"]["SPILLWAY_BEDROCK_URL"])
        plan.reset()
        wait_for(port, watch)
        environment = {
            **ready["environment"],
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt/proxy",
            "AWS_LAMBDA_FUNCTION_NAME": "proxy",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        }
        with Sandbox([options.function.resolve()], environment).starts_without_a_line() as function:
            function.keep_secret("the access key", ready["access_key"])
            function.keep_secret("the client's credential", "sk-ant-canary")
            function.keep_secret("the prompt", "canary-heron")
            check(health(port, function) == 200, "the function answers")
            slow = {"step": "slow", "events_ms": PAUSE_MS}
            plan.script(slow)
            Stream(port, ready["access_key"]).check("plan")
            plan.script({"step": "usage_limit", "window": "five_hour"})
            bedrock.script(slow)
            Stream(port, ready["access_key"]).check("bedrock")


if __name__ == "__main__":
    sys.exit(story(main))

#!/usr/bin/env python3
"""Runs a command beside ministack, an independent implementation of DynamoDB, on a free loopback port.

Usage: ministack.py COMMAND..., with the Python of an environment that has ministack.txt. The command gets
the address in SPILLWAY_TEST_DYNAMODB_URL. Exit status: the command's, or 1 if ministack does not start or
the command has made no table in it. ministack ends with this script, also when the script is killed.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 5


def main(command: list[str]) -> int:
    # Otherwise a signal would end this script without its `finally`.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{free_port()}"
        log = Path(folder, "log")
        ministack = start(url, Path(folder), log)
        try:
            if not answers(url, ministack):
                print(f"ministack does not start:\n{log.read_text()}", file=sys.stderr)
                return 1
            status = subprocess.run(command, env=os.environ | {"SPILLWAY_TEST_DYNAMODB_URL": url}).returncode
            if status == 0 and not tables(url):
                print("the command has made no table in ministack", file=sys.stderr)
                return 1
            return status
        finally:
            ministack.terminate()
            try:
                ministack.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                ministack.kill()
                ministack.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(url: str, folder: Path, log: Path) -> subprocess.Popen:
    # Without the caller's environment: ministack reads some hundred variables.
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Its default is every interface.
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": url.rpartition(":")[2],
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )


def end_with_parent() -> None:
    """Ends this process with its parent, also when the parent is killed."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def answers(url: str, ministack: subprocess.Popen) -> bool:
    give_up = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < give_up and ministack.poll() is None:
        try:
            tables(url)
            return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    return False


def tables(url: str) -> list[str]:
    """The tables of the account and region of the fleet's test."""
    scope = "LOCALMACHINE/20200101/eu-central-1/dynamodb/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    request = urllib.request.Request(url, data=b"{}", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as answer:
        return json.load(answer)["TableNames"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

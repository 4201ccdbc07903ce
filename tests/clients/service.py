"""A process under test: started in a scratch folder, watched, and stopped.

The output is kept, because it must not contain a credential or a prompt, at any log level. The module is
independent of the service under test.
"""

import contextlib
import contextvars
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

START_SECONDS = 30
STOP_SECONDS = 30
STORY_SECONDS = 300


_silent = contextvars.ContextVar("silent", default=False)


class Failed(Exception):
    """A failed check, with a message for people."""


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """Suppresses the output of passed checks in this thread, because many run at once."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def say(line: str) -> None:
    """Prints the progress."""
    if not _silent.get():
        print(line, flush=True)


def check(holds: Any, what: str, seen: Any = None) -> None:
    """Prints a passed check, or fails with the actual value."""
    if not holds:
        raise Failed(what if seen is None else f"{what}; seen: {seen}")
    say(f"    ok  {what}")


def story(main: Callable[[], None]) -> int:
    """Runs a test program: 0 when every check held, 1 with the reason otherwise."""
    # As exceptions they unwind through the context managers, which end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGALRM, _too_late)
    # A client may wait for hours.
    signal.alarm(STORY_SECONDS)
    try:
        main()
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _too_late(*_: object) -> None:
    raise Failed(f"not done after {STORY_SECONDS} s")


class Service:
    """A running process. As a context manager it is stopped at the end, and its output is checked."""

    def __init__(
        self,
        command: list[str | Path],
        environment: dict[str, str],
        cwd: Path | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.name = Path(command[0]).name
        self._scratch = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        self.folder = Path(self._scratch.name)
        self._secrets: dict[str, str] = {}
        self._printed: list[str] = []
        self._readers: list[threading.Thread] = []
        self.process = subprocess.Popen(
            # {scratch} in an argument is the folder, whose name is not known before.
            [str(part).replace("{scratch}", str(self.folder)) for part in command],
            cwd=cwd or self.folder,
            # Without the caller's environment.
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **environment},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._drain(self.process.stderr)

    def ready_line(self) -> dict[str, Any]:
        """The first line of standard output, which is JSON; the only one that may show a secret."""
        pipe, line = self.process.stdout, b""
        # Byte by byte, so that the rest of the output is kept and a hanging start is detected.
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, selectors.EVENT_READ)
            deadline = time.monotonic() + START_SECONDS
            while not line.endswith(b"\n"):
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    self.fail(f"{self.name} was not ready after {START_SECONDS} s")
                byte = os.read(pipe.fileno(), 1)
                if not byte:
                    self.fail(f"{self.name} ended with status {self.process.wait(STOP_SECONDS)}")
                line += byte
        self._drain(pipe)
        try:
            return json.loads(line)
        except ValueError as error:
            self.fail(f"the first line of {self.name} is no JSON: {error}")

    def starts_without_a_line(self) -> Self:
        """For a process whose standard output is log from the beginning."""
        self._drain(self.process.stdout)
        return self

    def keep_secret(self, name: str, value: str) -> None:
        """Names a text that must never be printed."""
        self._secrets[name] = value

    def fail(self, what: str) -> None:
        """Ends the process, and raises with the end of its output."""
        self._end()
        raise Failed(f"{what}\n{self.tail()}")

    def printed(self) -> list[str]:
        """The lines of output so far, without the ready line."""
        return list(self._printed)

    def tail(self, lines: int = 40) -> str:
        """The end of the output, with masked secrets and without the logs of libraries."""
        text = "".join(self._printed)
        for name, value in self._secrets.items():
            text = text.replace(value, f"<{name}>")
        told = [line[:400] for line in text.splitlines() if not re.search(r"\b(TRACE|DEBUG)\b", line)]
        return "\n".join([f"--- the end of what {self.name} printed", *told[-lines:], "---"])

    def before_stop(self) -> None:
        """Called before the process is stopped."""

    def stop(self) -> None:
        """Sends the signal to stop, and waits for the end."""
        self.check_running()
        self.process.send_signal(signal.SIGTERM)
        self.check_end()

    def check_running(self) -> None:
        if (status := self.process.poll()) is not None:
            self.fail(f"{self.name} should still be running, but ended with status {status}")

    def check_end(self) -> None:
        """Checks the end of the process after the signal."""
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.fail(f"{self.name} is still running {STOP_SECONDS} s after it was asked to end")
        if status != 0:
            self.fail(f"{self.name} should end with status 0, but ended with {status}")
        say(f"    ok  {self.name} ends with status 0 when asked to")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.before_stop()
                self.stop()
                self._check_what_was_printed()
            else:
                self._end()
                print(self.tail(), file=sys.stderr, flush=True)
        finally:
            self._end()
            self._scratch.cleanup()

    def _drain(self, pipe: Any) -> None:
        def read() -> None:
            for line in pipe:
                self._printed.append(line.decode("utf-8", "replace"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self._readers.append(thread)

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        for reader in self._readers:
            reader.join(STOP_SECONDS)

    def _check_what_was_printed(self) -> None:
        self._end()
        if not self._secrets:
            return
        printed = "".join(self._printed)
        check(printed, f"{self.name} logged something, so looking for secrets in it means something")
        for name, value in self._secrets.items():
            line = next((line for line in printed.splitlines() if value in line), None)
            check(line is None, f"{name} was never printed", line and line[:300].replace(value, "<it>"))

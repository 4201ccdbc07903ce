#!/usr/bin/env python3
"""Validates Spillway's server-sent events and messages with the official anthropic SDK.

  sse.py FOLDER...     every *.sse below is the body of one streamed response, as a client received it, and
                       every *.message that of a response that was not streamed
  sse.py --self-test   proves that invalid streams are rejected

The checks:

  frame   the SSE grammar as Claude Code and the SDKs need it: one `event:` line, one `data:` line, a
          blank line; the event's name is the `type` of its data
  type    the SDK's own models of every event, validated strictly
  order   the protocol: message_start; blocks 0, 1, 2, ... one after another, each with deltas of its
          kind and a stop; message_delta; message_stop. A response that breaks off ends with one `error`
          event instead. `ping` may occur anywhere before the end
  client  the SDK's real client reads the same bytes: its accumulated message must be the one that the
          events describe, and it must raise for a stream that ends in `error`

For a whole message the checks are type and client, and the rules of order for its end.

Needs anthropic. Exit status: 0 valid, 1 invalid or without input.
"""

import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from pydantic import TypeAdapter, ValidationError

try:
    import httpx2 as httpx
except ImportError:  # Before 2.0 the SDK was built on the older package.
    import httpx

from verdict import Case, Finding, run

# Claude Code sends beta requests, whose responses have more kinds of blocks than plain ones.
EVENTS = (TypeAdapter(RawMessageStreamEvent), TypeAdapter(BetaRawMessageStreamEvent))
MESSAGES = (TypeAdapter(Message), TypeAdapter(BetaMessage))
ERRORS = TypeAdapter(ErrorResponse)
DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set(),
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
}
# platform.claude.com, "Errors": the values of error.type.
ERROR_TYPES = {
    "api_error",
    "authentication_error",
    "billing_error",
    "invalid_request_error",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "request_too_large",
    "timeout_error",
}
USAGE = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")

Event = dict[str, Any]


def judge(content: bytes) -> list[Finding]:
    """The violations of one recorded response: a JSON object is a message, anything else a stream."""
    if content.startswith(b"{"):
        return list(judge_whole(content))
    findings: list[Finding] = []
    events = list(read(content, findings))
    for number, event in enumerate(events):
        findings += typed(event, f"{number} {event['type']}")
    # Order requires valid events, and the client's reading requires valid order.
    if not findings:
        protocol = Protocol()
        for number, event in enumerate(events):
            findings += (Finding("order", f"{number} {event['type']}", what) for what in protocol.take(event))
        findings += (Finding("order", "end", what) for what in protocol.end())
        if not findings:
            findings += read_by_the_sdk(content, protocol)
    return findings


def judge_whole(content: bytes) -> Iterator[Finding]:
    """The violations of one message."""
    try:
        message = json.loads(content)
    except ValueError as error:
        yield Finding("frame", "message", str(error))
        return
    findings = list(typed_message(message))
    yield from findings
    if findings:
        return
    blocks = message["content"]
    if message["stop_reason"] is None:
        yield Finding("order", "stop_reason", "a whole message has come to its end")
    if message["stop_reason"] == "end_turn" and any(block["type"] == "tool_use" for block in blocks):
        yield Finding("order", "stop_reason", "a turn with a tool call does not end by end_turn")
    yield from message_read_by_the_sdk(content, message)


def typed_message(message: Any) -> Iterator[Finding]:
    """Checks a message with the SDK's models."""
    plain, beta = MESSAGES
    try:
        try:
            plain.validate_python(message, strict=True)
        except ValidationError:
            beta.validate_python(message, strict=True)
    except ValidationError as error:
        for problem in error.errors()[:3]:
            yield Finding("type", ".".join(map(str, problem["loc"])), problem["msg"])
        return
    if not re.fullmatch(r"msg_\w+", message["id"]):
        yield Finding("type", "id", f"{message['id']!r} is no message id")
    for block in message["content"]:
        if block["type"] == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]):
            yield Finding("type", "content", f"{block['id']!r} is no tool use id")


def read(content: bytes, findings: list[Finding]) -> Iterator[Event]:
    """The events of a stream, with those that a client could not parse."""

    def broken(where: int | str, what: str) -> None:
        findings.append(Finding("frame", str(where), what))

    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        broken("stream", str(error))
        return
    if not text.endswith("\n\n"):
        broken("end", "the last event is not closed by a blank line")
    for number, frame in enumerate(frame for frame in text.split("\n\n") if frame.strip("\n")):
        lines = [line for line in frame.strip("\n").split("\n") if not line.startswith(":")]
        if not lines:
            continue  # A comment: legal, and skipped by every client.
        fields = [tuple(part.removeprefix(" ") for part in line.partition(":")[::2]) for line in lines]
        if [name for name, _ in fields] != ["event", "data"]:
            broken(number, f"needs one event: and one data: line, has {[name for name, _ in fields]}")
            continue
        (_, name), (_, data) = fields
        try:
            event = json.loads(data)
        except ValueError as error:
            broken(number, f"data is not JSON: {error}")
            continue
        if not isinstance(event, dict) or event.get("type") != name:
            broken(number, f"event {name!r} carries {str(event)[:60]}")
            continue
        yield event


def typed(event: Event, where: str) -> Iterator[Finding]:
    """Checks one event with the SDK's models; `ping` and `error` are handled below them."""
    if event["type"] == "ping":
        return
    try:
        if event["type"] == "error":
            ERRORS.validate_python(event, strict=True)
            if event["error"]["type"] not in ERROR_TYPES:
                yield Finding("type", where, f"{event['error']['type']!r} is no Anthropic error type")
            return
        if event["type"] == "message_start" and not re.fullmatch(r"msg_\w+", str(event["message"].get("id"))):
            yield Finding("type", where, f"{event['message'].get('id')!r} is no message id")
        block = event.get("content_block", {})
        if block.get("type") == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]+", str(block.get("id"))):
            # The next request returns the id, and both upstreams check it there.
            yield Finding("type", where, f"{block.get('id')!r} is no tool use id")
        plain, beta = EVENTS
        try:
            plain.validate_python(event, strict=True)
        except ValidationError:
            beta.validate_python(event, strict=True)
    except ValidationError as error:
        for problem in error.errors()[:3]:
            yield Finding("type", where, f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}")
    except (AttributeError, KeyError, TypeError) as error:
        yield Finding("type", where, f"malformed: {error!r}")


class Protocol:
    """Follows a stream event by event and builds the message that it describes.

        (nothing) -- message_start --> between -- content_block_start --> in a block
        between <-- content_block_stop -- in a block
        between -- message_delta --> closing -- message_stop --> over
        anywhere -- error --> over
    """

    def __init__(self) -> None:
        self.message: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self._state = "nothing"
        self._json = ""
        self._signed = False

    def take(self, event: Event) -> Iterator[str]:
        """Advances by one event, and returns its violations of the protocol."""
        if self._state == "over":
            yield "after the end"
        elif event["type"] == "error":
            self.error, self._state = event["error"], "over"
        elif event["type"] != "ping":
            expected = {
                "nothing": ("message_start",),
                "between": ("content_block_start", "message_delta"),
                "block": ("content_block_delta", "content_block_stop"),
                "closing": ("message_stop",),
            }[self._state]
            if event["type"] in expected:
                yield from getattr(self, f"_{event['type']}")(event)
            else:
                yield f"expected {' or '.join(expected)}"

    def end(self) -> Iterator[str]:
        """The violations of a stream that ends here."""
        if self._state != "over":
            yield f"neither message_stop nor error: the stream just ends ({self._state})"

    def _message_start(self, event: Event) -> Iterator[str]:
        self.message = copy.deepcopy(event["message"])
        self._state = "between"
        if self.message["content"] or self.message.get("stop_reason") is not None:
            yield "a message starts without content and without a stop_reason"

    def _content_block_start(self, event: Event) -> Iterator[str]:
        block = copy.deepcopy(event["content_block"])
        if event["index"] != len(self.message["content"]):
            yield f"index {event['index']}, expected {len(self.message['content'])}"
        begun = {"text": "text", "thinking": "thinking", "tool_use": "input", "server_tool_use": "input"}
        if block.get(begun.get(block["type"], "")):
            yield f"a {block['type']} block starts empty"
        self.message["content"].append(block)
        self._state, self._json, self._signed = "block", "", False

    def _content_block_delta(self, event: Event) -> Iterator[str]:
        block, delta = self.message["content"][-1], event["delta"]
        yield from self._same_block(event)
        if delta["type"] not in DELTAS.get(block["type"], {delta["type"]}):
            yield f"{delta['type']} in a {block['type']} block"
        elif delta["type"] == "text_delta":
            block["text"] += delta["text"]
        elif delta["type"] == "thinking_delta":
            block["thinking"] += delta["thinking"]
        elif delta["type"] == "signature_delta":
            if self._signed:
                yield "a second signature: clients replace the first one by it"
            block["signature"], self._signed = delta["signature"], True
        elif delta["type"] == "input_json_delta":
            self._json += delta["partial_json"]
        elif delta["type"] == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]

    def _content_block_stop(self, event: Event) -> Iterator[str]:
        block = self.message["content"][-1]
        yield from self._same_block(event)
        self._state = "between"
        if block["type"] not in ("tool_use", "server_tool_use"):
            return
        try:
            block["input"] = json.loads(self._json or "{}")
            if not isinstance(block["input"], dict):
                yield "a tool's input is an object"
        except ValueError as error:
            yield f"a tool's input is JSON: {error}"

    def _same_block(self, event: Event) -> Iterator[str]:
        if event["index"] != len(self.message["content"]) - 1:
            yield f"index {event['index']}, open is {len(self.message['content']) - 1}"

    def _message_delta(self, event: Event) -> Iterator[str]:
        self._state = "closing"
        if event["delta"].get("stop_reason") is None:
            yield "stop_reason is missing"
        self.message["stop_reason"] = event["delta"].get("stop_reason")
        self.message["stop_sequence"] = event["delta"].get("stop_sequence")
        self.message["usage"].update({name: n for name, n in event["usage"].items() if n is not None})
        calls = [block for block in self.message["content"] if block["type"] == "tool_use"]
        if calls and self.message["stop_reason"] == "end_turn":
            yield "a turn with a tool call does not end by end_turn: the call would stay unanswered"

    def _message_stop(self, _event: Event) -> Iterator[str]:
        self._state = "over"
        yield from ()


def client_of(content: bytes, content_type: str) -> anthropic.Anthropic:
    """The SDK's real client, which gets this response to every request, without a network."""

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    return anthropic.Anthropic(
        api_key="none",
        base_url="http://answer.invalid",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )


def message_read_by_the_sdk(content: bytes, message: dict[str, Any]) -> Iterator[Finding]:
    """Reads a message with the SDK's real client."""
    client = client_of(content, "application/json")
    for api in (client.messages, client.beta.messages):
        try:
            read = api.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
        except Exception as error:  # noqa: BLE001 - whatever the client dies of is the finding.
            yield Finding("client", "message", f"died of {error!r}")
            continue
        for name, theirs, ours in compared(read.model_dump(mode="json", exclude_none=True), message):
            yield Finding("client", name, f"the client has {theirs!r}, the body says {ours!r}")


def read_by_the_sdk(content: bytes, protocol: Protocol) -> Iterator[Finding]:
    """Reads the stream with the SDK's real client and its accumulating helper."""
    client = client_of(content, "text/event-stream")
    for api in (client.messages, client.beta.messages):
        try:
            with api.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]) as stream:
                message = stream.get_final_message().model_dump(mode="json", exclude_none=True)
        except anthropic.APIStatusError as error:
            if protocol.error is None:
                yield Finding("client", "end", f"raised {error!r}")
        except Exception as error:  # noqa: BLE001 - whatever the client dies of is the finding.
            yield Finding("client", "end", f"died of {error!r}")
        else:
            if protocol.error is not None:
                yield Finding("client", "end", "did not notice the error")
                continue
            for name, theirs, ours in compared(message, protocol.message):
                yield Finding("client", name, f"the client has {theirs!r}, the events say {ours!r}")


def compared(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The differences of two messages in members that a client uses."""
    for name in ("id", "role", "model", "stop_reason", "stop_sequence"):
        if theirs.get(name) != ours.get(name):
            yield name, theirs.get(name), ours.get(name)
    for name in USAGE:
        if theirs["usage"].get(name) != ours["usage"].get(name):
            yield f"usage.{name}", theirs["usage"].get(name), ours["usage"].get(name)
    told = ("type", "text", "thinking", "signature", "data", "id", "name", "input")
    pick = [
        [{name: block.get(name) for name in told} | {"citations": cited(block)} for block in m["content"]]
        for m in (theirs, ours)
    ]
    if pick[0] != pick[1]:
        yield "content", pick[0], pick[1]


def cited(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The citations of a block without null members, which the SDK leaves out."""
    citations = block.get("citations") or []
    return [{name: value for name, value in citation.items() if value is not None} for citation in citations]


# --- the self-test ------------------------------------------------------------------------------


def good_stream() -> list[Event]:
    """A stream with every kind of block that Spillway emits."""

    def start(index: int, block: dict[str, Any]) -> Event:
        return {"type": "content_block_start", "index": index, "content_block": block}

    def delta(index: int, kind: str, **value: str) -> Event:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **value}}

    def stop(index: int) -> Event:
        return {"type": "content_block_stop", "index": index}

    message = {
        "id": "msg_bdrk_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": dict.fromkeys(USAGE, 0),
    }
    return [
        {"type": "ping"},  # 0: the upstream was silent before its first event
        {"type": "message_start", "message": message},  # 1
        start(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="c2ln"),  # 4
        stop(0),
        start(1, {"type": "redacted_thinking", "data": "RXJz"}),
        stop(1),
        start(2, {"type": "text", "text": ""}),  # 8
        delta(2, "text_delta", text="hé"),
        {"type": "ping"},
        delta(2, "text_delta", text="llo"),
        stop(2),
        start(3, {"type": "tool_use", "id": "tooluse_a-1", "name": "Read", "input": {}}),  # 13
        delta(3, "input_json_delta", partial_json='{"path":'),
        delta(3, "input_json_delta", partial_json='"x"}'),  # 15
        stop(3),
        start(4, {"type": "tool_use", "id": "toolu_2", "name": "Now", "input": {}}),
        stop(4),
        {
            "type": "message_delta",  # 19
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": dict(zip(USAGE, (10, 5, 3, 7))),
        },
        {"type": "message_stop"},
    ]


def good_message() -> dict[str, Any]:
    """A message with a citation and a call."""
    place = {"document_index": 0, "document_title": "facts.txt", "start_char_index": 0, "end_char_index": 4, "file_id": None}
    return {
        "id": "msg_bdrk_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [
            {"type": "text", "text": "One.", "citations": [{"type": "char_location", "cited_text": "One.", **place}]},
            {"type": "tool_use", "id": "tooluse_a-1", "name": "Read", "input": {"path": "x"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": dict.fromkeys(USAGE, 1),
    }


def written(events: list[Event]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events
    )


def cases() -> Iterator[Case]:
    def changed(name: str, breaks: str | None, change: Callable[[list[Event]], Any]) -> Case:
        events = copy.deepcopy(good_stream())
        change(events)
        return Case(name, breaks, written(events))

    def failing(name: str, breaks: str | None, kept: int, error: Any) -> Case:
        return Case(name, breaks, written([*good_stream()[:kept], {"type": "error", "error": error}]))

    good = written(good_stream())
    overloaded = {"type": "overloaded_error", "message": "Overloaded"}
    yield Case("as it is", None, good)
    yield Case("with carriage returns", None, good.replace(b"\n", b"\r\n"))
    yield Case("with a comment", None, b": hello\n\n" + good)
    yield failing("ends in an error", None, 10, overloaded)
    yield failing("begins with an error", None, 0, overloaded)

    yield Case("nothing", "frame", b"")
    yield Case("not UTF-8", "frame", b"\xff" + good)
    yield Case("last event not closed", "frame", good[:-1])
    yield Case("data without event", "frame", re.sub(rb"event: .*\n", b"", good))
    yield Case("event without data", "frame", good + b"event: ping\n\n")
    yield Case("another name", "frame", good.replace(b"event: ping", b"event: pong", 1))
    yield Case("data over two lines", "frame", good.replace(b'"type": "ping"}', b'\ndata: "type": "ping"}'))
    yield Case("not JSON", "frame", good.replace(b'{"type": "message_stop"}', b"[DONE]"))

    yield changed("stop reason of Bedrock", "type", lambda e: e[19]["delta"].update(stop_reason="content_filtered"))
    yield changed("no usage", "type", lambda e: e[19].pop("usage"))
    yield changed("usage null", "type", lambda e: e[1]["message"]["usage"].update(input_tokens=None))
    yield changed("tokens as text", "type", lambda e: e[19]["usage"].update(output_tokens="5"))
    yield changed("thinking without signature", "type", lambda e: e[2]["content_block"].pop("signature"))
    yield changed("foreign message id", "type", lambda e: e[1]["message"].update(id="chatcmpl-1"))
    yield changed("foreign tool id", "type", lambda e: e[13]["content_block"].update(id="call:1"))
    yield changed("unknown event", "type", lambda e: e.insert(2, {"type": "metadata", "usage": {}}))
    yield changed("message missing", "type", lambda e: e[1].pop("message"))
    yield failing("foreign error type", "type", 5, {"type": "throttlingException", "message": "slow down"})
    yield failing("error without message", "type", 5, {"type": "api_error"})
    yield failing("error as text", "type", 5, "Overloaded")

    yield changed("no message_stop", "order", lambda e: e.pop())
    yield changed("no message_start", "order", lambda e: e.pop(1))
    yield changed("two message_starts", "order", lambda e: e.insert(1, e[1]))
    yield changed("no message_delta", "order", lambda e: e.pop(19))
    yield changed("two message_deltas", "order", lambda e: e.insert(19, e[19]))
    yield changed("event after the end", "order", lambda e: e.append({"type": "ping"}))
    yield changed("error after the end", "order", lambda e: e.append({"type": "error", "error": overloaded}))
    yield changed("block left open", "order", lambda e: e.pop(5))
    yield changed("last block left open", "order", lambda e: e.pop(18))
    yield changed("block not started", "order", lambda e: e.pop(2))
    yield changed("index skipped", "order", lambda e: e[8].update(index=3))
    yield changed("delta of another block", "order", lambda e: e[9].update(index=0))
    yield changed("stop of another block", "order", lambda e: e[12].update(index=0))
    yield changed("delta of another kind", "order", lambda e: e[9].update(delta={"type": "thinking_delta", "thinking": "x"}))
    yield changed("two signatures", "order", lambda e: e.insert(4, e[4]))
    yield changed("tool starts with input", "order", lambda e: e[13]["content_block"].update(input={"a": 1}))
    yield changed("tool input cut", "order", lambda e: e.pop(15))
    yield changed("tool input no object", "order", lambda e: (e.pop(15), e[14]["delta"].update(partial_json="[]")))
    yield changed("call in an ended turn", "order", lambda e: e[19]["delta"].update(stop_reason="end_turn"))
    yield changed("message with an end", "order", lambda e: e[1]["message"].update(stop_reason="end_turn"))

    def whole(name: str, breaks: str | None, change: Callable[[dict[str, Any]], Any]) -> Case:
        message = copy.deepcopy(good_message())
        change(message)
        return Case(f"whole: {name}", breaks, json.dumps(message).encode())

    yield whole("as it is", None, lambda m: None)
    yield whole("a server's newest members", None, lambda m: m.update(context_management={"applied_edits": []}))
    yield Case("whole: cut", "frame", json.dumps(good_message()).encode()[:-1])
    yield whole("foreign message id", "type", lambda m: m.update(id="chatcmpl-1"))
    yield whole("foreign tool id", "type", lambda m: m["content"][1].update(id="call:1"))
    yield whole("no usage", "type", lambda m: m.pop("usage"))
    yield whole("citation without its place", "type", lambda m: m["content"][0]["citations"][0].pop("end_char_index"))
    yield whole("stop reason of Bedrock", "type", lambda m: m.update(stop_reason="content_filtered"))
    yield whole("no stop reason", "order", lambda m: m.update(stop_reason=None))
    yield whole("call in an ended turn", "order", lambda m: m.update(stop_reason="end_turn"))

    # Valid JSON for Python's lenient parser, invalid for the client's.
    yield changed("half a surrogate pair", "client", lambda e: e[15]["delta"].update(partial_json='"\\ud800"}'))


if __name__ == "__main__":
    sys.exit(run(__doc__, (".sse", ".message"), judge, cases))

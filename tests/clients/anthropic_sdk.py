#!/usr/bin/env python3
"""The official Python SDK against `spillway up --demo`: both upstreams, with and without streaming, and the errors.

  anthropic_sdk.py SPILLWAY

Needs the pinned `anthropic` package (`.ci/tools.sh`). The SDK validates every response and event
strictly against its own models. Retries are counted on the wire.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx2 as httpx

from demo import Demo, as_shown, header
from service import Failed, check, story

CREDENTIAL = "sk-ant-api03-canary-credential-of-the-sdk"
MODEL = "claude-opus-5-5"
READ = {
    "name": "Read",
    "description": "Reads a file.",
    "input_schema": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "lines": {"type": "array", "items": {"type": "integer"}}},
        "required": ["path"],
    },
}
FACTS = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "Twenty days. Thirty nights."},
    "title": "facts.txt",
    "citations": {"enabled": True},
}
CALLED_WITH = {"path": "a \"quoted\" näme.txt", "lines": [1, 2]}
CALL = f"[[tool:Read {json.dumps(CALLED_WITH)}]]"


class Wire:
    """Counts the requests of the SDK, and keeps the bytes of streams."""

    def __init__(self) -> None:
        self.requests = 0
        self.response: httpx.Response | None = None

    def client(self, base_url: str, **options: Any) -> anthropic.Anthropic:
        hooks = {"request": [self._sent], "response": [self._received]}
        return anthropic.Anthropic(
            api_key=CREDENTIAL,
            base_url=base_url,
            timeout=30,
            http_client=httpx.Client(trust_env=False, event_hooks=hooks, timeout=30),
            _strict_response_validation=True,
            **options,
        )

    def _sent(self, _request: httpx.Request) -> None:
        self.requests += 1

    def _received(self, response: httpx.Response) -> None:
        self.response = response

    def came_from(self, leg: str) -> None:
        """Checks the upstream in the response header."""
        upstream = self.response.headers.get("x-spillway-upstream", "") if self.response else ""
        check(upstream.partition(";")[0] == leg, f"x-spillway-upstream says {leg}", upstream)

    def sent(self, count: int, why: str) -> None:
        """Checks the number of requests since the last check."""
        check(self.requests == count, f"the SDK sent {count} request(s): {why}", self.requests)
        self.requests = 0


def body(prompt: str | list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": prompt}], **more}


def good_answers(demo: Demo, leg: str) -> None:
    """Text and a tool loop: as JSON, as raw events, and through the accumulating helper."""
    wire = Wire()
    client = wire.client(demo.base_url)

    print(f"  {leg}: a whole message", flush=True)
    message = client.messages.create(**body("canary-heron, whole"))
    check(message.type == "message" and message.content[0].type == "text", "it is a Message with text")
    check(message.stop_reason == "end_turn", "the turn ended", message.stop_reason)
    check(message.usage.input_tokens > 0 and message.usage.output_tokens > 0, "it says its usage", message.usage)
    check(message.model == MODEL, "it names the model that was asked for", message.model)
    check(message._request_id, "it has a request id")
    wire.came_from(leg)

    print(f"  {leg}: raw events", flush=True)
    kinds = []
    for event in client.messages.create(**body("canary-heron, in events"), stream=True):
        check_typed(event)
        kinds.append(event.type)
    check(kinds[0] == "message_start" and kinds[-1] == "message_stop", "every event is typed, first to last")
    check(kinds.count("content_block_delta") > 0, "text came in deltas")
    wire.came_from(leg)

    print(f"  {leg}: the accumulating helper", flush=True)
    with client.messages.stream(**body("canary-heron, accumulated")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    check(text and text == final.content[0].text, "the text is the sum of its deltas")
    check(final.usage.input_tokens > 0 and final.usage.output_tokens > 0, "the final usage is there", final.usage)
    wire.came_from(leg)

    print(f"  {leg}: a tool loop", flush=True)
    with client.messages.stream(**body(CALL, tools=[READ])) as stream:
        pieces = "".join(event.partial_json for event in stream if event.type == "input_json")
        final = stream.get_final_message()
    call = next((block for block in final.content if block.type == "tool_use"), None)
    check(final.stop_reason == "tool_use" and call, "it calls the tool", final.content)
    check(json.loads(pieces) == CALLED_WITH == call.input, "the input is the sum of its JSON pieces", call.input)
    answer = {"type": "tool_result", "tool_use_id": call.id, "content": "line one"}
    conversation = body(CALL, tools=[READ])
    conversation["messages"] += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in final.content]},
        {"role": "user", "content": [answer]},
    ]
    for block in conversation["messages"][1]["content"]:
        # The streaming helper adds members to the blocks, which a request must not have.
        block.pop("parsed_output", None)
    message = client.messages.create(**conversation)
    check(message.stop_reason == "end_turn", "with the result it goes on to an end", message.stop_reason)
    wire.came_from(leg)

    whole = client.messages.create(**body(CALL, tools=[READ]))
    calls = [block.input for block in whole.content if block.type == "tool_use"]
    check(calls == [CALLED_WITH], "without streaming the input is the same", calls)

    print(f"  {leg}: citations in a stream", flush=True)
    asked = body([FACTS, {"type": "text", "text": "canary-heron, cited"}])
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    check_citations(final, "the streamed message")
    wire.sent(7, "nothing was tried twice")


def check_citations(message: Any, whose: str) -> None:
    """The document is cited under the client's title, with all blanks between sentences."""
    citations = [citation for block in message.content for citation in getattr(block, "citations", None) or []]
    passages = [citation.cited_text for citation in citations]
    check(passages == ["Twenty days. ", "Thirty nights."], f"{whose} has both citations", message.content)
    titles = {citation.document_title for citation in citations}
    check(titles == {"facts.txt"}, "they name the document as the client does", titles)
    text = "".join(block.text for block in message.content if block.type == "text")
    check("Twenty days. Thirty nights." in text, "the sentences are apart", text)


def a_tool_runner(demo: Demo) -> None:
    """A tool loop with a server-side thread: Bedrock has none, so the client resends the conversation."""
    wire = Wire()
    client = wire.client(demo.base_url)

    @anthropic.beta_tool
    def look(place: str) -> str:
        """Looks into a place.

        Args:
            place: Where to look.
        """
        return f"three blue eggs in the {place}"

    print("  bedrock: a tool runner with a thread", flush=True)
    asked = len(demo.bedrock.requests())
    runner = client.beta.messages.tool_runner(tools=[look], **body('[[tool:look {"place":"nest"}]] canary-heron'))
    final = runner.until_done()
    text = "".join(block.text for block in final.content if block.type == "text")
    check("three blue eggs in the nest" in text, "the tool ran, and its result came back", text)
    wire.came_from("bedrock")
    newest = [json.loads(request["body"]) for request in demo.bedrock.requests()[asked:]]
    check(len(newest) == 2, "Bedrock was asked for both turns, and for nothing without its conversation", len(newest))
    roles = [message["role"] for message in newest[-1]["messages"]]
    check(roles == ["user", "assistant", "user"], "the second turn has the whole conversation", roles)
    check("canary-heron" in json.dumps(newest[-1]), "the first prompt among it")

    print("  bedrock: a request that continues a thread", flush=True)
    continued = {
        "model": MODEL,
        "max_tokens": 1024,
        "thread": {"type": "continue", "previous_message_id": "msg_01canary"},
        "messages": [{"role": "user", "content": "canary-heron, and then?"}],
    }
    asked = len(demo.bedrock.requests())
    answer = post(demo, json.dumps(continued).encode())
    check(answer.status_code == 400, "400", answer.status_code)
    error = answer.json()["error"]
    code = (error.get("details") or {}).get("error_code")
    check(error["type"] == "invalid_request_error", "invalid_request_error", error)
    check(code == "thread_unsupported_request", "details.error_code is thread_unsupported_request", error)
    check(len(demo.bedrock.requests()) == asked, "Bedrock was not asked")


def check_typed(event: Any) -> None:
    if not isinstance(event, anthropic.BaseModel):
        raise Failed(f"an event without a type of the SDK: {event!r}")


def for_the_judges(demo: Demo, name: str, prompt: str | list[dict[str, Any]], **more: Any) -> None:
    """Writes the bytes of a stream below SPILLWAY_JUDGE_DIR, for tests/judges/sse.py."""
    if not (folder := os.environ.get("SPILLWAY_JUDGE_DIR")):
        return
    target = Path(folder) / "sse"
    target.mkdir(parents=True, exist_ok=True)
    answer = post(demo, json.dumps(body(prompt, stream=True, **more)).encode())
    (target / f"anthropic_sdk-{name}.sse").write_bytes(answer.content)


def post(demo: Demo, content: bytes) -> httpx.Response:
    """Sends a request without the SDK, which would reject it or hide the response."""
    return httpx.post(
        f"{demo.base_url}/v1/messages",
        content=content,
        headers={"x-api-key": CREDENTIAL, "anthropic-version": "2023-06-01", "content-type": "application/json"},
        timeout=30,
        trust_env=False,
    )


def refused(attempt: Callable[[], Any]) -> anthropic.APIStatusError:
    try:
        result = attempt()
    except anthropic.APIStatusError as error:
        print(f"    saw {type(error).__name__} {error.status_code} {error.type}: {error.message}", flush=True)
        return error
    raise Failed(f"expected an error, got {result!r}")


def envelope(error: anthropic.APIStatusError) -> None:
    """Checks that every error has Anthropic's envelope and a request id."""
    content = error.body if isinstance(error.body, dict) else {}
    whole = content.get("type") == "error" and content.get("error", {}).get("message")
    check(whole, "the body is an Anthropic error", error.body)
    check(error.request_id, "it has a request id")


def errors_of_plan(demo: Demo) -> None:
    """Checks that client errors of Plan are delivered unchanged, with the retry headers."""
    wire = Wire()
    client = wire.client(demo.base_url)
    broken = {"type": "error", "error": {"type": "api_error", "message": "canary-heron"}, "request_id": "req_1"}
    for advice, tries in (({}, 3), ({"x-should-retry": "false"}, 1)):
        print(f"  plan: 500 with {advice or 'no advice'}", flush=True)
        headers = {"content-type": "application/json", "request-id": "req_1", **advice}
        step = {"step": "raw", "status": 500, "headers": headers, "body": json.dumps(broken)}
        demo.plan.script(*[step] * tries)
        error = refused(lambda: client.messages.create(**body("canary-heron")))
        check(isinstance(error, anthropic.InternalServerError), "500: an internal error")
        check(error.body == broken and error.request_id == "req_1", "in Plan's own words", error.body)
        wire.sent(tries, "the SDK's own habit" if tries > 1 else "x-should-retry: false reached it")


def errors_after_the_limit(demo: Demo) -> None:
    """Checks the class of each failure, and that only useful retries are made."""
    wire = Wire()
    client = wire.client(demo.base_url)
    once = client.with_options(max_retries=0)

    print("  an unknown access key", flush=True)
    for key in ("no-key", demo.access_key[:-1] + ("A" if demo.access_key[-1] != "A" else "B")):
        stranger = wire.client(f"{demo.origin}/ak/{key}")
        error = refused(lambda: stranger.messages.create(**body("canary-heron")))
        check(error.status_code in (401, 404), "it is not found, or not authenticated", error.status_code)
        check(error.response.headers.get("x-should-retry") == "false", "the client is told not to retry")
        envelope(error)
        wire.sent(1, "trying again cannot help")

    for step, spillway_class, bedrock_status in (
        ("unauthorized", "bedrock_auth_error", 400),
        ("rate_limit", "bedrock_quota_exceeded", 429),
        ("overloaded", "bedrock_unavailable", 503),
    ):
        print(f"  both legs fail, Bedrock with {spillway_class}", flush=True)
        demo.bedrock.script({"step": step})
        asked = len(demo.plan.requests())
        error = refused(lambda: once.messages.create(**body("canary-heron")))
        # The client gets Plan's response; behind an open breaker there is only Bedrock's.
        expected = 429 if len(demo.plan.requests()) > asked else bedrock_status
        check(error.status_code == expected, f"{expected}", error.status_code)
        seen = error.response.headers.get("x-spillway-error")
        check(seen == spillway_class, f"x-spillway-error says {spillway_class}", seen)
        envelope(error)
        wire.sent(1, "as told")

    print("  the stream breaks", flush=True)
    for step in ("stream_error", "cut"):
        # After the client has a part of the response, so Plan's response can no longer be delivered.
        demo.bedrock.script({"step": step, "after": "first_block"})

        def follow() -> Any:
            with client.messages.stream(**body("canary-heron")) as stream:
                return stream.get_final_message()

        error = refused(follow)
        check(error.status_code == 200, f"{step}: it is told inside the stream", error.status_code)
        check(error.type in ("api_error", "overloaded_error"), "by an Anthropic error type", error.type)
        wire.sent(1, "a stream that began is not repeated")

    print("  a body that is no JSON", flush=True)
    answer = post(demo, b'{"model": "claude-opus-5-5", ')
    check(answer.status_code == 400, "400", answer.status_code)
    check(answer.json()["error"]["type"] == "invalid_request_error", "invalid_request_error", answer.text)

    good = client.messages.create(**body("canary-heron"))
    check(good.stop_reason == "end_turn", "after all that, a good request is answered")


def main() -> None:
    [spillway] = map(Path, sys.argv[1:])
    print(f"anthropic {anthropic.__version__}", flush=True)
    # As many as good_answers() sends; and failures of Plan must not open the breaker.
    with Demo(spillway, 7, "--breaker-failures=10") as demo:
        demo.keep_secret("the client's credential", CREDENTIAL)
        demo.keep_secret("the prompt", "canary-heron")

        good_answers(demo, "plan")
        plan = demo.plan.requests()
        check([request["status"] for request in plan] == [200] * 7, "Plan answered all of it")
        check(not demo.bedrock.requests(), "Bedrock was not asked")
        # Since 2.0 the SDK sends an API key as a bearer.
        credential = header(plan[0], "authorization")
        check(credential == as_shown(f"Bearer {CREDENTIAL}"), "the client's own credential went to Plan")
        errors_of_plan(demo)

        good_answers(demo, "bedrock")
        bedrock = [request["status"] for request in demo.bedrock.requests()]
        check(bedrock == [200] * 7, "Bedrock answered all of it", bedrock)
        a_tool_runner(demo)
        errors_after_the_limit(demo)

        sent = json.dumps(demo.bedrock.requests())
        check(as_shown(f"Bearer {CREDENTIAL}") not in sent, "the client's credential did not go to Bedrock")
        check(demo.access_key not in sent + json.dumps(demo.plan.requests()), "the access key went nowhere")

        for_the_judges(demo, "text", "canary-heron")
        for_the_judges(demo, "tool", CALL, tools=[READ])
        for_the_judges(demo, "citations", [FACTS, {"type": "text", "text": "canary-heron"}])
        demo.bedrock.script({"step": "cut", "after": "first_block"})
        for_the_judges(demo, "cut", "canary-heron")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(story(main))

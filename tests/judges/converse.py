#!/usr/bin/env python3
"""Validates Spillway's requests to Amazon Bedrock against models from other sources than Spillway.

  converse.py FOLDER...     every *.json below is {"operation", "modelId", "body"}
  converse.py --self-test   proves that invalid requests are rejected

`body` is the JSON as it goes over the wire: blobs are base64 text, and for InvokeModel and
InvokeModelWithResponseStream it is the native Anthropic body. The checks:

  json    strict JSON: no duplicate member, no NaN
  model   botocore's model of the operation: botocore's own ParamValidator (unknown members, types,
          required members, minima), and the rest of the model: enums,
          patterns, maxima, unions, strict base64
  wire    botocore's serializer must write the same JSON from the same parameters
  native  the anthropic SDK's request types, for native bodies and for the Anthropic fields in
          Converse's additionalModelRequestFields
  others  documented and known rules of the service beyond its model; one function each below

Needs botocore and anthropic. Exit status: 0 valid, 1 invalid or without input.
"""

import base64
import binascii
import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from pydantic import TypeAdapter, ValidationError

from verdict import Case, Finding, run

CONVERSE = ("Converse", "ConverseStream")
INVOKE = ("InvokeModel", "InvokeModelWithResponseStream")
OPERATIONS = (*CONVERSE, *INVOKE, "CountTokens")

SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
NATIVE = TypeAdapter(MessageCreateParamsNonStreaming)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# Of the version bedrock-2023-05-31; the SDK's types are those of 2026-10-21, which has none of these.
SAMPLING: dict[str, Callable[[Any], bool]] = {
    "temperature": lambda value: is_number(value) and 0 <= value <= 1,
    "top_p": lambda value: is_number(value) and 0 <= value <= 1,
    "top_k": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
}


# --- the file -----------------------------------------------------------------------------------


def judge(content: bytes) -> list[Finding]:
    """The violations of one recorded request."""
    try:
        request = json.loads(content, object_pairs_hook=unique_members, parse_constant=no_constant)
    except ValueError as error:
        return [Finding("json", "$", str(error))]
    if not isinstance(request, dict) or not {"operation", "modelId", "body"} <= request.keys():
        return [Finding("json", "$", "needs the members operation, modelId and body")]
    operation, model_id, body = request["operation"], request["modelId"], request["body"]
    if operation not in OPERATIONS:
        return [Finding("json", "$.operation", f"{operation!r} is none of {', '.join(OPERATIONS)}")]
    if not isinstance(model_id, str) or not isinstance(body, dict):
        return [Finding("json", "$", "modelId must be text and body an object")]
    # The rules require a valid shape, so they run only on bodies that the model accepts.
    findings = list(by_the_model(operation, model_id, body))
    if not findings:
        findings = list(by_the_rules(operation, model_id, body))
    return findings


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate member {next(n for n in names if names.count(n) > 1)!r}")
    return members


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# --- botocore -----------------------------------------------------------------------------------


def by_the_model(operation: str, model_id: str, body: dict) -> Iterator[Finding]:
    """The errors of botocore's validator, and those of its model that the validator does not check."""
    shape = SERVICE.operation_model(operation).input_shape
    if operation in INVOKE:
        members: dict[str, Any] = {"body": base64.b64encode(json.dumps(body).encode()).decode()}
    else:
        members = body
    findings: list[Finding] = []
    parameters = as_parameters({**members, "modelId": model_id}, shape, "$", findings)
    if "modelId" in body and operation not in INVOKE:
        findings.append(Finding("model", "$.modelId", "belongs in the path, not in the body"))
    report = ParamValidator().validate(parameters, shape)
    findings += [Finding("model", "$", line) for line in report.generate_report().splitlines()]
    yield from findings
    if findings:
        return
    serializer = create_serializer("rest-json", include_validation=False)
    sent = json.loads(
        serializer.serialize_to_request(parameters, SERVICE.operation_model(operation))["body"] or b"{}"
    )
    # The order of members is free (it affects the prompt cache); values are not.
    for place, what in differences(body, sent):
        yield Finding("wire", place, f"botocore would write it differently: {what}")


def as_parameters(value: Any, shape: Shape, path: str, findings: list[Finding]) -> Any:
    """Wire JSON as botocore parameters (base64 becomes bytes), with the violations of the model."""

    def broken(what: str) -> None:
        findings.append(Finding("model", path, what))

    if getattr(shape, "is_document_type", False):
        return value
    kind, limits = shape.type_name, shape.metadata
    if kind == "blob":
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            broken(f"not strict base64: {error}")
            return b""
    elif kind == "structure" and isinstance(value, dict):
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            broken(f"a union holds exactly one member, not {sorted(value) or 'none'}")
        for name in [name for name, member in value.items() if member is None]:
            broken(f"{name} is null; an absent member is left out")
        return {
            name: as_parameters(member, shape.members[name], f"{path}.{name}", findings)
            if name in shape.members
            else member
            for name, member in value.items()
        }
    elif kind == "map" and isinstance(value, dict):
        value = {
            as_parameters(name, shape.key, f"{path}.<{name}>", findings): as_parameters(
                member, shape.value, f"{path}.{name}", findings
            )
            for name, member in value.items()
        }
    elif kind == "list" and isinstance(value, list):
        value = [
            as_parameters(member, shape.member, f"{path}[{index}]", findings)
            for index, member in enumerate(value)
        ]
    elif kind == "string" and isinstance(value, str):
        if shape.enum and value not in shape.enum:
            broken(f"{value!r} is none of {', '.join(shape.enum)}")
        if "pattern" in limits and not re.fullmatch(limits["pattern"], value, re.ASCII):
            broken(f"{value[:60]!r} does not match {limits['pattern'][:60]}")
    elif kind in ("integer", "long", "float", "double") and isinstance(value, bool):
        # ParamValidator accepts it, because a bool is an int in Python.
        broken("true and false are no numbers")
    size = value if isinstance(value, (int, float)) else len(value) if hasattr(value, "__len__") else None
    if size is not None and "max" in limits and size > limits["max"]:
        broken(f"{size} is more than the maximum of {limits['max']}")
    return value


def differences(left: Any, right: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """The places where two JSON values differ; 1 and 1.0 are equal, true and 1 are not."""
    if isinstance(left, dict) and isinstance(right, dict):
        for name in left.keys() | right.keys():
            if name not in left or name not in right:
                yield f"{path}.{name}", "present on one side only"
            else:
                yield from differences(left[name], right[name], f"{path}.{name}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right)):
            yield from differences(one, other, f"{path}[{index}]")
    elif isinstance(left, bool) != isinstance(right, bool) or left != right:
        yield path, f"{str(left)[:60]} and {str(right)[:60]}"


# --- the anthropic SDK --------------------------------------------------------------------------


def by_the_sdk(body: dict, path: str) -> Iterator[Finding]:
    """Checks a native body with the SDK's request types; unknown members are violations."""
    body = dict(body)
    for name, is_good in SAMPLING.items():
        if name in body and not is_good(body.pop(name)):
            yield Finding("native", f"{path}.{name}", "out of its range")
    try:
        accepted = exhaust(NATIVE.validate_python(body))
    except ValidationError as error:
        for problem in error.errors()[:5]:
            place = ".".join(str(step) for step in problem["loc"])
            yield Finding("native", f"{path}.{place}", problem["msg"])
        return
    for place, what in differences(body, accepted, path):
        # The schema of a tool is free; the SDK's type keeps only the members that it names.
        if not re.search(r"\.input_schema\.", place):
            yield Finding("native", place, f"not known to the SDK's types: {what}")


def exhaust(value: Any) -> Any:
    """The SDK types its lists as iterables, which pydantic validates only while they are read."""
    if isinstance(value, dict):
        return {name: exhaust(member) for name, member in value.items()}
    if value is None or isinstance(value, (str, bytes, bool, int, float)):
        return value
    members = [exhaust(member) for member in value]
    # A dict inside such an iterable becomes its pairs.
    if members and all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in members):
        return dict(members)
    return members


# --- what the service enforces beyond its model ---------------------------------------------------


class Family(NamedTuple):
    """The capabilities of a family of models. The first pattern in the model id applies."""

    pattern: str
    max_output: int
    thinking: frozenset[str]
    efforts: frozenset[str]
    sampling: bool = True
    """temperature, top_p and top_k are accepted."""
    prefill: bool = True
    """The conversation may end with an assistant message."""
    system_role: bool = False
    """`role: system` is accepted inside the conversation."""
    forced_tool: bool = True
    """A tool may be forced, at least without thinking."""
    quiet_efforts: frozenset[str] | None = None
    """The levels of effort without thinking; None for all of `efforts`."""


BUDGET = frozenset({"enabled"})
ADAPTIVE = frozenset({"adaptive", "disabled"})
ALWAYS = frozenset({"adaptive", "between_tools"})
TO_HIGH = frozenset({"low", "medium", "high"})
TO_MAX = TO_HIGH | {"xhigh", "max"}
# Bedrock user guide, the pages of the Claude models and of adaptive thinking; platform.claude.com,
# "Effort" and "Extended thinking"; the public model map of BerriAI/litellm.
FAMILIES = (
    Family(r"claude-(sonnet|haiku)-4-5", 64_000, BUDGET, frozenset()),
    Family(r"claude-opus-4-5", 64_000, BUDGET, TO_HIGH),
    Family(r"claude-sonnet-4-6", 64_000, BUDGET | {"adaptive"}, TO_HIGH | {"max"}, prefill=False),
    Family(r"claude-opus-4-6", 128_000, BUDGET | {"adaptive"}, TO_HIGH | {"max"}, prefill=False),
    Family(r"claude-opus-4-7", 128_000, ADAPTIVE, TO_MAX, sampling=False, prefill=False),
    Family(r"claude-(opus-5-5|fable)", 128_000, ALWAYS, TO_MAX, False, False, True, forced_tool=False),
    Family(r"claude-sonnet-5-5", 128_000, ALWAYS, TO_MAX, False, False, True, False, TO_HIGH),
    Family(r"claude-(opus-5|haiku-5-5)", 128_000, ADAPTIVE, TO_MAX, False, False, True, True, TO_HIGH),
    Family(r"claude-(opus-4-8|sonnet-5|haiku-5)", 128_000, ADAPTIVE, TO_MAX, False, False, True),
)

# One unknown value of anthropic_beta invalidates the whole request ("invalid beta flag"). Sources: the
# allow-list of envoyproxy/ai-gateway (internal/translator), anthropic_beta_headers_config.json of
# BerriAI/litellm, and the betas of Claude Code's own Bedrock mode.
CONVERSE_BETAS = {
    "claude-code-20250219",
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "structured-outputs-2025-11-13",
    "structured-outputs-2025-12-15",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
}
INVOKE_BETAS = CONVERSE_BETAS | {
    "compact-2026-01-12",
    "mid-conversation-output-config-2026-07-01",
    "mid-conversation-tool-changes-2026-07-01",
    "model-context-window-exceeded-2025-08-26",
    "search-results-2025-06-09",
    "thinking-token-count-2026-05-13",
    "tool-search-tool-2025-10-19",
}
# Members of a native body; any other is "Extra inputs are not permitted" (BerriAI/litellm, Bedrock
# invoke transformation).
INVOKE_MEMBERS = {
    "anthropic_beta",
    "anthropic_version",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "output_config",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
}
# Anthropic fields without a member in Converse, which passes them to the model's validator.
ADDITIONAL_MEMBERS = {
    "anthropic_beta",
    "context_management",
    "output_config",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
}
BILLING_MARK = "x-anthropic-billing-header"
GEOGRAPHY = re.compile(r"(global|us|eu|apac|jp|au|us-gov)\.")


def by_the_rules(operation: str, model_id: str, body: dict) -> Iterator[Finding]:
    """The rules beyond botocore's model, for a body that the model accepts."""
    family = next((row for row in FAMILIES if re.search(row.pattern, model_id)), None)
    if operation in CONVERSE:
        yield from converse_rules(body, family, "$")
    elif operation in INVOKE:
        yield from native_rules(body, family, "$")
    else:
        if GEOGRAPHY.match(model_id) or "inference-profile" in model_id:
            yield Finding("count", "$.modelId", "CountTokens takes no inference profile")
        [(kind, counted)] = body["input"].items()
        if kind == "converse":
            yield from converse_rules(counted, family, "$.input.converse")
        else:
            path = "$.input.invokeModel.body"
            try:
                native = json.loads(base64.b64decode(counted["body"]))
            except ValueError as error:
                yield Finding("json", path, str(error))
                return
            yield from native_rules(native, family, path)


def converse_rules(body: dict, family: Family | None, path: str) -> Iterator[Finding]:
    for rule in (conversation, text, cache_points, tools, media, reasoning):
        for found in rule(body):
            yield found._replace(where=found.where.replace("$", path, 1))
    for found in additional_fields(body, family):
        yield found._replace(where=found.where.replace("$", path, 1))
    if family:
        additional = body.get("additionalModelRequestFields") or {}
        inference = body.get("inferenceConfig") or {}
        yield from family_rules(
            family,
            path,
            roles=[message["role"] for message in body.get("messages", [])],
            max_output=inference.get("maxTokens"),
            thinking=additional.get("thinking"),
            effort=(additional.get("output_config") or body.get("outputConfig") or {}).get("effort"),
            forced=bool(body.get("toolConfig", {}).get("toolChoice", {}).keys() & {"any", "tool"}),
            sampled=[name for name in ("temperature", "topP") if name in inference]
            + [name for name in ("top_k",) if name in additional],
        )


def conversation(body: dict) -> Iterator[Finding]:
    """Turns alternate, begin with the user, and have content."""
    previous = "assistant"
    for index, message in enumerate(body.get("messages", [])):
        place = f"$.messages[{index}]"
        if message["role"] != "system":
            if message["role"] == previous:
                yield Finding("turns", place, f"{previous} speaks twice" if index else "the user begins")
            previous = message["role"]
        if all("cachePoint" in block for block in message["content"]):
            yield Finding("turns", place, "says nothing")
    if not body.get("messages"):
        yield Finding("turns", "$.messages", "no message")


def text(body: dict) -> Iterator[Finding]:
    """No text is blank, and none begins with the billing header that the service reserves."""
    for place, block in blocks(body):
        if "text" in block and not block["text"].strip():
            yield Finding("blank", place, "text must not be blank")
    for index, block in enumerate(body.get("system", [])):
        if block.get("text", "").startswith(BILLING_MARK):
            yield Finding("billing", f"$.system[{index}]", f"{BILLING_MARK} is a reserved keyword")


def blocks(body: dict) -> Iterator[tuple[str, dict]]:
    """Every content block with its place: system, messages, and inside tool results."""
    for index, block in enumerate(body.get("system", [])):
        yield f"$.system[{index}]", block
    for turn, message in enumerate(body.get("messages", [])):
        for index, block in enumerate(message["content"]):
            place = f"$.messages[{turn}].content[{index}]"
            yield place, block
            for inner, part in enumerate(block.get("toolResult", {}).get("content", [])):
                yield f"{place}.toolResult.content[{inner}]", part


def cache_points(body: dict) -> Iterator[Finding]:
    """At most four; none has a longer time to live than an earlier one; each follows a cacheable block."""
    # In the order in which the prompt is rendered.
    lists = [("$.toolConfig.tools", body.get("toolConfig", {}).get("tools", []))]
    lists.append(("$.system", body.get("system", [])))
    for turn, message in enumerate(body.get("messages", [])):
        lists.append((f"$.messages[{turn}].content", message["content"]))
    points = 0
    short_lived = None
    for path, members in lists:
        for index, member in enumerate(members):
            if "cachePoint" not in member:
                continue
            place = f"{path}[{index}]"
            points += 1
            if points > 4:
                yield Finding("cache-count", place, f"cache point number {points}")
            if member["cachePoint"].get("ttl", "5m") == "5m":
                short_lived = short_lived or place
            elif short_lived:
                yield Finding("cache-life", place, f"1h after the 5m of {short_lived}")
            before = members[index - 1] if index else {}
            if not before or "cachePoint" in before or "reasoningContent" in before:
                yield Finding("cache-place", place, f"directly after {next(iter(before), 'nothing')}")


def tools(body: dict) -> Iterator[Finding]:
    """Each call has its result in the next turn, before other content; tools are declared."""
    config = body.get("toolConfig", {})
    names = [tool["toolSpec"]["name"] for tool in config.get("tools", []) if "toolSpec" in tool]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Finding("tool-names", "$.toolConfig.tools", f"{name} is declared twice")
    chosen = config.get("toolChoice", {}).get("tool", {}).get("name")
    if chosen is not None and chosen not in names:
        yield Finding("tool-names", "$.toolConfig.toolChoice", f"{chosen} is not declared")
    if config and not config.get("tools"):
        yield Finding("tool-names", "$.toolConfig", "declares no tool")

    open_calls: list[str] = []
    used = False
    messages = body.get("messages", [])
    for turn, message in enumerate(messages):
        place = f"$.messages[{turn}]"
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        calls = [call["toolUseId"] for call in calls if call.get("type") != "server_tool_use"]
        results = [block["toolResult"] for block in message["content"] if "toolResult" in block]
        answered = [result["toolUseId"] for result in results if result.get("type") is None]
        used = used or bool(calls or answered)
        if calls and message["role"] != "assistant" or answered and message["role"] != "user":
            yield Finding("tool-pairs", place, f"not for the role {message['role']}")
        if sorted(answered) != sorted(open_calls):
            yield Finding("tool-pairs", place, f"calls {open_calls} are answered by {answered}")
        if len(set(calls)) != len(calls):
            yield Finding("tool-pairs", place, f"one id for two calls: {calls}")
        kinds = ["toolResult" in block for block in message["content"] if "cachePoint" not in block]
        if kinds != sorted(kinds, reverse=True):
            yield Finding("tool-pairs", place, "tool results come before everything else")
        open_calls = calls
    if open_calls:
        yield Finding("tool-pairs", f"$.messages[{len(messages) - 1}]", f"{open_calls} stay unanswered")
    if used and not names:
        yield Finding("tool-names", "$.toolConfig", "the conversation has tool blocks, no tool is declared")


DOCUMENT_NAME = re.compile(r"[A-Za-z0-9()\[\]_-]+( [A-Za-z0-9()\[\]_-]+)*")


def media(body: dict) -> Iterator[Finding]:
    """Images and documents are in user turns; documents have unique plain names and accompanying text."""
    seen: set[str] = set()
    for place, block in blocks(body):
        document = block.get("document")
        if document is None:
            continue
        name = document["name"]
        if not DOCUMENT_NAME.fullmatch(name):
            yield Finding("documents", place, f"the name {name!r} has characters that are refused")
        if name in seen:
            yield Finding("documents", place, f"the name {name!r} is used twice")
        seen.add(name)
        if "bytes" in document["source"] and "format" not in document:
            yield Finding("documents", place, "bytes without a format")
    for turn, message in enumerate(body.get("messages", [])):
        place = f"$.messages[{turn}]"
        kinds = {kind for block in message["content"] for kind in block}
        if message["role"] != "user" and kinds & {"image", "document", "video", "audio"}:
            yield Finding("media", place, f"media from the {message['role']}")
        if "document" in kinds and "text" not in kinds:
            yield Finding("documents", place, "a document without text beside it")


def reasoning(body: dict) -> Iterator[Finding]:
    """Thinking is in assistant turns and signed; redacted thinking is ASCII data."""
    for turn, message in enumerate(body.get("messages", [])):
        for index, block in enumerate(message["content"]):
            content = block.get("reasoningContent")
            if content is None:
                continue
            place = f"$.messages[{turn}].content[{index}]"
            if message["role"] != "assistant":
                yield Finding("reasoning", place, f"thinking of the {message['role']}")
            if "reasoningText" in content and not content["reasoningText"].get("signature", "").strip():
                yield Finding("reasoning", place, "thinking without a signature")
            if "redactedContent" in content:
                data = base64.b64decode(content["redactedContent"])
                if not data.strip() or not data.isascii():
                    yield Finding("reasoning", place, "redacted thinking is the text of its `data`")


def additional_fields(body: dict, family: Family | None) -> Iterator[Finding]:
    """additionalModelRequestFields: only fields without a member in Converse, of Anthropic's types."""
    path = "$.additionalModelRequestFields"
    fields = body.get("additionalModelRequestFields")
    if fields is None:
        return
    if not isinstance(fields, dict):
        yield Finding("additional", path, "must be an object")
        return
    for name in sorted(fields.keys() - ADDITIONAL_MEMBERS):
        yield Finding("additional", f"{path}.{name}", "extra inputs are not permitted")
    yield from betas(fields.get("anthropic_beta", []), CONVERSE_BETAS, path)
    tool_choice = fields.get("tool_choice")
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if isinstance(tool_choice, dict) and "type" in tool_choice and choice:
        yield Finding("additional", f"{path}.tool_choice.type", "conflicts with toolConfig.toolChoice")
    typed = {name: fields[name] for name in ADDITIONAL_MEMBERS - {"anthropic_beta"} if name in fields}
    if isinstance(tool_choice, dict):
        # With toolConfig.toolChoice only the other members of a tool choice are sent.
        typed["tool_choice"] = {"type": "auto", **tool_choice}
    yield from by_the_sdk({"model": "claude", "max_tokens": 1, "messages": [], **typed}, path)
    inference = body.get("inferenceConfig", {})
    yield from thinking_rules(
        fields.get("thinking"),
        path,
        max_output=inference.get("maxTokens"),
        forced="any" in choice or "tool" in choice,
        heated=inference.get("temperature", 1) != 1 or inference.get("topP", 1) < 0.95 or "top_k" in fields,
        interleaved="interleaved-thinking-2025-05-14" in fields.get("anthropic_beta", []),
    )


def native_rules(body: dict, family: Family | None, path: str) -> Iterator[Finding]:
    """The rules of InvokeModel for a native Anthropic body."""
    for name in sorted(body.keys() - INVOKE_MEMBERS):
        yield Finding("additional", f"{path}.{name}", "extra inputs are not permitted")
    if body.get("anthropic_version") != "bedrock-2023-05-31":
        yield Finding("version", f"{path}.anthropic_version", "must be bedrock-2023-05-31")
    if "max_tokens" not in body:
        yield Finding("native", f"{path}.max_tokens", "is required")
    yield from betas(body.get("anthropic_beta", []), INVOKE_BETAS, path)
    typed = {name: value for name, value in body.items() if not name.startswith("anthropic_")}
    broken = list(by_the_sdk({"model": "claude", **typed}, path))
    yield from broken
    if broken:
        return
    system = body.get("system", "")
    parts = [system] if isinstance(system, str) else [block["text"] for block in system]
    for index, part in enumerate(parts):
        if part.startswith(BILLING_MARK):
            yield Finding("billing", f"{path}.system[{index}]", f"{BILLING_MARK} is a reserved keyword")
    yield from native_conversation(body["messages"], path)
    marks = sum(1 for name, _ in members(body) if name == "cache_control")
    if marks > 4:
        yield Finding("cache-count", path, f"{marks} cache marks")
    for name, value in members(body):
        if name == "cache_control" and value and value.keys() - {"type", "ttl"}:
            yield Finding("additional", path, f"cache_control has {sorted(value)}")
        if name == "source" and isinstance(value, dict) and value.get("type") in ("url", "file"):
            yield Finding("media", path, f"{value['type']} sources are not available")
    choice = body.get("tool_choice", {}).get("type")
    yield from thinking_rules(
        body.get("thinking"),
        path,
        max_output=body.get("max_tokens"),
        forced=choice in ("any", "tool"),
        heated=body.get("temperature", 1) != 1 or body.get("top_p", 1) < 0.95 or "top_k" in body,
        interleaved="interleaved-thinking-2025-05-14" in body.get("anthropic_beta", []),
    )
    if family:
        yield from family_rules(
            family,
            path,
            roles=[message["role"] for message in body["messages"]],
            max_output=body.get("max_tokens"),
            thinking=body.get("thinking"),
            effort=(body.get("output_config") or {}).get("effort"),
            forced=choice in ("any", "tool"),
            sampled=[name for name in ("temperature", "top_p", "top_k") if name in body],
        )


def native_conversation(messages: list[dict], path: str) -> Iterator[Finding]:
    """Native turns may repeat a role, as the service joins them; other rules are those of Converse."""
    if not messages or messages[0]["role"] != "user":
        yield Finding("turns", f"{path}.messages", "the user begins")
    open_calls: set[str] = set()
    for turn, message in enumerate(messages):
        place = f"{path}.messages[{turn}]"
        content = message["content"]
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in content:
            if block["type"] == "text" and not block["text"].strip():
                yield Finding("blank", place, "text must not be blank")
            if block["type"] == "thinking" and not block["signature"].strip():
                yield Finding("reasoning", place, "thinking without a signature")
        answered = {block["tool_use_id"] for block in content if block["type"] == "tool_result"}
        if message["role"] == "user" and answered != open_calls:
            yield Finding("tool-pairs", place, f"calls {open_calls} are answered by {answered}")
        if message["role"] != "system":
            open_calls = {block["id"] for block in content if block["type"] == "tool_use"}
    if open_calls:
        yield Finding("tool-pairs", f"{path}.messages", f"{open_calls} stay unanswered")


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object, at any depth, but not inside tool inputs and schemas."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            if name not in ("input", "input_schema"):
                yield from members(member)
    elif isinstance(value, list):
        for member in value:
            yield from members(member)


def betas(values: Any, known: set[str], path: str) -> Iterator[Finding]:
    if not isinstance(values, list):
        yield Finding("beta", f"{path}.anthropic_beta", "must be a list")
        return
    for value in values:
        if value not in known:
            yield Finding("beta", f"{path}.anthropic_beta", f"invalid beta flag {value!r}")


def thinking_rules(
    thinking: dict | None,
    path: str,
    *,
    max_output: int | None,
    forced: bool,
    heated: bool,
    interleaved: bool,
) -> Iterator[Finding]:
    """Thinking has a budget below the output, and excludes forced tools and changed sampling."""
    kind = (thinking or {}).get("type")
    if kind not in ("enabled", "adaptive", "between_tools"):
        return
    if kind == "enabled":
        budget = thinking.get("budget_tokens", 0)
        # With interleaved thinking the budget spans all thinking of a turn and may exceed the output.
        ceiling = float("inf") if interleaved or max_output is None else max_output
        if not 1024 <= budget < ceiling:
            yield Finding("thinking", f"{path}.thinking", f"budget {budget} is not in 1024..{max_output}")
    if forced:
        yield Finding("thinking", f"{path}.thinking", "excludes a forced tool")
    if heated:
        yield Finding("thinking", f"{path}.thinking", "excludes temperature, top_p below 0.95 and top_k")


def family_rules(
    family: Family,
    path: str,
    *,
    roles: list[str],
    max_output: int | None,
    thinking: dict | None,
    effort: str | None,
    forced: bool,
    sampled: list[str],
) -> Iterator[Finding]:
    """The rules of this family of models."""
    if max_output is not None and max_output > family.max_output:
        yield Finding("family", path, f"{max_output} output tokens, at most {family.max_output}")
    if thinking is not None and thinking.get("type") not in family.thinking:
        yield Finding("family", path, f"thinking {thinking.get('type')} is refused")
    if effort is not None and effort not in family.efforts:
        yield Finding("family", path, f"effort {effort} is refused")
    off = thinking is not None and thinking.get("type") in {"disabled", "between_tools"}
    if off and effort is not None and family.quiet_efforts is not None and effort not in family.quiet_efforts:
        yield Finding("family", path, f"effort {effort} is refused while thinking is off")
    if forced and not family.forced_tool:
        yield Finding("family", path, "a forced tool is refused: this model always thinks")
    if sampled and not family.sampling:
        yield Finding("family", path, f"{', '.join(sampled)} refused")
    if {"temperature", "topP"} <= set(sampled) or {"temperature", "top_p"} <= set(sampled):
        yield Finding("family", path, "temperature and top_p cannot both be given")
    if not family.prefill and roles and roles[-1] == "assistant":
        yield Finding("family", path, "the conversation must end with a user message")
    if not family.system_role and "system" in roles:
        yield Finding("family", path, "the role system is refused inside the conversation")


# --- the self-test ------------------------------------------------------------------------------

SONNET_4_5 = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_4_6 = "us.anthropic.claude-opus-4-6-v1"
SONNET_5 = "global.anthropic.claude-sonnet-5"
OPUS_5 = "global.anthropic.claude-opus-5"
OPUS_5_5 = "global.anthropic.claude-opus-5-5"
PIXEL = base64.b64encode(b"\x89PNG").decode()


def good_converse() -> dict:
    """A conversation that uses every kind of block Spillway sends."""
    return {
        "messages": [
            {"role": "user", "content": [{"text": "look"}, {"cachePoint": {"type": "default", "ttl": "5m"}}]},
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                    {"reasoningContent": {"redactedContent": base64.b64encode(b"RXJz").decode()}},
                    {"toolUse": {"toolUseId": "toolu_1", "name": "Read", "input": {"z": [None, 1.5], "a": {}}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "toolu_1",
                            "content": [
                                {"text": "bytes"},
                                {"image": {"format": "png", "source": {"bytes": PIXEL}}},
                            ],
                            "status": "success",
                        }
                    },
                    {"document": {"format": "pdf", "name": "document-1", "source": {"bytes": PIXEL}}},
                    {"text": "go on"},
                ],
            },
        ],
        "system": [{"text": "be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "inferenceConfig": {"maxTokens": 8192, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "Read", "description": "reads", "inputSchema": {"json": {"type": "object"}}}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
            ],
            "toolChoice": {"auto": {}},
        },
        "additionalModelRequestFields": {
            "thinking": {"type": "enabled", "budget_tokens": 4096},
            "tool_choice": {"disable_parallel_tool_use": True},
            "anthropic_beta": ["interleaved-thinking-2025-05-14"],
        },
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "requestMetadata": {"spillway_user": "dana@example.com"},
    }


def good_native() -> dict:
    """A similar conversation as a native body."""
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["tool-search-tool-2025-10-19"],
        "max_tokens": 8192,
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tools": [
            {"name": "Read", "input_schema": {"$schema": "s", "type": "object", "properties": {"cache_control": {}}}}
        ],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "messages": [
            {"role": "user", "content": "look"},
            {"role": "system", "content": "mind the gap"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"url": "u"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "bytes"}]},
        ],
    }


def cases() -> Iterator[Case]:
    def request(operation: str, model_id: str, body: Any) -> bytes:
        return json.dumps({"operation": operation, "modelId": model_id, "body": body}).encode()

    def converse(name: str, breaks: str | None, change: Callable[[dict], Any], model_id: str = SONNET_4_5) -> Case:
        body = copy.deepcopy(good_converse())
        change(body)
        return Case(f"converse {name}", breaks, request("ConverseStream", model_id, body))

    def native(name: str, breaks: str | None, change: Callable[[dict], Any], model_id: str = OPUS_5_5) -> Case:
        body = copy.deepcopy(good_native())
        change(body)
        return Case(f"native {name}", breaks, request("InvokeModel", model_id, body))

    def additional(body: dict) -> dict:
        return body["additionalModelRequestFields"]

    def first_result(body: dict) -> dict:
        return body["messages"][2]["content"][0]["toolResult"]

    def first_tool(body: dict) -> dict:
        return body["toolConfig"]["tools"][0]["toolSpec"]

    def source(body: dict) -> dict:
        return first_result(body)["content"][1]["image"]["source"]

    point = {"cachePoint": {"type": "default"}}
    long_point = {"cachePoint": {"type": "default", "ttl": "1h"}}

    yield Case("not JSON", "json", b"{")
    yield Case("a member twice", "json", b'{"operation":"Converse","modelId":"m","body":{"a":1,"a":2}}')
    yield Case("NaN", "json", b'{"operation":"Converse","modelId":"m","body":{"a":NaN}}')
    yield Case("another operation", "json", request("Retrieve", SONNET_4_5, {}))
    yield Case("no body", "json", b'{"operation":"Converse","modelId":"m"}')

    yield converse("as it is", None, lambda b: None)
    yield converse("for an unknown model", None, lambda b: None, "anthropic.claude-next-9")
    yield converse("unknown member", "model", lambda b: b.update(stream=True))
    yield converse("model in the body", "model", lambda b: b.update(modelId=SONNET_4_5))
    yield converse("bad model id", "model", lambda b: None, "claude sonnet")
    yield converse("null", "model", lambda b: b["inferenceConfig"].update(temperature=None))
    yield converse("number as text", "model", lambda b: b["inferenceConfig"].update(maxTokens="1"))
    yield converse("below the minimum", "model", lambda b: b["inferenceConfig"].update(maxTokens=0))
    yield converse("above the maximum", "model", lambda b: b["inferenceConfig"].update(temperature=1.5))
    yield converse("too many paths", "model", lambda b: b.update(additionalModelResponseFieldPaths=["/x"] * 11))
    yield converse("two in one union", "model", lambda b: b["messages"][0]["content"][0].update(point))
    yield converse("none in a union", "model", lambda b: b["messages"][0]["content"].append({}))
    yield converse("enum", "model", lambda b: first_result(b).update(status="failed"))
    yield converse("pattern", "model", lambda b: first_tool(b).update(name="a b"))
    yield converse("too long", "model", lambda b: first_tool(b).update(name="a" * 65))
    yield converse("too short", "model", lambda b: first_tool(b).update(description=""))
    yield converse("metadata pattern", "model", lambda b: b["requestMetadata"].update(user='{"a"}'))
    yield converse("metadata key pattern", "model", lambda b: b["requestMetadata"].update({"{": "a"}))
    yield converse("cache point in a tool result", "model", lambda b: first_result(b)["content"].append(point))
    yield converse("deferred tool", "model", lambda b: first_tool(b).update(defer_loading=True))
    yield converse("data URL", "model", lambda b: source(b).update(bytes=f"data:image/png;base64,{PIXEL}"))
    yield converse("base64 with a line break", "model", lambda b: source(b).update(bytes=f"{PIXEL}\n"))
    yield converse("base64 unpadded", "model", lambda b: source(b).update(bytes="aGk"))
    yield converse("loose base64", "wire", lambda b: source(b).update(bytes="aGl="))
    yield converse("true for one", "model", lambda b: b["inferenceConfig"].update(maxTokens=True))

    yield converse("no message", "turns", lambda b: b.update(messages=[]))
    yield converse("assistant begins", "turns", lambda b: b["messages"].pop(0))
    yield converse("user twice", "turns", lambda b: b["messages"].append({"role": "user", "content": [{"text": "x"}]}))
    yield converse("only a cache point", "turns", lambda b: b["messages"][0].update(content=[point]))
    yield converse("blank text", "blank", lambda b: b["messages"][0]["content"].insert(0, {"text": " \n"}))
    yield converse("blank system", "blank", lambda b: b["system"].insert(0, {"text": " "}))
    yield converse("blank result", "blank", lambda b: first_result(b).update(content=[{"text": " "}]))
    yield converse("billing line", "billing", lambda b: b["system"].insert(0, {"text": f"{BILLING_MARK}: x"}))
    yield converse(
        "five cache points",
        "cache-count",
        lambda b: b["messages"][2]["content"].extend([point, {"text": "x"}, point]),
    )
    yield converse("1h after 5m", "cache-life", lambda b: b["messages"][2]["content"].append(long_point))
    yield converse("cache point first", "cache-place", lambda b: b["messages"][0]["content"].insert(0, point))
    yield converse("cache point after thinking", "cache-place", lambda b: b["messages"][1]["content"].insert(1, point))
    yield converse("two cache points", "cache-place", lambda b: b["system"].append(point))
    yield converse("unanswered call", "tool-pairs", lambda b: b["messages"].pop())
    yield converse("answer missing", "tool-pairs", lambda b: b["messages"][2]["content"].pop(0))
    yield converse("answer of no call", "tool-pairs", lambda b: first_result(b).update(toolUseId="toolu_2"))
    yield converse("answer last", "tool-pairs", lambda b: b["messages"][2]["content"].reverse())
    yield converse(
        "one id twice", "tool-pairs", lambda b: b["messages"][1]["content"].append(b["messages"][1]["content"][2])
    )
    yield converse("no tools", "tool-names", lambda b: b.pop("toolConfig"))
    yield converse("tool twice", "tool-names", lambda b: b["toolConfig"]["tools"].insert(0, b["toolConfig"]["tools"][0]))
    yield converse(
        "choice of no tool", "tool-names", lambda b: b["toolConfig"].update(toolChoice={"tool": {"name": "Write"}})
    )
    yield converse(
        "document name", "documents", lambda b: b["messages"][2]["content"][1]["document"].update(name="a.pdf")
    )
    yield converse(
        "document twice", "documents", lambda b: b["messages"][2]["content"].insert(1, b["messages"][2]["content"][1])
    )
    yield converse("document alone", "documents", lambda b: b["messages"][2]["content"].pop())
    yield converse(
        "image from the assistant",
        "media",
        lambda b: b["messages"][1]["content"].insert(0, first_result(b)["content"][1]),
    )
    yield converse(
        "unsigned thinking",
        "reasoning",
        lambda b: b["messages"][1]["content"][0]["reasoningContent"]["reasoningText"].pop("signature"),
    )
    yield converse(
        "redacted thinking decoded once too often",
        "reasoning",
        lambda b: b["messages"][1]["content"][1]["reasoningContent"].update(redactedContent="/////w=="),
    )
    yield converse("Converse's own field", "additional", lambda b: additional(b).update(max_tokens=1))
    yield converse("two tool choices", "additional", lambda b: additional(b)["tool_choice"].update(type="auto"))
    yield converse("mistyped thinking", "native", lambda b: additional(b).update(thinking={"type": "deep"}))
    yield converse("unknown beta", "beta", lambda b: additional(b)["anthropic_beta"].append("oauth-2025-04-20"))
    yield converse("forced tool with thinking", "thinking", lambda b: b["toolConfig"].update(toolChoice={"any": {}}))
    yield converse("temperature with thinking", "thinking", lambda b: b["inferenceConfig"].update(temperature=0))
    yield converse("small budget", "thinking", lambda b: additional(b)["thinking"].update(budget_tokens=1000))
    yield converse(
        "budget above the output",
        "thinking",
        lambda b: (additional(b).pop("anthropic_beta"), b["inferenceConfig"].update(maxTokens=4096)),
    )
    yield converse("too much output", "family", lambda b: b["inferenceConfig"].update(maxTokens=64_001))
    yield converse("adaptive on 4.5", "family", lambda b: additional(b).update(thinking={"type": "adaptive"}))
    yield converse("adaptive on 4.6", None, lambda b: additional(b).update(thinking={"type": "adaptive"}), OPUS_4_6)
    yield converse("budget on 5.5", "family", lambda b: None, OPUS_5_5)
    yield converse("effort on 4.5", "family", lambda b: additional(b).update(output_config={"effort": "low"}))
    yield converse(
        "sampling on 5.5",
        "family",
        lambda b: (additional(b).pop("thinking"), b["inferenceConfig"].update(temperature=1)),
        OPUS_5_5,
    )
    yield converse(
        "temperature and top_p",
        "family",
        lambda b: (additional(b).pop("thinking"), b["inferenceConfig"].update(temperature=1, topP=1)),
    )
    prefill = {"role": "assistant", "content": [{"text": "I"}]}
    yield converse("prefill on 4.5", None, lambda b: b["messages"].append(prefill))
    yield converse("prefill on 4.6", "family", lambda b: b["messages"].append(prefill), OPUS_4_6)
    yield converse(
        "system role on 4.5",
        "family",
        lambda b: b["messages"].append({"role": "system", "content": [{"text": "x"}]}),
    )

    yield native("as it is", None, lambda b: None)
    yield native("member of the API only", "additional", lambda b: b.update(stream=True))
    yield native("model", "additional", lambda b: b.update(model="claude"))
    yield native("version", "version", lambda b: b.update(anthropic_version="2023-06-01"))
    yield native("no output limit", "native", lambda b: b.pop("max_tokens"))
    yield native("unknown block", "native", lambda b: b["messages"][0].update(content=[{"type": "hologram"}]))
    yield native("unknown member of a tool", "native", lambda b: b["tools"][0].update(colour="red"))
    yield native("number as text", "native", lambda b: b.update(max_tokens="1"))
    yield native("unknown beta", "beta", lambda b: b["anthropic_beta"].append("afk-mode-2026-01-31"))
    yield native("billing line", "billing", lambda b: b["system"][0].update(text=f"{BILLING_MARK}: x"))
    yield native("blank text", "blank", lambda b: b["messages"][0].update(content=[{"type": "text", "text": " "}]))
    yield native("unanswered call", "tool-pairs", lambda b: b["messages"].pop())
    yield native("unsigned thinking", "reasoning", lambda b: b["messages"][2]["content"][0].update(signature=""))
    yield native(
        "five cache marks",
        "cache-count",
        lambda b: b.update(system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5),
    )
    yield native(
        "url source",
        "media",
        lambda b: b["messages"][0].update(
            content=[{"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}}]
        ),
    )
    yield native("forced tool with thinking", "thinking", lambda b: b.update(tool_choice={"type": "any"}))
    yield native(
        "forced tool on 5.5", "family", lambda b: (b.pop("thinking"), b.update(tool_choice={"type": "any"}))
    )
    yield native("effort above the model's", "family", lambda b: b["output_config"].update(effort="xhigh"), OPUS_4_6)
    yield native(
        "effort above what goes without thinking",
        "family",
        lambda b: (b["output_config"].update(effort="max"), b.update(thinking={"type": "disabled"})),
        OPUS_5,
    )
    yield native("for 4.5", "family", lambda b: None, SONNET_4_5)

    counted = {name: good_converse()[name] for name in ("messages", "system", "toolConfig")}
    bare = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    encoded = base64.b64encode(json.dumps(good_native()).encode()).decode()
    yield Case("count", None, request("CountTokens", bare, {"input": {"converse": counted}}))
    yield Case("count by a profile", "count", request("CountTokens", SONNET_4_5, {"input": {"converse": counted}}))
    yield Case(
        "count native",
        None,
        request("CountTokens", "anthropic.claude-opus-5-5", {"input": {"invokeModel": {"body": encoded}}}),
    )
    yield Case(
        "count native for 4.5",
        "family",
        request("CountTokens", bare, {"input": {"invokeModel": {"body": encoded}}}),
    )
    yield Case("count nothing", "model", request("CountTokens", bare, {"input": {}}))


if __name__ == "__main__":
    sys.exit(run(__doc__, (".json",), judge, cases))

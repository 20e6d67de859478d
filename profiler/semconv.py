"""Every attribute name that is written or read, with its unit.

The `gen_ai.*`, `server.*` and `error.*` names are those of the OpenTelemetry semantic conventions, release
1.44 of the schema with the GenAI group at status Development. Names of our own begin with `profiler.`.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "profiler"

# --- GenAI semantic conventions --------------------------------------------------------------------------
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT_NAME: Final = "gen_ai.agent.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"  # absent for one
REQUEST_SEED: Final = "gen_ai.request.seed"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TTFC: Final = "gen_ai.response.time_to_first_chunk"  # seconds from the request's sending
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"
INPUT_MESSAGES: Final = "gen_ai.input.messages"  # content: only when asked for
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"  # content: only when asked for
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

OP_INVOKE_AGENT: Final = "invoke_agent"
OP_CHAT: Final = "chat"
OP_TEXT_COMPLETION: Final = "text_completion"
OP_EXECUTE_TOOL: Final = "execute_tool"

# --- chain (on the root span) ----------------------------------------------------------------------------
TASK_ID: Final = "profiler.task.id"
TASK_TAGS: Final = "profiler.task.tags"  # as the tasks file has them; absent without any
REPEAT: Final = "profiler.chain.repeat"  # 1-based
WARMUP: Final = "profiler.chain.warmup"  # true: never in the figures
UNUSED_SCRIPT_CALLS: Final = "profiler.script.unused_calls"

# --- step (one execution of a graph node) ----------------------------------------------------------------
STEP_NODE: Final = "profiler.step.node"
STEP_NUMBER: Final = "profiler.step.number"  # the graph's superstep, 1-based
STEP_GRAPH: Final = "profiler.step.graph"  # which invocation of a graph it belongs to
STEP_PLACE: Final = "profiler.step.place"  # node path, with the index of a fan-out branch

# --- call (one attempt of an LLM call) -------------------------------------------------------------------
CALL_PLACE: Final = "profiler.call.place"  # where in the graph it was made
CALL_ORDINAL: Final = "profiler.call.ordinal"  # 1-based among the calls of its place
CALL_ATTEMPT: Final = "profiler.call.attempt"  # 1-based; above 1 it repeats a failed attempt
CALL_SCRIPTED: Final = "profiler.call.scripted"
CALL_API: Final = "profiler.call.api"  # which API the request was made by, such as `openai.chat` or `tgi.generate`
CALL_HIDDEN: Final = "profiler.call.hidden_generation"  # the engine generated once before, and threw that away
CALL_ADAPTED: Final = "profiler.call.adapted"  # request fields that the profiler set, changed or removed
CALL_TRUNCATED: Final = "profiler.call.truncated"  # the client stopped reading before the end
POOL_WAIT_NS: Final = "profiler.call.pool_wait_ns"  # waiting for a connection, or for leave to open one
CONNECT_NS: Final = "profiler.call.connect_ns"  # opening of a new connection; absent on a reused one
SENT_NS: Final = "profiler.call.sent_ns"  # span start -> request body sent
HEADERS_NS: Final = "profiler.call.headers_ns"  # span start -> response headers received
CHUNK_TIMES_US: Final = "profiler.chunk.times_us"  # arrivals of token-bearing chunks after the sending
ODD_CHUNKS: Final = "profiler.chunk.odd"  # not of the protocol: passed on as they came, in no figure
REASONING_CHUNKS: Final = "profiler.chunk.reasoning"

# What was sent, without its content: enough to see where a prompt stops being its predecessor's continuation.
MESSAGE_DIGESTS: Final = "profiler.prompt.message_digests"  # one 63-bit digest per message
MESSAGE_CHARS: Final = "profiler.prompt.message_chars"  # size of each message
TOOLS_DIGEST: Final = "profiler.prompt.tools_digest"  # absent without tools

LOOP_LAG_MAX_NS: Final = "profiler.loop.lag_max_ns"  # how late the event loop was at worst during the call

# --- engine timing, as the engine defines it -------------------------------------------------------------
ENGINE_SOURCE: Final = "profiler.engine.timing_source"
ENGINE_NOT_BELIEVED: Final = "profiler.engine.timing_not_believed"  # source of durations longer than the call: left out
ENGINE_QUEUE_NS: Final = "profiler.engine.queue_ns"
ENGINE_PREFILL_NS: Final = "profiler.engine.prefill_ns"
ENGINE_DECODE_NS: Final = "profiler.engine.decode_ns"
ENGINE_LOAD_NS: Final = "profiler.engine.load_ns"  # of the model, before the request could be worked on
ENGINE_INFERENCE_NS: Final = "profiler.engine.inference_ns"  # prefill and decode, where they are not told apart
ENGINE_PRECISION_NS: Final = "profiler.engine.timing_precision_ns"  # durations are cut off to whole multiples of it
PHASE: Final = "profiler.phase"  # on the synthesised spans: one of ENGINE_PHASES

# --- on exported copies alone: what was changed for viewers, so that an import can undo it ------------------
EXPORT_START_NS: Final = "profiler.export.start_ns"  # the recorded start, epoch nanoseconds
EXPORT_END_NS: Final = "profiler.export.end_ns"  # the recorded end, epoch nanoseconds
EXPORT_PARENT: Final = "profiler.export.parent_id"  # the recorded parent, hexadecimal
EXPORT_ARRAYS: Final = "profiler.export.arrays"  # in Jaeger's JSON: attributes that are arrays, written as texts
EXPORT_SERVICE: Final = "profiler.export.service"  # on the resource: the recorded service.name
SERVICE_NAME: Final = "service.name"  # on the resource

# What the analysis computes with must be what it should be, whoever recorded it.
COUNTS: Final = frozenset(
    {
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        CACHED_TOKENS,
        REASONING_TOKENS,
        REASONING_CHUNKS,
        REQUEST_MAX_TOKENS,
        REQUEST_CHOICES,
        REPEAT,
        UNUSED_SCRIPT_CALLS,
        STEP_NUMBER,
        CALL_ORDINAL,
        CALL_ATTEMPT,
    }
)
DURATIONS: Final = frozenset(  # in nanoseconds
    {
        POOL_WAIT_NS,
        CONNECT_NS,
        SENT_NS,
        HEADERS_NS,
        LOOP_LAG_MAX_NS,
        ENGINE_QUEUE_NS,
        ENGINE_PREFILL_NS,
        ENGINE_DECODE_NS,
        ENGINE_LOAD_NS,
        ENGINE_INFERENCE_NS,
        ENGINE_PRECISION_NS,
    }
)
DIGESTS: Final = frozenset({TOOLS_DIGEST})
INTEGERS: Final = COUNTS | DURATIONS | DIGESTS
INTEGER_LISTS: Final = frozenset({CHUNK_TIMES_US, MESSAGE_DIGESTS, MESSAGE_CHARS})
TEXTS: Final = frozenset(
    {OPERATION, TASK_ID, STEP_NODE, STEP_PLACE, STEP_GRAPH, CALL_PLACE, TOOL_NAME, ERROR_TYPE, ENGINE_SOURCE}
    | {REQUEST_MODEL, RESPONSE_MODEL}
)

ENGINE_PHASES: Final = ("load", "queue", "prefill", "decode", "inference", "unaccounted")

# --- metrics: histograms of finished chains ---------------------------------------------------------------
# Those of release 1.44, and of the agent and tool groups that came after it. The GenAI group's own repository (v0.1.0)
# has since given the `operation` ones and `token.usage` other names: docs/metrics-export.md.
TOKEN_TYPE: Final = "gen_ai.token.type"  # input, output  # noqa: S105 - a name
METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"  # s
METRIC_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"  # s
METRIC_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"  # s
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # {token}  # noqa: S105 - a name
METRIC_AGENT_DURATION: Final = "gen_ai.invoke_agent.duration"  # s
METRIC_AGENT_CALLS: Final = "gen_ai.invoke_agent.inference_calls"  # {inference_call}
METRIC_AGENT_TOOLS: Final = "gen_ai.invoke_agent.tool_calls"  # {tool_call}
METRIC_TOOL_DURATION: Final = "gen_ai.execute_tool.duration"  # s
METRIC_OUTPUT_TOKEN: Final = "profiler.client.time_per_output_token"  # s  # noqa: S105 - a name
METRIC_ENGINE_PHASE: Final = "profiler.engine.phase.duration"  # s, with `profiler.phase`

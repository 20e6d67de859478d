"""A tiny language model with random weights, made on the spot: real engine, real timing, no download.

Run by the engine's Python (it needs `tokenizers`, nothing else):

    python tiny_model.py FOLDER

The folder then holds a Qwen3 configuration of 4 layers and a byte-level BPE tokenizer; the weights are never
written, because `--load-format dummy` makes the engine draw them from its seed. What it says is gibberish.
What it costs is a real prefill and a real decode through a real scheduler and prefix cache.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

FORMAT = "1"  # part of the cached folder's name: raise it whenever anything below changes
VOCAB_SIZE = 2048
MAX_POSITIONS = 32768
UNKNOWN, END_OF_TEXT, TURN_START, TURN_END = "<|unk|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (UNKNOWN, END_OF_TEXT, TURN_START, TURN_END)

# Shipped rather than taken from the installed Python: token counts must not change with its version.
CORPUS = """\
You are a helpful assistant that answers questions about software, data and everyday work. Think step by
step, call a tool when you need facts, and stop as soon as you can answer. When several tools could help,
choose the one that is cheapest, explain briefly why, and never invent a result. If a request is ambiguous,
ask one short question before acting. Always reply in plain language and keep the answer under one hundred
words.

The user wants to know why the service became slow yesterday afternoon. First search the incident log for
errors between two and four o'clock, then read the deployment history, then compare the latency of each
endpoint before and after the change. Report the most likely cause, how certain you are, and what should be
measured next.

A research agent receives a topic, writes a plan, searches the web, reads the most relevant pages, takes
notes and writes a summary with references. Each step depends on the one before it, so the waiting time adds
up: five calls of half a second are two and a half seconds that nobody can hide. Parallel branches behave
differently, because only the slowest of them delays the final answer. Retries, queues and long prompts make
everything worse.

Weather report for Lisbon: sunny, twenty three degrees, light wind from the north west, humidity fifty
percent. Tomorrow will be cloudy with some rain in the evening. The train from Porto leaves at nine and
arrives before noon; the cheapest ticket costs eighteen euros. A hotel near the river has rooms from ninety
euros per night, breakfast included, and free cancellation until Friday. Book a table for four people at
eight thirty, please.

Customer support ticket: my order number 48213 has not arrived, the tracking page shows no update since
Monday, and I was charged twice. Please refund one payment and tell me when the package will be delivered.
Thank you for your patience. The agent checks the account, finds the duplicate charge, opens a refund
request, writes to the carrier and confirms the new delivery date by email. The customer is satisfied and
the ticket is closed.

def average(values): return sum(values) / len(values) if values else None
for index, item in enumerate(items): print(index, item.name, item.price)
class Account: def __init__(self, owner, balance=0): self.owner = owner; self.balance = balance
import json, math, time; result = json.loads(response.text); assert result["status"] == "ok"
SELECT name, count(*) AS total FROM orders WHERE created_at > '2024-01-01' GROUP BY name ORDER BY total DESC
LIMIT 10;
try: value = int(text) except ValueError as error: raise RuntimeError(f"not a number: {text}") from error

{"type": "function", "function": {"name": "search", "description": "Search the documents and return the best
matches.", "parameters": {"type": "object", "properties": {"query": {"type": "string", "description": "What
to look
for"}, "limit": {"type": "integer", "default": 5}}, "required": ["query"]}}}
{"name": "calculator", "arguments": {"expression": "(12 * 7 + 3) / 4"}}
{"name": "get_weather", "arguments": {"city": "Berlin", "unit": "celsius", "days": 3}}
{"name": "read_file", "arguments": {"path": "notes/meeting.md", "start": 0, "end": 4000, "encoding":
"utf-8"}}
{"name": "run_query", "arguments": {"database": "sales", "statement": "select 1", "timeout_seconds": 30}}
{"results": [{"title": "Introduction", "url": "https://example.com/docs", "score": 0.93, "snippet": "How to
begin"},
{"title": "Reference", "url": "https://example.com/api", "score": 0.87, "snippet": "Every option and its
default"}]}

History of the lighthouse: built of granite on a dangerous rock, it guided ships through fog and storm for
more than a century. Its keepers climbed two hundred steps each night, cleaned the lens, trimmed the lamp
and recorded every passing vessel in a heavy book. When electricity came, the work became easier, and
finally a machine replaced the last keeper. Visitors now walk along the cliff, photograph the tower at
sunset and listen to the waves below.

A plant makes sugar from light, water and carbon dioxide. Green pigments in its leaves absorb red and blue
light; the energy splits water, releases oxygen and drives chemical reactions that store power for later
growth. Animals breathe the oxygen, eat the plants and return carbon dioxide to the air. The whole cycle
depends on temperature, nutrients, rainfall and the length of the day. In winter growth slows down; in
spring it begins again.

Market summary: shares rose one percent after the central bank kept interest rates unchanged. Energy
companies gained, technology fell slightly, and the currency was stable against the dollar. Analysts expect
inflation to decline during the second quarter, although wages continue to increase. Investors should
remember that past performance does not guarantee future returns, and that a diversified portfolio usually
reduces risk.

Recipe: chop two onions and three cloves of garlic, fry them gently in olive oil, add tomatoes, salt, pepper
and a spoon of sugar, then simmer for twenty minutes. Boil the pasta, keep a cup of the cooking water, mix
everything and serve with fresh basil and grated cheese. Enough for four hungry guests. Leftovers keep for
two days in the fridge.

Architecture overview: distributed systems coordinate independent machines through asynchronous
communication. Replicated databases guarantee consistency by acknowledging transactions; schedulers
distribute workloads, balancers redirect connections, and orchestrators restart unhealthy containers
automatically. Observability combines structured logging, aggregated statistics and correlated traces.
Engineers investigate bottlenecks, reproduce failures, estimate capacity, document assumptions, review
proposals, automate deployment pipelines and gradually replace obsolete components.

Scientific abstract: we evaluate probabilistic algorithms for approximate nearest neighbour retrieval over
multilingual embeddings. Experiments demonstrate substantial improvements in accuracy, robustness and
computational efficiency, particularly under restricted hardware budgets. Limitations include insufficient
annotation quality, sampling bias, hyperparameter sensitivity and unpredictable generalisation beyond
benchmark collections. Future investigations might incorporate reinforcement signals, hierarchical memory
and adaptive truncation strategies.

Legal notice: this agreement governs confidential information exchanged between participating organisations.
Neither party shall disclose, duplicate or distribute materials without written authorisation. Obligations
survive termination for thirty-six months. Disputes are resolved through arbitration under applicable
jurisdiction; liability is limited to direct damages. Amendments require signatures from authorised
representatives of both companies.

Travel diary: mountains, glaciers, villages, vineyards, cathedrals, museums, harbours, bridges, gardens and
crowded marketplaces. Wednesday morning we crossed the frontier, exchanged banknotes, bought sandwiches and
chocolate, missed a ferry, borrowed bicycles, photographed flamingos and slept beneath an enormous chestnut
tree. Thursday brought thunder, puddles, laughter, accordion music, grilled mushrooms and an unexpected
friendship with a retired violinist.

Medical guidance: patients describing persistent headaches, dizziness or breathlessness should contact a
physician immediately. Adequate hydration, moderate exercise, balanced nutrition and regular sleep
strengthen immunity. Vaccination prevents numerous infectious diseases. Laboratory examinations measure
haemoglobin, cholesterol, glucose and vitamins.

Answer: the third call was the slowest one because its prompt had grown to six thousand tokens and none of
them were cached. Moving the fixed instructions to the beginning of the prompt would let the engine reuse
its prefix. Thought: I should verify this with another experiment. Action: measure again. Observation: first
token after ninety milliseconds instead of four hundred and ten. Final answer: keep the order of the
messages stable. Done. 0123456789
"""

# Hermes style, as the tool parser of the same name expects it; renders None content and any role.
CHAT_TEMPLATE = """\
{%- set first = 0 %}
{%- if messages and messages[0].role == 'system' %}
{%- set first = 1 %}
{%- endif %}
{%- if tools or first %}
{{- '<|im_start|>system\\n' }}
{%- if first %}{{- messages[0].content or '' }}{%- endif %}
{%- if tools %}
{{- '\\n\\n# Tools\\n\\nCall one or more functions to help with the request.\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' ~ (tool | tojson) }}{%- endfor %}
{{- '\\n</tools>\\n\\nFor each call return within <tool_call></tool_call> tags:\\n' }}
{{- '<tool_call>\\n{"name": <name>, "arguments": <arguments>}\\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages[first:] %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' ~ (message.content or '') ~ '\\n</tool_response><|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{%- set call = call.function or call %}
{{- '\\n<tool_call>\\n{"name": "' ~ call.name ~ '", "arguments": ' }}
{{- call.arguments if call.arguments is string else (call.arguments | tojson) }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def ascii_alphabet() -> list[str]:
    """The byte-level characters of the 128 ASCII bytes.

    The other 128 are left out on purpose: a model that draws half a character makes the engine hold back its
    text until the rest comes, and a chunk would no longer be a token. Such bytes in a prompt become one
    unknown token each, so the prompt keeps its length.
    """
    printable = range(ord("!"), ord("~") + 1)
    others = 0x80 - len(printable)  # byte-level BPE moves the unprintable ones, in order, to 0x100 and up
    return [chr(code) for code in printable] + [chr(0x100 + place) for place in range(others)]


def write_tokenizer(folder: Path) -> None:
    """Train the tokenizer on the text above and write what a Hugging Face tokenizer consists of."""
    from tokenizers import (  # type: ignore[import-not-found, unused-ignore]
        AddedToken,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=1,
        special_tokens=[AddedToken(text, special=True) for text in SPECIALS],
        initial_alphabet=ascii_alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    size = tokenizer.get_vocab_size()
    if size != VOCAB_SIZE:
        raise SystemExit(f"tiny_model: the tokenizer has {size} tokens instead of {VOCAB_SIZE}")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": UNKNOWN,
            "eos_token": TURN_END,
            "pad_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": False,
            "model_max_length": MAX_POSITIONS,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def model_config() -> dict[str, object]:
    """Qwen3 of 4 layers: small enough for two cores, with every part that a real one has."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_POSITIONS,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "use_cache": True,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 4,
        "bos_token_id": None,
        "eos_token_id": SPECIALS.index(TURN_END),
        "pad_token_id": SPECIALS.index(END_OF_TEXT),
        "torch_dtype": "bfloat16",
    }


def write_json(path: Path, value: object) -> None:
    """Sorted keys: the same bytes each time."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def create(target: Path) -> None:
    """Make the folder beside its place and rename it there: it is whole or absent, never half-written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write_tokenizer(scratch)
        write_json(scratch / "config.json", model_config())
        write_json(
            scratch / "generation_config.json",
            {"eos_token_id": SPECIALS.index(TURN_END), "pad_token_id": SPECIALS.index(END_OF_TEXT)},
        )
        scratch.chmod(0o755)
        try:
            os.replace(scratch, target)  # noqa: PTH105 - Path.replace is the same; this names the syscall
        except OSError:
            if not (target / "config.json").is_file():  # another process was first
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    create(Path(sys.argv[1]))
    print(sys.argv[1])

"""Ask a server what it is, and what it serves; what goes wrong is told by `trouble.py`."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiler.engines.recognise import Recognised, recognise
from profiler.engines.trouble import explain_status, explain_transport
from profiler.engines.url import is_loopback, unversioned
from profiler.errors import EngineUnavailable

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 4 * 2**20
LISTED_MODELS = 12
_OK, _NOT_FOUND, _SERVER_ERROR = 200, 404, 500


@dataclass(frozen=True)
class Served:
    """One entry of `/v1/models`."""

    id: str
    root: str | None
    max_model_len: int | None
    owned_by: str | None


@dataclass(frozen=True)
class Probe:
    """What a server answered."""

    base_url: str
    models: tuple[Served, ...]
    recognised: Recognised

    @property
    def version(self) -> str | None:
        """As the server itself reports it."""
        return self.recognised.version


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    def json(self) -> Any:
        return json.loads(self.body)


def probe(base_url: str, *, api_key: str | None, timeout_s: float, wanted: str | None = None) -> Probe:
    """Read `/models`, then `/health` where it exists, and what tells which server it is.

    Args:
        base_url: as `url.normalise` returns it.
        api_key: sent as a bearer token.
        timeout_s: for each request as a whole, however slowly the server drips.
        wanted: the model that is asked for: a server that loads models on demand need not list it.

    Raises:
        EngineUnavailable: with one message for each way in which it is no usable server.
    """
    import httpx

    headers = {"Accept": "application/json"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    try:
        client = httpx.Client(
            headers=headers, timeout=timeout_s, follow_redirects=False, trust_env=not is_loopback(base_url)
        )
    except UnicodeEncodeError as error:
        raise EngineUnavailable(
            "the API key holds characters that no HTTP header can carry",
            remedy="Check the variable that --api-key-env names: it should be plain ASCII.",
        ) from error
    with client:
        url = f"{base_url}/models"
        answer = _ask_for_models(client, url, timeout_s)
        pages = _Pages(client, unversioned(base_url), timeout_s)
        if answer.status == _NOT_FOUND or answer.status >= _SERVER_ERROR:
            models, recognised = _without_a_list(answer, url, pages, wanted)
        else:
            models = _models(answer, url, client)
            lengths = any(model.max_model_len for model in models)
            owners = [model.owned_by for model in models if model.owned_by]
            recognised = recognise(owners, answer.headers, pages.read, tells_lengths=lengths)
        if not models and wanted is None:
            raise EngineUnavailable(f"{url} serves no model", remedy=_no_model(recognised.server))
        _check_health(client, base_url, timeout_s)
        return Probe(base_url, models, recognised)


def _no_model(server: str) -> str:
    if server == "ollama":
        return "Get one first, such as: ollama pull qwen3:0.6b"
    return "Load a model in the server first; if it loads models on demand, name one with --model."


def _without_a_list(
    answer: _Answer, url: str, pages: _Pages, wanted: str | None
) -> tuple[tuple[Served, ...], Recognised]:
    """What an old TGI serves, which has no list of models, or `transformers serve`, which fails to list an empty cache.

    Raises:
        EngineUnavailable: it is neither.
    """
    recognised = recognise([], answer.headers, pages.read)
    if recognised.server == "transformers" and wanted is not None:
        return (), recognised
    if recognised.model is None:
        problem = explain_status(answer.status, url, None, authorised=False)
        assert problem is not None
        raise problem
    return (Served(recognised.model, None, recognised.max_model_len, None),), recognised


class _Pages:
    """Pages below a server's root, all of them in as much time as one request may take."""

    def __init__(self, client: httpx.Client, root: str, timeout_s: float) -> None:
        self._client = client
        self._root = root
        self._until = time.monotonic() + timeout_s

    def read(self, path: str) -> Any:
        """The JSON that stands there; None where there is none, or no time left."""
        import httpx

        left = self._until - time.monotonic()
        if left <= 0:
            return None
        try:
            answer = _get(self._client, f"{self._root}{path}", left)
            return answer.json() if answer.status == _OK else None
        except (httpx.HTTPError, ValueError, RecursionError):
            return None


def _get(client: httpx.Client, url: str, timeout_s: float) -> _Answer:
    import httpx

    deadline = time.monotonic() + timeout_s
    body = b""
    with client.stream("GET", url, timeout=timeout_s) as response:
        for piece in response.iter_bytes():
            body += piece
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer did not end", request=response.request)
            if len(body) > MAX_BODY_BYTES:
                break
        return _Answer(
            response.status_code,
            response.headers,
            body,
        )


def _ask_for_models(client: httpx.Client, url: str, timeout_s: float) -> _Answer:
    import httpx

    try:
        return _get(client, url, timeout_s)
    except httpx.HTTPError as error:
        raise explain_transport(error, url, timeout_s) from error
    except httpx.InvalidURL as error:
        raise EngineUnavailable(f"{url} cannot be asked: {error}", remedy="Check --base-url.") from error


def _models(answer: _Answer, url: str, client: httpx.Client) -> tuple[Served, ...]:
    location = answer.headers.get("location")
    problem = explain_status(answer.status, url, location, authorised="Authorization" in client.headers)
    if problem is not None:
        raise problem
    return parse_models(answer.body, url, answer.content_type)


def parse_models(body: bytes, url: str, content_type: str) -> tuple[Served, ...]:
    """The entries of an OpenAI model list.

    Raises:
        EngineUnavailable: it is something else.
    """
    shown = f"{url} is not an LLM server with the OpenAI protocol"
    remedy = "Check the port and path of --base-url: another program may be listening there."
    if len(body) > MAX_BODY_BYTES:
        raise EngineUnavailable(f"{shown}: its answer exceeds {MAX_BODY_BYTES // 2**20} MiB", remedy=remedy)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        is_html = "html" in content_type.lower() or body.lstrip()[:1] == b"<"
        kind = "an HTML page" if is_html else "something that is not JSON"
        raise EngineUnavailable(f"{shown}: it answered with {kind}", remedy=remedy) from error
    entries = value.get("data") if isinstance(value, dict) else None
    if isinstance(value, dict) and value.get("object") == "list" and entries is None:
        entries = []  # Ollama without any model
    if not isinstance(entries, list):
        raise EngineUnavailable(f"{shown}: it answered with JSON that is no list of models", remedy=remedy)
    return tuple(_served(entry) for entry in entries if isinstance(entry, dict) and _text(entry.get("id")))


def _served(entry: dict[str, Any]) -> Served:
    limit = entry.get("max_model_len")
    has_limit = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    return Served(
        id=str(entry["id"]),
        root=_text(entry.get("root")),
        max_model_len=limit if has_limit else None,
        owned_by=_text(entry.get("owned_by")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _check_health(client: httpx.Client, base_url: str, timeout_s: float) -> None:
    import httpx

    url = f"{unversioned(base_url)}/health"
    try:
        status = _get(client, url, timeout_s).status
    except httpx.HTTPError as error:
        raise explain_transport(error, url, timeout_s) from error
    if status in {500, 503}:  # 404 and 401 only mean that this kind of server has no such page
        raise EngineUnavailable(
            f"{url} says that the engine is not well (HTTP {status})",
            remedy="It is still loading or has failed: look at its log, wait or restart it.",
        )


def select_model(wanted: str | None, served: tuple[Served, ...], base_url: str, server: str = "vllm") -> Served:
    """The entry to use: by id, by vLLM's `root`, by Ollama's name without its tag, or the first when none is asked for.

    `transformers serve` loads what it is asked for, whether listed or not.

    Raises:
        EngineUnavailable: it is not served; says what is.
    """
    if wanted is None:
        return served[0]
    for model in served:
        if model.id == wanted:
            return model
    for model in served:
        if model.root == wanted or (server == "ollama" and model.id == f"{wanted}:latest"):
            return model
    if server == "transformers" or not served:
        return Served(wanted, None, None, None)
    ids = [model.id for model in served]
    more = f" and {len(ids) - LISTED_MODELS} more" if len(ids) > LISTED_MODELS else ""
    listed = ", ".join(ids[:LISTED_MODELS]) + more
    close = difflib.get_close_matches(wanted, ids, n=1, cutoff=0.5)
    raise EngineUnavailable(
        f"{base_url} does not serve {wanted!r}; it serves {listed}",
        remedy=f"Did you mean --model {close[0]}?" if close else "Choose one of these with --model.",
    )

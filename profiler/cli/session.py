"""What `profiler run` does, from the checks that cost nothing to the report."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import profiler.cli
from profiler.cli import engine_spans
from profiler.cli.backend import engine_options, resolve_backend
from profiler.cli.ending import conclude, import_report, note, report
from profiler.cli.metrics import RunMetrics, run_metrics
from profiler.errors import EXIT_OK, Interrupted, UsageError

if TYPE_CHECKING:
    from profiler.engines import Engine, EngineOptions
    from profiler.receive.receiver import SpanReceiver
    from profiler.record.agent import Agent
    from profiler.record.runner import Outcome
    from profiler.script import Script
    from profiler.store.manifest import Manifest
    from profiler.tasks import Task

_CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True)
class Options:
    """The command line of `profiler run`."""

    agent: str
    backend: str
    base_url: str | None
    api_key_env: str | None
    model: str | None
    sim_profile: str | None
    sim_dialect: str | None
    sim_traits: tuple[str, ...]
    sim_faults: tuple[str, ...]
    vllm_python: Path | None
    no_provision: bool
    engine_args: tuple[str, ...]
    tasks_path: Path | None
    task_ids: tuple[str, ...]
    inputs: tuple[str, ...]
    repeat: int
    warmup: int
    concurrency: int
    script_path: Path | None
    no_script: bool
    record_script: Path | None
    force_stream: bool
    shared_cache: bool
    timeout: float
    out: Path | None
    otlp_endpoint: str | None
    prometheus: int | None
    engine_metrics: float
    engine_spans: str
    capture_content: bool
    seed: int
    output: str
    paced: tuple[int, int] | None


@dataclass(frozen=True)
class Pinned:
    """A script with where it came from."""

    script: Script
    path: Path

    def facts(self) -> dict[str, Any]:
        """What the manifest keeps of it."""
        from profiler.script import dump_script

        digest = hashlib.sha256(dump_script(self.script).encode()).hexdigest()
        return {"path": str(self.path), "sha256": digest, "tasks": len(self.script.tasks)}


def run_session(options: Options, environ: MutableMapping[str, str]) -> int:
    """Run, record, report; the exit code.

    Raises:
        ProfilerError: what is wrong with the input or the engine, before or during the run.
    """
    from profiler.record.agent import split_spec

    path, _ = split_spec(options.agent)
    options = resolve_backend(options, environ)
    engine_spans.check_value(options.engine_spans)
    tasks = tasks_of(options, path)
    pinned = _script(options, path, tasks)
    _check_record_script(options)
    with run_metrics(options) as metrics:
        folder = _run_folder(options, path).absolute()  # an agent may change the working folder
        options = replace(
            options,
            record_script=options.record_script.absolute() if options.record_script else None,
            agent=_absolute_spec(options.agent),
        )
        try:
            chosen = engine_options(options, environ, folder)
            with (
                engine_spans.receiving(options.engine_spans, chosen) as (receiver, chosen),
                _engine_and_agent(options, chosen, folder, environ) as (engine, agent),
            ):
                return _record(options, engine, agent, tasks, pinned, folder, metrics, receiver)
        finally:
            _remove_if_empty(folder)


def _absolute_spec(agent: str) -> str:
    from profiler.record.agent import split_spec

    path, name = split_spec(agent)
    return f"{path.absolute()}:{name}" if name else str(path.absolute())


def tasks_file(agent: str) -> Path | None:
    """The tasks file beside an agent, if there is one."""
    path = Path(agent) if Path(agent).is_file() else Path(agent.rpartition(":")[0])
    beside = path.parent / f"{path.stem}.tasks.json"
    return beside if path.name and beside.exists() else None


def tasks_of(options: Options, agent: Path) -> list[Task]:
    """What the agent is to be asked."""
    from profiler.tasks import Task, choose_tasks, load_tasks

    if options.inputs:
        if options.tasks_path or options.task_ids:
            raise UsageError("--input stands instead of --tasks and --task", remedy="give one or the other")
        return [Task(id=f"input-{number}", input=text) for number, text in enumerate(options.inputs, start=1)]
    path = options.tasks_path or tasks_file(str(agent))
    if path is None:
        raise UsageError(
            f"there are no tasks for {agent}",
            remedy=f'give --input "a question", or --tasks FILE, or put {agent.stem}.tasks.json beside it',
        )
    return choose_tasks(load_tasks(path), options.task_ids)


def _script(options: Options, agent: Path, tasks: list[Task]) -> Pinned | None:
    """The script to replay: the one that was named, or the one beside the agent."""
    from profiler.script import load_script

    if options.record_script and options.script_path:
        raise UsageError("--record-script runs free and --script does not", remedy="give one of them")
    if options.no_script and options.script_path:
        raise UsageError("--script and --no-script contradict each other", remedy="give one of them")
    if options.no_script:
        return None
    if options.script_path is not None:
        script = load_script(options.script_path)
        for task in tasks:
            script.cursor(task.id)
        return Pinned(script, options.script_path)
    beside = agent.with_name(f"{agent.stem}.script.json")
    if options.record_script is not None or not beside.exists():
        return None
    script = load_script(beside)
    missing = [task.id for task in tasks if task.id not in script.tasks]
    if missing:
        note(f"{beside} does not have {', '.join(missing[:5])}: running without a script")
        return None
    note(f"replaying {beside} (--no-script lets the model decide)")
    return Pinned(script, beside)


def _check_record_script(options: Options) -> None:
    target = options.record_script
    if target is None:
        return
    if target.exists():
        raise UsageError(
            f"{target} exists already and will not be overwritten",
            remedy="name another file, or remove this one to record anew",
        )
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise UsageError(f"cannot write to {target.parent}", remedy="choose another place for --record-script")


def _run_folder(options: Options, agent: Path) -> Path:
    from profiler.store.writer import create_run_folder

    if options.out is not None:
        return create_run_folder(options.out)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    backend = "attached" if options.backend == "auto" else options.backend
    name = f"{stamp}-{agent.stem}-{backend}"
    for number in range(1, 100):  # runs that begin in the same second
        folder = Path("traces") / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            break
    return create_run_folder(folder)


def _remove_if_empty(folder: Path) -> None:
    """A run that never began leaves nothing behind but, if an engine failed to start, its log."""
    from profiler.store.manifest import MANIFEST_FILE, SPANS_FILE

    with suppress(OSError):
        if not (folder / MANIFEST_FILE).exists():
            (folder / SPANS_FILE).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
            folder.parent.rmdir()  # the profiler's own `traces`, if it was made for this


@contextmanager
def _engine_and_agent(
    options: Options, engine_options: EngineOptions, folder: Path, environ: MutableMapping[str, str]
) -> Iterator[tuple[Engine, Agent]]:
    """The engine and the agent, the agent loaded first if possible, or while the engine starts.

    An agent with a typo should not wait for an engine to load: a managed engine's address is known beforehand.
    """
    from profiler.engines import expected_model, open_engine

    loaded: list[Agent] = []
    model = None

    def load() -> None:
        from profiler.record.agent import load_agent

        with _output_aside(), _objects_uncollected():
            loaded.append(load_agent(options.agent))

    if engine_options.base_url is None:
        model = expected_model(engine_options)
        expected = engine_options.sim.dialect if engine_options.backend == "sim" else None
        address = f"http://127.0.0.1:{engine_options.port}/v1"
        _point_clients(environ, address, model, engine_options.api_key, server=expected)
    first = None if model is None else load
    log_path = folder / "engine.log"
    try:
        with open_engine(engine_options, log_path=log_path, progress=note, meanwhile=first) as engine:
            info = engine.info
            _point_clients(environ, info.base_url, info.model, engine_options.api_key, server=info.server)
            if info.model != model:
                load()
            yield engine, loaded[-1]
    finally:
        if not loaded:  # an engine that was started for nothing has nothing to tell
            for path in filter(None, [log_path, engine_options.sim.truth]):
                path.unlink(missing_ok=True)


@contextmanager
def _objects_uncollected() -> Iterator[None]:
    """Importing makes objects by the hundred thousand, all to stay: walking them again and again is time lost."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _point_clients(
    environ: MutableMapping[str, str], base_url: str, model: str, key: str | None, *, server: str | None
) -> None:
    """Tell the agent's clients where the engine is, the way they are told anyway."""
    from profiler.engines.url import unversioned

    environ["OPENAI_BASE_URL"] = environ["OPENAI_API_BASE"] = base_url
    environ["OPENAI_API_KEY"] = key or "EMPTY"
    environ["OPENAI_MODEL"] = model
    if server == "ollama":  # an agent on another server may use an Ollama beside it
        environ["OLLAMA_HOST"] = unversioned(base_url)
    if any(f"//{host}" in base_url for host in ("127.", "localhost", "[::1]")):
        for name in ("NO_PROXY", "no_proxy"):
            environ[name] = ",".join(filter(None, [environ.get(name), "127.0.0.1", "localhost", "::1"]))


def _record(
    options: Options,
    engine: Engine,
    agent: Agent,
    tasks: list[Task],
    pinned: Pinned | None,
    folder: Path,
    metrics: RunMetrics,
    receiver: SpanReceiver | None,
) -> int:
    from profiler.cli.progress import Progress
    from profiler.record import facts
    from profiler.record.chain import RecordingOptions, new_salt
    from profiler.record.live import LiveExport, endpoint_from_env
    from profiler.record.pace import Pace
    from profiler.record.recorder import Recorder
    from profiler.record.runner import Plan, Runner
    from profiler.record.servers import server_of
    from profiler.store.writer import RunWriter

    recording = RecordingOptions(
        agent_name=agent.name,
        provider=engine.info.name,
        server=server_of(engine.info.server),
        model=engine.info.model,
        engine=_host_and_port(engine.info.base_url),
        script=pinned.script if pinned else None,
        force_stream=options.force_stream,
        capture_content=options.capture_content or os.environ.get(_CAPTURE_VARIABLE, "").lower() == "true",
        seed=options.seed,
        salt=None if options.shared_cache else new_salt(),
    )
    plan = Plan(agent, tasks, recording, options.repeat, options.warmup, options.concurrency, options.timeout)
    writer = RunWriter(folder)
    manifest = _manifest(options, engine, agent, tasks, pinned, plan.jobs())
    writer.write_manifest(manifest)
    endpoint = options.otlp_endpoint or endpoint_from_env()
    live = LiveExport(endpoint) if endpoint else None
    resource = {"profiler.run": folder.name, "host.name": facts.host_name()}
    of_metrics = metrics.sinks({"service.name": "agent", "service.instance.id": folder.name, **resource})
    # A receiver hands chains on to `live` itself, with what the engine sent of them.
    then: list[Callable[..., None]] = [receiver.chain] if receiver else [live.offer] if live else []

    def check_store() -> None:
        if writer.broken is not None:
            raise writer.broken

    pace = Pace(*options.paced) if options.paced else None
    began = time.monotonic()
    recorder = Recorder(service_name="agent", resource=resource, sinks=[writer.write_chain, *then, *of_metrics])
    metrics.watch(engine, folder, recorder.clock.now_ns)
    engine_spans.begin(receiver, recorder, writer, live)
    with recorder, Progress(len(plan.jobs()) + plan.warmup) as progress:
        runner = Runner(
            plan,
            recorder,
            check_engine=engine.check,
            check_store=check_store,
            on_chain=pace.ended if pace else progress.chain,
            supervised=engine.info.managed,
            pick=pace.next if pace else None,
        )
        with _output_aside():
            outcome = runner.run()
    if outcome.abandoned:
        profiler.cli.leave_at_once = True
    manifest.wall_s = round(time.monotonic() - began, 3)
    with _cut_short(outcome, lambda: engine_spans.settle(receiver, engine, manifest, limit_s=0.0)):
        engine_spans.settle(receiver, engine, manifest, engine_spans.limit_s(engine, broken_off=bool(outcome.fatal)))
    writer.close()
    manifest.spans.started, manifest.spans.written = recorder.spans_started, writer.spans_written
    with _cut_short(outcome, lambda: metrics.conclude(manifest, live, wait_s=0.0)):
        metrics.conclude(manifest, live)
    conclude(manifest, outcome)
    if pace and outcome.fatal is None:  # whoever paced it has seen enough
        manifest.chains.planned = manifest.chains.finished
    check_store()
    writer.write_manifest(manifest)
    engine.release()
    if pace:  # the report is of both runs, and another's
        engine.close()
        return EXIT_OK if outcome.fatal is None else outcome.fatal.exit_code
    import_report()
    engine.close()  # its log is whole now
    return report(manifest, outcome, folder, output=options.output, record_script=options.record_script)


@contextmanager
def _cut_short(outcome: Outcome, at_once: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C in a wait at the end ends the wait: the chains are over, and their account and report are still made."""
    try:
        yield
    except KeyboardInterrupt:
        outcome.fatal = outcome.fatal or Interrupted("interrupted while waiting for what engine or collector had left")
        at_once()


@contextmanager
def _output_aside() -> Iterator[None]:
    """What the agent prints goes to stderr: stdout is the report's, and an agent that closes it closes a copy."""
    try:
        aside = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    except OSError:
        aside = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        with redirect_stdout(aside):
            yield
    finally:
        with suppress(OSError, ValueError):
            aside.close()


def _host_and_port(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _manifest(
    options: Options, engine: Engine, agent: Agent, tasks: list[Task], pinned: Pinned | None, jobs: list[Any]
) -> Manifest:
    from profiler import __version__
    from profiler.record import facts
    from profiler.store.manifest import Counts, Manifest
    from profiler.tasks import task_digests

    flags = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(options).items()
        if name not in ("inputs", "otlp_endpoint", "paced")
    }
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        profiler=__version__,
        python=facts.python(),
        libraries=facts.libraries(),
        agent={"name": agent.name, "path": str(agent.path), "kind": agent.kind},
        engine=dataclasses.asdict(engine.info),
        script=pinned.facts() if pinned else None,
        tasks={"ids": [task.id for task in tasks], "count": len(tasks), "digests": task_digests(tasks)},
        flags=flags,
        host=facts.host(),
        git=facts.git(agent.path.resolve().parent),
        chains=Counts(planned=len(jobs)),
    )

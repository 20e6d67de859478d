"""The file of an engine's load: written line by line, read whatever became of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from profiler.analysis.samples import FIELDS
from profiler.errors import StoreError
from profiler.store.engine_metrics import ENGINE_METRICS_FILE, FORMAT, SampleWriter, read_samples

HEADER = {"source": "vllm", "address": "http://127.0.0.1:8000/metrics", "period_s": 0.25, "names": {}}


def written(folder, *rows):
    writer = SampleWriter(folder / ENGINE_METRICS_FILE, HEADER)
    for time_ns, values in rows:
        writer.write(time_ns, 1000, values)
    return writer


def test_what_was_written_is_read_again_in_the_order_of_time(tmp_path):
    full = {"running": 3.0, "waiting": 0.0, "kv_cache_usage": 0.125, "preemptions": 7.0}
    written(tmp_path, (2_000, full), (1_000, {"running": 1.0})).close()
    found = read_samples(tmp_path)
    assert found.time_ns.tolist() == [1_000, 2_000]
    assert {name: found.values[name][1] for name in FIELDS} == full
    assert np.isnan(found.values["waiting"][0])


def test_each_line_is_on_disk_at_once(tmp_path):
    writer = written(tmp_path, (1_000, {"running": 1.0}))
    lines = (tmp_path / ENGINE_METRICS_FILE).read_text().splitlines()
    writer.close()
    assert json.loads(lines[0]) == {"format": FORMAT, "version": 1, **HEADER}
    assert json.loads(lines[1]) == {"time_ns": 1_000, "took_ns": 1_000, "running": 1}


def test_a_line_that_is_cut_off_or_none_is_passed_over(tmp_path):
    written(tmp_path, (1_000, {"running": 1.0})).close()
    with (tmp_path / ENGINE_METRICS_FILE).open("ab") as file:
        file.write(b'[]\n\xff\n{"time_ns":"x"}\n{"time_ns":-1}\n{"time_ns":3000,"running":"9","waiting":-2}\n')
        file.write(b'{"time_ns":2000,"run')
    found = read_samples(tmp_path)
    assert found.time_ns.tolist() == [1_000, 3_000]
    assert found.values["running"][0] == 1
    assert all(np.isnan(found.values[name][1]) for name in FIELDS)


@pytest.mark.parametrize(
    "text", ["", "{}\n", "spans\n", json.dumps({"format": FORMAT, "version": 2}) + "\n", "[" * 9999]
)
def test_what_is_no_such_file_is_as_if_it_were_not_there(tmp_path, text):
    (tmp_path / ENGINE_METRICS_FILE).write_text(text)
    assert read_samples(tmp_path) is None


def test_a_run_without_samples_has_none(tmp_path):
    assert read_samples(tmp_path) is None


def test_a_file_is_never_overwritten(tmp_path):
    written(tmp_path).close()
    with pytest.raises(StoreError):
        SampleWriter(tmp_path / ENGINE_METRICS_FILE, HEADER)

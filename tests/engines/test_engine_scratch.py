"""Where an engine of our own keeps what is temporary."""

from pathlib import Path
from uuid import uuid4

import pytest

from profiler.engines.scratch import scratch_environment, scratch_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the system, as deep as is asked."""

    def place(length):
        folder = tmp_path / ("d" * (length - len(str(tmp_path)) - 1))
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        return folder

    return place


def test_it_lies_among_the_temporary_files_and_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    folder = scratch_folder(sockets=True)
    try:
        assert folder.parent == Path("/tmp")
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


def test_the_path_of_a_socket_in_it_is_never_too_long(temporary):
    for length in (150, 200):
        usual = temporary(length)
        folder = scratch_folder(sockets=True)
        folder.rmdir()
        assert len(f"{folder}/{uuid4()}".encode()) <= 103
        assert not folder.is_relative_to(usual)


def test_where_there_are_no_sockets_it_lies_where_the_user_has_room_however_deep_that_is(temporary):
    usual = temporary(200)
    assert scratch_folder(sockets=False).parent == usual


def test_the_engine_finds_it_by_its_variables(tmp_path):
    made = scratch_environment(tmp_path, {"PATH": "/bin", "TMPDIR": "/elsewhere"})
    assert (made["PATH"], made["TMPDIR"], made["VLLM_RPC_BASE_PATH"]) == ("/bin", str(tmp_path), str(tmp_path))


def test_what_it_compiles_outlives_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILER_CACHE_DIR", str(tmp_path / "cache"))
    compiled = Path(scratch_environment(tmp_path / "scratch", {})["TORCHINDUCTOR_CACHE_DIR"])
    assert compiled.is_relative_to(tmp_path / "cache")


def test_the_users_own_folders_for_sockets_and_compiled_code_win(tmp_path):
    own = {"VLLM_RPC_BASE_PATH": "/sockets", "TORCHINDUCTOR_CACHE_DIR": "/compiled"}
    assert scratch_environment(tmp_path, own) == {**own, "TMPDIR": str(tmp_path)}

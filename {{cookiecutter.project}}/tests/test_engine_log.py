"""The steps of an engine's start, as read from what vLLM logs."""

from pathlib import Path

import pytest

from worker import engine_log

STARTED = """1000.000 Resolved architecture: Qwen2VLForConditionalGeneration
1004.500 Initializing a V1 LLM engine (v0.28.0) with config: model='m'
1010.000 Starting to load model m...
1011.250 Loading weights took 1.10 seconds
1015.000 torch.compile took 3.25 s in total
1020.000 init engine (profile, create kv cache, warmup model) took 8.75 s
"""


def test_each_step_takes_from_the_end_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / engine_log.FILE).write_text(STARTED)
    assert engine_log.phases(tmp_path, begun=990.0) == {
        "engine_imports": 10.0,
        "engine_process": 4.5,
        "engine_worker": 5.5,
        "engine_weights": 1.25,
        "engine_compile": 3.25,
        "engine_memory_and_graphs": 8.75,
    }


def test_a_step_that_vllm_says_nothing_of_is_left_out(tmp_path: Path) -> None:
    (tmp_path / engine_log.FILE).write_text("no time at all\n1001.000 init engine (profile) took 1 s\n")
    assert engine_log.phases(tmp_path, begun=1000.0) == {"engine_memory_and_graphs": 1.0}


def test_without_a_log_there_are_no_steps(tmp_path: Path) -> None:
    assert engine_log.phases(tmp_path, begun=1000.0) == {}


def test_a_log_that_the_operator_has_configured_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_LOGGING_CONFIG_PATH", "mine.json")
    assert engine_log.configure(tmp_path, "warning") == {}
    assert list(tmp_path.iterdir()) == []


def test_each_start_begins_a_log_of_its_own(tmp_path: Path) -> None:
    (tmp_path / engine_log.FILE).write_text(STARTED)
    engine_log.configure(tmp_path, "warning")
    assert engine_log.phases(tmp_path, begun=0.0) == {}


def test_the_start_is_timed_once_and_what_was_asked_for_is_given(tmp_path: Path) -> None:
    class Models:
        def get_model(self, name: str, *, size: int) -> tuple[str, int]:
            return name, size

    taken: dict[str, float] = {}
    engine_log.time_start(Models, tmp_path / "none", taken)
    models = Models()
    assert (models.get_model("a", size=1), list(taken)) == (("a", 1), ["engine"])
    taken["engine"] = -1.0
    models.get_model("b", size=2)
    assert taken == {"engine": -1.0}

"""A boot's identity: one id, phases in seconds, the stops that were noted, and what each job met."""

import os

import pytest

from worker.boot import Boot, host
from worker.freeze_watch import Stop

RESTORED = Stop("restored", 61.5, ("start_time_changed",))
UNSURE = Stop("unsure", 10.0, ("wall_clock_jumped",))


def test_the_first_job_meets_a_fresh_boot_and_the_later_ones_a_warm_worker() -> None:
    boot = Boot()
    assert [boot.admit() for _ in range(3)] == ["fresh", "warm", "warm"]


@pytest.mark.parametrize("stop", [RESTORED, UNSURE], ids=lambda stop: stop.kind)
def test_the_first_job_after_a_stop_meets_it_and_the_next_is_warm(stop: Stop) -> None:
    boot = Boot()
    boot.admit()
    boot.note(stop)
    assert [boot.admit() for _ in range(2)] == [stop.kind, "warm"]


def test_a_worker_that_was_frozen_before_its_first_job_is_restored_not_fresh() -> None:
    boot = Boot()
    boot.note(RESTORED)
    assert boot.admit() == "restored"


@pytest.mark.parametrize("stops", [(RESTORED, UNSURE), (UNSURE, RESTORED)])
def test_of_two_stops_before_a_job_the_certain_one_counts_and_both_are_told(stops: tuple[Stop, Stop]) -> None:
    boot = Boot()
    for stop in stops:
        boot.note(stop)
    described = boot.describe(boot.admit())
    assert (described["kind"], described["restores"], described["frozen_seconds"]) == ("restored", 1, 71.5)
    assert set(described["evidence"]) == {"start_time_changed", "wall_clock_jumped"}


def test_only_a_job_that_met_a_stop_has_evidence_but_each_tells_how_often_and_how_long() -> None:
    boot = Boot()
    boot.note(RESTORED)
    restored, warm = (boot.describe(boot.admit()) for _ in range(2))
    assert restored["evidence"] == ["start_time_changed"]
    assert "evidence" not in warm
    assert (warm["restores"], warm["frozen_seconds"]) == (1, 61.5)


def test_a_stop_is_handed_out_once_for_renewal_whether_a_job_came_or_not() -> None:
    boot = Boot()
    boot.note(RESTORED)
    boot.admit()
    assert (boot.take_stop(), boot.take_stop()) == (RESTORED, None)


def test_a_description_says_which_machine_this_is() -> None:
    described = Boot().describe("fresh")
    assert described["host"] == host()
    assert described["kernel_boot_id"] is None or len(described["kernel_boot_id"]) == 36


def test_the_host_is_the_platforms_name_where_it_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_POD_HOSTNAME", raising=False)
    assert host() == os.uname().nodename
    monkeypatch.setenv("RUNPOD_POD_HOSTNAME", "pod-1-abc")
    assert host() == "pod-1-abc"


def test_attributes_are_the_description_without_nesting() -> None:
    boot = Boot()
    boot.note(RESTORED)
    with boot.phase("warmup"):
        pass
    attributes = boot.attributes("restored")
    assert {"boot_id": boot.id, "boot_kind": "restored", "boot_restores": 1, "boot_evidence": "start_time_changed"}.items() <= (
        attributes.items()
    )
    assert attributes["boot_phases.warmup"] == boot.phases["warmup"]
    assert {type(value) for value in attributes.values()} <= {str, int, float}


def test_two_processes_have_two_ids() -> None:
    assert Boot().id != Boot().id


def test_a_phase_is_recorded_even_when_it_fails() -> None:
    boot = Boot()
    with pytest.raises(ValueError, match="no"), boot.phase("warmup"):
        raise ValueError("no")
    assert boot.describe("fresh")["phases"]["warmup"] >= 0


def test_a_description_does_not_change_with_later_phases() -> None:
    boot = Boot()
    described = boot.describe("fresh")
    with boot.phase("later"):
        pass
    assert described["phases"] == {}

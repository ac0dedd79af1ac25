"""A boot's identity: one id, phases in seconds, and what each job met."""

import pytest

from worker.boot import Boot


def test_the_first_job_meets_a_fresh_boot_and_the_later_ones_a_warm_worker() -> None:
    boot = Boot()
    assert [boot.admit() for _ in range(3)] == ["fresh", "warm", "warm"]


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

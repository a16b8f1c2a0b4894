"""How many cores there are, and which of them a thread keeps to."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from registrar_server.config import load_config
from registrar_server.cores import available_cores, keep_to, roaming, usable_cores

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system chooses the cores")


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("max 100000\n", 0),
        ("", 0),
        ("nonsense", 0),
        ("9900000 100000", 0),
    ],
)
def test_a_quota_of_the_control_group_counts_where_it_is_less(tmp_path: Path, text: str, least: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text, encoding="ascii")
    assert usable_cores(file) == (least or usable_cores(tmp_path / "absent"))


def test_without_a_control_group_all_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent") == (len(available_cores()) or os.cpu_count())


def test_there_is_a_worker_for_each_core_unless_told_otherwise() -> None:
    assert load_config({}).workers == usable_cores()
    assert load_config({"REGISTRAR_WORKERS": "7"}).workers == 7


def test_workers_are_pinned_where_each_has_a_core_of_its_own() -> None:
    cores = usable_cores()
    assert load_config({}).are_workers_pinned == (cores == len(available_cores()))
    assert not load_config({"REGISTRAR_WORKERS": str(cores + 1)}).are_workers_pinned
    assert load_config({"REGISTRAR_WORKERS": str(cores + 1), "REGISTRAR_PIN_WORKERS": "true"}).are_workers_pinned
    assert not load_config({"REGISTRAR_PIN_WORKERS": "false"}).are_workers_pinned


@needs_affinity
def test_a_thread_roams_for_the_length_of_a_block_and_so_do_those_it_starts() -> None:
    everywhere = available_cores()
    seen: dict[str, set[int]] = {}
    home = {min(everywhere)}

    def work() -> None:
        keep_to(home)
        with roaming(everywhere):
            child = threading.Thread(target=lambda: seen.update(child=available_cores()))
            child.start()
            child.join()
            seen["within"] = available_cores()
        seen["after"] = available_cores()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == {"child": everywhere, "within": everywhere, "after": home}
    assert available_cores() == everywhere


@needs_affinity
def test_without_cores_to_roam_on_nothing_changes() -> None:
    before = available_cores()
    keep_to(set())
    with roaming(frozenset()):
        assert available_cores() == before
    assert available_cores() == before

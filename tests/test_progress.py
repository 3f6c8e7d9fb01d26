"""Progress: seen on a terminal, silent elsewhere, right when several threads report."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from w2sg_jax.terminal.progress import Lines, progress_bar


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=100, _environ={}), text


def test_a_bar_is_shown_on_a_terminal_and_renamed_as_it_goes():
    seen, text = console(terminal=True)
    with progress_bar(seen, "trials") as report:
        assert report is not None
        report(1, 4)
        report(4, 4, "4 done, 0 failed")
    assert "4 done, 0 failed" in text.getvalue() and "100%" in text.getvalue()


def test_nothing_is_shown_where_there_is_no_terminal():
    unseen, text = console(terminal=False)
    with progress_bar(unseen, "trials") as report:
        assert report is None
    with Lines(unseen, "encoders", {"a": 1.0}) as lines:
        lines.running("a", 0.5, "half of it")
        assert text.getvalue() == ""
        lines.finished("a", "a [done]")
    assert text.getvalue() == "  a [done]\n"


def test_lines_add_up_by_cost_and_go_when_they_end():
    seen, text = console(terminal=True)
    costs = {f"job {number}": float(number) for number in range(1, 9)}

    def work(job: str) -> None:
        for step in range(1, 11):
            lines.running(job, step / 10, f"{job} step {step}/10")
        if job != "job 8":
            lines.finished(job, f"{job} ended")

    with Lines(seen, "jobs", costs) as lines:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, costs))
        lines.running("job 8", 0.5, "job 8 step 5/10")
        whole, *others = lines._bar.tasks
        assert whole.total == 36 and whole.completed == pytest.approx(36 - 4)
        assert whole.description == "jobs 7/8"
        assert [line.description for line in others] == ["  job 8 step 5/10"]
    assert all(f"  job {number} ended" in text.getvalue() for number in range(1, 8))

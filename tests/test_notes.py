"""The notes run from top to bottom, and what they show is what the file holds."""

import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NOTES = Path(__file__).parent.parent / "misc" / "notes.ipynb"


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTES, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    notebook = nbformat.read(NOTES, as_version=4)
    folder = tmp_path_factory.mktemp("notes")
    shutil.copy(NOTES.with_name("exercises.py"), folder)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    streams = [output for output in cell.outputs if output.output_type == "stream"]
    return "".join(output.text for output in streams if output.name == "stdout")


def shown(cell):
    return [sorted(output.data) for output in cell.outputs if "data" in output]


NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d*)?(?:e[+-]?\d+)?")


def test_what_the_notes_print_is_what_the_file_holds(stored, executed):
    for old, new in zip(code_cells(stored), code_cells(executed), strict=True):
        before, now = printed(old), printed(new)
        assert NUMBER.sub("#", before) == NUMBER.sub("#", now), f"cell {old.id}"
        numbers = [
            [float(number.replace(",", "")) for number in NUMBER.findall(text)]
            for text in (before, now)
        ]
        # what is off by rounding alone has no digit in common from one machine to the next
        np.testing.assert_allclose(*numbers, rtol=1e-3, atol=1e-6, err_msg=f"cell {old.id}")


def test_what_the_notes_draw_is_what_the_file_holds(stored, executed):
    assert [shown(cell) for cell in code_cells(stored)] == [
        shown(cell) for cell in code_cells(executed)
    ]
    pictures = [kind for cell in code_cells(stored) for kinds in shown(cell) for kind in kinds]
    assert pictures.count("image/png") == 7
    assert pictures.count("image/svg+xml") == 9
    assert pictures.count("text/html") == 1  # the page


def test_the_file_is_executed_in_order_and_clean(stored):
    cells = code_cells(stored)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.get("name") != "stderr" for cell in cells for output in cell.outputs)
    assert all(not cell.metadata for cell in stored.cells)
    text = NOTES.read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    assert not re.search(r"(?:/home|/Users|/root|/tmp)/|[A-Z]:\\\\", text)


# The exercises


@pytest.fixture
def exercises(monkeypatch):
    monkeypatch.syspath_prepend(NOTES.parent)
    import exercises

    return exercises


def exercise(stored, cell_id):
    return next(cell.source for cell in stored.cells if cell.id == cell_id)


def test_the_folded_answers_are_right_and_learn_the_moons(stored, exercises, capsys):
    (answers,) = re.findall(
        r"```python\n(.*?)```", exercise(stored, "exercises-answers"), re.DOTALL
    )
    unfinished = exercise(stored, "exercises")
    names = {"np": np, "check": exercises.check}
    exec(answers + unfinished[unfinished.index("answers = (") :], names)
    assert capsys.readouterr().out == "".join(f"exercise {n}: right\n" for n in range(1, 8))
    parts = [names[name] for name in ("relu", "matmul", "mean", "backward")]
    loss, accuracy = exercises.train_moons(*parts)
    assert loss < 0.05
    assert accuracy == 1


def test_the_exercises_as_given_are_all_wrong(stored, exercises, capsys):
    exec(exercise(stored, "exercises"), {"np": np, "check": exercises.check})
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"exercise {n}" for n in range(1, 8)]
    assert not [line for line in lines if line.endswith("right") and "derivative" not in line]


def test_one_suspect_is_guilty(exercises):
    wrong = {name: exercises.differs(f) for name, f in exercises.SUSPECTS.items()}
    assert [name for name, problem in wrong.items() if problem] == ["running sum"]

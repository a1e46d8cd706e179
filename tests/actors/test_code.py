from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.code import (
    CodeChanged,
    CodeRaised,
    CodeRef,
    NoSuchCode,
    load,
    loading,
    parse,
    reference,
    refuse_if_loading,
)
from actors.errors import CodeTravelError, UsageError
from actors.exits import Exit
from actors.signals import kinds_of
from actors.spawner import PopenSpawner, ProcessSpec

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


class AtTop:
    class Inner:
        pass

    def method(self) -> None:
        pass

    @classmethod
    def make(cls) -> AtTop:
        return cls()


def at_top() -> None:
    pass


def maker() -> tuple[Any, Any]:
    class Local:
        pass

    def closure() -> None:
        pass

    return Local, closure


nameless = lambda: None  # noqa: E731  (is what is tested)


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text))
    return path


def run_python(*args: str, cwd: Path, stdin: str | None = None) -> str:
    """Run a fresh interpreter that finds this project; returns its output."""
    result = subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# --- reference ------------------------------------------------------------------------------------


@pytest.mark.parametrize("obj", [AtTop, AtTop.Inner, at_top, AtTop.make, json.JSONDecoder, dict])
def test_what_has_an_importable_home_is_found_again(obj: Any) -> None:
    ref = reference(obj)
    assert load(ref) == obj
    assert load(msgspec.msgpack.decode(msgspec.msgpack.encode(ref), type=CodeRef)) == obj
    assert str(ref) == f"{obj.__module__}:{obj.__qualname__}"


def test_a_reference_carries_the_hash_of_its_source_file() -> None:
    assert reference(AtTop).sha256 == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert reference(dict).sha256 is None


@pytest.mark.parametrize(
    ("obj", "sentence"),
    [
        (nameless, "a lambda of module .* write it as a function at the top level"),
        (maker()[0], "'Local' is defined inside the function 'maker' .* move it to the top level"),
        (maker()[1], "'closure' is defined inside the function 'maker'"),
        (AtTop(), "only classes and functions can; pass the class and its arguments"),
        (AtTop().method, "'AtTop.method' is bound to an instance"),
        (functools.partial(at_top), "only classes and functions can"),
        (3, "3 cannot cross"),
        ("x" * 1000, r"'x+\.\.\. cannot cross"),
    ],
)
def test_what_has_no_home_is_refused_with_one_sentence(obj: Any, sentence: str) -> None:
    with pytest.raises(CodeTravelError, match=sentence) as caught:
        reference(obj)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_object_that_its_module_no_longer_names_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = at_top
    monkeypatch.setitem(globals(), "at_top", functools.wraps(original)(lambda: None))
    with pytest.raises(CodeTravelError, match="is not the object given"):
        reference(original)
    assert load(reference(globals()["at_top"])) is globals()["at_top"]


def test_a_module_made_by_hand_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("made_by_hand")
    exec("class Thing: pass", module.__dict__)
    with pytest.raises(CodeTravelError, match="which is not imported here"):
        reference(module.Thing)
    monkeypatch.setitem(sys.modules, "made_by_hand", module)
    with pytest.raises(CodeTravelError, match="'made_by_hand', which was made by hand"):
        reference(module.Thing)


# --- parse ----------------------------------------------------------------------------------------


def test_a_relative_file_is_taken_from_the_folder_of_the_text(tmp_path: Path) -> None:
    file = write(tmp_path / "task.py", "class Task: pass")
    ref = parse("task.py:Task", tmp_path)
    assert ref == CodeRef(f"{file}:Task", hashlib.sha256(file.read_bytes()).hexdigest())
    assert parse(f"{file}:Task", "/elsewhere") == ref
    (tmp_path / "inner").mkdir()
    assert parse("../task.py:Task", tmp_path / "inner") == ref
    assert parse("package.module:Class.Inner") == CodeRef("package.module:Class.Inner")


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "module", "module:", ":Name", "task.py", "a b:C", "a:B C", "a:B..C", "a..b:C"),
        *("a:1", "a:b()", "a\0.py:B", "a\n.py:B", "x" * 5000 + ":B"),
    ],
)
def test_a_text_of_another_form_is_refused_with_the_two_forms(text: str) -> None:
    for attempt in (lambda: parse(text), lambda: load(CodeRef(text))):
        with pytest.raises(CodeTravelError, match=r"write package.module:Name,? or file.py:Name"):
            attempt()


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        outcome = parse(text).text
    except CodeTravelError as error:
        outcome = str(error)
        assert "names no" in outcome or "there is no file" in outcome or "is no Python" in outcome
    else:
        assert outcome == text
    assert "\n" not in outcome


def test_a_file_that_is_not_there_is_named_with_its_nearest(tmp_path: Path) -> None:
    write(tmp_path / "task.py", "")
    with pytest.raises(NoSuchCode, match=r"no file .*/tsk\.py; did you mean task\.py\?"):
        parse("tsk.py:Task", tmp_path)
    with pytest.raises(NoSuchCode, match=r"no file .*/far/tsk\.py$"):
        parse("far/tsk.py:Task", tmp_path)
    (tmp_path / "circle.py").symlink_to("circle.py")
    for path in ("/dev/zero", f"{tmp_path}/circle.py"):
        with pytest.raises(NoSuchCode, match=f"there is no file {path}"):
            parse(f"{path}:Task")
    with pytest.raises(NoSuchCode, match="cannot be read: File name too long"):
        parse("x" * 300 + ".py:Task")


def test_a_file_too_large_for_source_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "data.py").open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(CodeTravelError, match="it is no Python source"):
        parse("data.py:X", tmp_path)


# --- load -----------------------------------------------------------------------------------------


def test_a_file_is_loaded_once_and_gives_the_same_class(tmp_path: Path) -> None:
    write(
        tmp_path / "task.py",
        """
        from dataclasses import dataclass

        @dataclass
        class Task:
            n: "int" = 3

        if __name__ == "__main__":
            raise SystemExit("ran as a script")
        """,
    )
    (tmp_path / "link.py").symlink_to("task.py")
    ref = parse("task.py:Task", tmp_path)
    first = load(ref)
    assert load(ref) is first
    assert load(CodeRef(ref.text)) is first
    assert load(parse("link.py:Task", tmp_path)) is first
    assert first().n == 3
    assert reference(first) == ref


def test_a_file_finds_what_lies_beside_it_but_shadows_nothing(tmp_path: Path) -> None:
    write(tmp_path / "beside_task.py", "VALUE = 5")
    write(tmp_path / "json.py", "raise RuntimeError('shadowed')")
    write(
        tmp_path / "task.py",
        """
        import json
        from beside_task import VALUE
        class Task:
            value = VALUE
        """,
    )
    assert load(parse("task.py:Task", tmp_path)).value == 5


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "task.py", f"class Task:\n    home = {folder!r}\n")
    assert load(parse("a/task.py:Task", tmp_path)).home == "a"
    assert load(parse("b/task.py:Task", tmp_path)).home == "b"


def test_threads_that_load_one_file_at_once_get_one_class(tmp_path: Path) -> None:
    write(tmp_path / "task.py", "import time; time.sleep(0.05)\nclass Task: pass")
    ref = parse("task.py:Task", tmp_path)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(load(ref))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_wrong_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "task.py", "class Digits:\n    class Inner: pass\n")
    with pytest.raises(NoSuchCode, match=r"task\.py has no 'Digit'; did you mean 'Digits'\?$"):
        load(parse("task.py:Digit", tmp_path))
    with pytest.raises(NoSuchCode, match=r"no 'Iner' in 'Digits'; did you mean 'Inner'\?$"):
        load(parse("task.py:Digits.Iner", tmp_path))
    with pytest.raises(NoSuchCode, match=r"task\.py has no 'Zebra'$"):
        load(parse("task.py:Zebra", tmp_path))
    with pytest.raises(NoSuchCode, match=r"json has no 'lods'; did you mean 'loads'\?$"):
        load(CodeRef("json:lods"))
    write(tmp_path / "value.py", "VALUE = 3\n")
    with pytest.raises(NoSuchCode, match=r"has no 'x' in 'VALUE'"):
        load(parse("value.py:VALUE.x", tmp_path))


def test_a_module_that_is_not_there_is_told_from_one_that_it_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path / "needs_more.py", "import not_installed_anywhere")
    with pytest.raises(NoSuchCode, match="there is no module 'not_here' here"):
        load(CodeRef("not_here.at.all:X"))
    with pytest.raises(NoSuchCode, match=r"there is no module 'json.nothing' here"):
        load(CodeRef("json.nothing:X"))
    with pytest.raises(CodeRaised, match=r"needs_more cannot be loaded: .*not_installed_anywhere"):
        load(CodeRef("needs_more:X"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\ny = undefined\n", "line 2: NameError: name 'undefined' is not defined"),
        ("def f():\n    1 / 0\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
        ("class (:\n", r"SyntaxError: .*task.py, line 1\)"),
        ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
        ("from . import x\n", "line 1: ImportError: attempted relative import"),
        ("raise ValueError\n", "line 1: ValueError$"),
        ("raise ValueError('a' * 9000 + chr(10) + 'b')\n", "line 1: ValueError: a{300}$"),
    ],
)
def test_a_file_that_raises_is_one_sentence_with_cause_and_line(
    tmp_path: Path, source: str, words: str
) -> None:
    (tmp_path / "task.py").write_text(source)
    ref = parse("task.py:Task", tmp_path)
    modules = set(sys.modules)
    with pytest.raises(CodeRaised, match=rf"task\.py cannot be loaded: {words}") as caught:
        load(ref)
    assert caught.value.__cause__ is not None
    assert not [name for name in set(sys.modules) - modules if "task" in name]
    (tmp_path / "task.py").write_text("class Task: pass\n")  # repaired: loads afresh
    assert load(parse("task.py:Task", tmp_path)).__qualname__ == "Task"


def test_files_that_load_each_other_in_a_circle_say_so(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        write(
            tmp_path / f"{name}.py",
            f"""
            from actors.code import CodeRef, load
            load(CodeRef({str(tmp_path / f"{other}.py")!r} + ":X"))
            class X: pass
            """,
        )
    with pytest.raises(CodeRaised, match="loaded again while it is still being loaded"):
        load(parse("a.py:X", tmp_path))


def test_a_file_that_was_edited_since_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "task.py", "class Task: pass")
    old = parse("task.py:Task", tmp_path)
    write(file, "class Task: pass  # edited\nopen('ran', 'w')")
    with pytest.raises(CodeChanged, match="is not what the run was started with"):
        load(old)
    assert not (tmp_path / "ran").exists()


def test_what_runs_here_counts_not_what_the_file_became(tmp_path: Path) -> None:
    file = write(tmp_path / "task.py", "class Task: pass")
    ref = parse("task.py:Task", tmp_path)
    task = load(ref)
    write(file, "class Task: pass  # edited")
    assert load(ref) is task
    assert reference(task) == ref
    with pytest.raises(CodeChanged):
        load(parse("task.py:Task", tmp_path))


def test_a_module_of_another_version_is_refused() -> None:
    assert load(CodeRef("json:loads", reference(json.loads).sha256)) is json.loads
    with pytest.raises(
        CodeChanged, match=r"json is not .* SHA-256 was 000000000000\.\.\. and here"
    ):
        load(CodeRef("json:loads", "0" * 64))
    with pytest.raises(CodeChanged, match="has no source to compare"):
        load(CodeRef("builtins:dict", "0" * 64))


# --- scripts --------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
from actors.code import CodeRef, load, reference

class Task:
    pass

if __name__ == "__main__":
    ref = reference(Task)
    again = load(ref) is Task and load(CodeRef(ref.text)) is Task
    print(json.dumps([ref.text, ref.sha256, again]))
"""


def test_a_class_of_a_script_travels_by_its_file_and_stays_itself_at_home(tmp_path: Path) -> None:
    file = write(tmp_path / "script.py", SCRIPT)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    expected = [f"{file}:Task", digest, True]
    assert json.loads(run_python("script.py", cwd=tmp_path)) == expected
    ref = CodeRef(f"{file}:Task", digest)
    assert load(ref).__module__.startswith("_actorfl_file_script_")
    assert reference(load(ref)) == ref


def test_a_decider_knows_a_scripts_own_exception_from_the_process_that_loaded_the_script(
    tmp_path: Path,
) -> None:
    source = """
import json
from actors import one_for_one
from actors.signals import kinds_of

class Wrong(Exception): pass
class Fatal(Wrong): pass

if __name__ == "__main__":
    told = json.loads(input())
    deciding = [one_for_one(decide={kind: "stop"}) for kind in (Fatal, Wrong, KeyError)]
    print(json.dumps([kinds_of(Fatal), [one.verdict(told) for one in deciding]]))
"""
    file = write(tmp_path / "script.py", source)
    # As the process of an actor loads it.
    told = kinds_of(load(CodeRef(f"{file}:Fatal")))
    assert told[:2] == ("script.py:Fatal", "script.py:Wrong")
    output = run_python("script.py", cwd=tmp_path, stdin=json.dumps(told))
    assert json.loads(output) == [list(told), ["stop", "stop", "restart"]]


def test_a_class_of_a_module_run_with_m_travels_by_the_modules_name(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    file = write(tmp_path / "package" / "program.py", "from . import __path__\n" + SCRIPT)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    output = run_python("-m", "package.program", cwd=tmp_path)
    assert json.loads(output) == ["package.program:Task", digest, True]


def test_what_was_typed_in_has_to_be_put_in_a_file(tmp_path: Path) -> None:
    source = """
from actors.code import reference
from actors.errors import CodeTravelError
class Task: pass
try:
    reference(Task)
except CodeTravelError as error:
    print(error)
"""
    for output in (
        run_python("-c", source, cwd=tmp_path),
        run_python("-", cwd=tmp_path, stdin=source),
    ):
        assert output.startswith("'Task' was typed into an interactive session")
        assert output.endswith("put it in a file\n")


async def test_a_class_of_a_file_arrives_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "task.py", "class Task:\n    words = 'arrived whole'\n")
    write(
        tmp_path / "receives_code.py",
        """
        from actors import lifeline
        config = lifeline.attach()
        import msgspec
        from actors.code import CodeRef, load, reference
        ref = msgspec.msgpack.decode(config, type=CodeRef)
        print(load(ref).words, reference(load(ref)) == ref)
        """,
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ref = parse("task.py:Task", tmp_path)
    spawner = PopenSpawner()
    child = await spawner.spawn(
        ProcessSpec(name="c", module="receives_code", config=msgspec.msgpack.encode(ref))
    )
    assert await child.wait() == Exit(code=0), child.last_lines()
    assert child.last_lines() == ["arrived whole True"]


# --- loading --------------------------------------------------------------------------------------


def test_a_run_started_while_a_file_is_loaded_is_refused_naming_the_guard(tmp_path: Path) -> None:
    file = write(
        tmp_path / "task.py",
        """
        import asyncio
        from actors.code import refuse_if_loading
        class Task: pass
        async def main():
            refuse_if_loading("Run.start()")
        asyncio.run(main())
        """,
    )
    with pytest.raises(CodeRaised) as caught:
        load(parse("task.py:Task", tmp_path))
    cause = caught.value.__cause__
    assert isinstance(cause, UsageError)
    assert str(cause) == (
        f"Run.start() was called while {file} was being loaded for what it defines; "
        'put the call under `if __name__ == "__main__":`'
    )
    assert loading() is None
    refuse_if_loading("Run.start()")


def test_a_module_without_a_guard_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(
        tmp_path / "unguarded_module.py",
        "from actors.code import refuse_if_loading\nrefuse_if_loading('Run.start()')\n",
    )
    with pytest.raises(CodeRaised, match="while unguarded_module was being loaded"):
        load(CodeRef("unguarded_module:X"))


def test_loading_is_told_to_this_context_only(tmp_path: Path) -> None:
    write(
        tmp_path / "task.py",
        """
        import contextvars
        from actors.code import loading
        class Task:
            inside = loading()
            beside = contextvars.Context().run(loading)
        """,
    )
    task = load(parse("task.py:Task", tmp_path))
    assert (task.inside, task.beside) == (str(tmp_path / "task.py"), None)

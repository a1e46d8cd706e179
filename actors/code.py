"""Code crosses between processes as an import path, never as bytes: `CodeRef`.

A class of the script that was started lives in ``__main__``, which is another module in every
other process. It therefore travels as ``/abs/file.py:Class`` and is loaded there once, under a
private module name, so that the script's own ``if __name__ == "__main__":`` part does not run.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

import msgspec

from actors.errors import CodeTravelError, UsageError

_MAX_TEXT = 4096  # characters: PATH_MAX; a reference may come from another node
_MAX_SOURCE = 16 << 20  # bytes: a path out of a configuration could name a device or a data set
_PRIVATE = "_actorfl_file_"

_loading: contextvars.ContextVar[str | None] = contextvars.ContextVar("loading", default=None)
# A file is loaded once, whatever thread asks; re-entrant, since a file may load others.
_lock = threading.RLock()
_files: dict[str, ModuleType] = {}
#: And those that are being loaded: the threads that there were before.
_unfinished: dict[str, frozenset[int | None]] = {}
# Hash of a module's source when it was first seen: what this process runs, even if the file is
# edited later. Its size is bounded by the number of modules that this process imported.
_hashes: dict[str, str] = {}


class NoSuchCode(CodeTravelError):  # noqa: N818
    """The file, the module, or the name in it does not exist."""


class CodeRaised(CodeTravelError):  # noqa: N818
    """The file or module raised while it was loaded; `__cause__` is what it raised."""


class Unguarded(CodeRaised):
    """The file or module starts something while it is loaded: its main guard is missing."""


class _CalledWhileLoading(UsageError):  # noqa: N818
    pass


class CodeChanged(CodeTravelError):  # noqa: N818
    """The source here is not the source that the reference was made from."""


class CodeRef(msgspec.Struct, frozen=True):
    """Where a class or function is found again in another process.

    Attributes:
        text: ``package.module:Qual.Name`` or ``/absolute/file.py:Qual.Name``.
        sha256: hex digest of the source file; None where it has none or it is not to be compared.
    """

    text: str
    sha256: str | None = None

    def __str__(self) -> str:
        return self.text


def reference(obj: Any) -> CodeRef:
    """Make the reference under which another process finds this class or function.

    Raises:
        CodeTravelError: it has no importable home: a lambda, a local class or closure, an
            instance, or something typed into an interactive session.
    """
    module_name = getattr(obj, "__module__", None)
    qualname = getattr(obj, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(qualname, str):
        raise CodeTravelError(
            f"{_short(obj)} cannot cross to another process: only classes and functions can; "
            "pass the class and its arguments"
        )
    if isinstance(obj, MethodType) and not isinstance(obj.__self__, type):
        raise CodeTravelError(
            f"{qualname!r} is bound to an instance, which cannot cross to another process; "
            "pass the class and its arguments"
        )
    if "<lambda>" in qualname:
        raise CodeTravelError(
            f"a lambda of module {module_name} cannot cross to another process; "
            "write it as a function at the top level of a file"
        )
    if "<locals>" in qualname:
        outer, _, inner = qualname.rpartition(".<locals>.")
        raise CodeTravelError(
            f"{inner!r} is defined inside the function {outer!r} and cannot cross to another "
            f"process; move it to the top level of {module_name}"
        )
    module = sys.modules.get(module_name)
    if module is None:
        raise CodeTravelError(
            f"{qualname!r} says it lives in module {module_name!r}, which is not imported here; "
            "put it in a file"
        )
    found = _find(module, qualname)
    if found is not obj and not (isinstance(obj, MethodType) and found == obj):
        raise CodeTravelError(
            f"{module_name}.{qualname} is not the object given (it was replaced, wrapped or "
            "deleted there), so another process would find something else; "
            "give it its own name at the top level of the file"
        )
    return CodeRef(f"{_home(module, qualname)}:{qualname}", _hash_of(module))


def parse(text: str, base: str | os.PathLike[str] = ".") -> CodeRef:
    """Read a reference that a person wrote.

    Args:
        text: ``package.module:Name``, or ``file.py:Name`` with a path relative to ``base``.
        base: folder of the file that the text stands in.

    Returns:
        The reference; with the file's hash where it names a file. Nothing is imported.

    Raises:
        CodeTravelError: the text has another form.
        NoSuchCode: there is no such file.
    """
    home, qualname = _split(text)
    if not _is_file(home):
        return CodeRef(text)
    path = _real(Path(base) / os.path.expanduser(home))  # noqa: PTH111  (never raises)
    return CodeRef(f"{path}:{qualname}", hashlib.sha256(_source(path)).hexdigest())


def load(ref: CodeRef) -> Any:
    """Import what a reference names; a file only once for a process, so classes stay the same.

    Raises:
        CodeTravelError: the text is malformed, or the file loads itself.
        NoSuchCode: there is no such file, module or name; the nearest name is given.
        CodeRaised: loading it raised.
        CodeChanged: its source differs from the one that the reference was made from.
    """
    home, qualname = _split(ref.text)
    with _lock:
        module = _load_file(home, ref) if _is_file(home) else _load_module(home)
        _compare(ref, home, _hash_of(module))
    found = _find(module, qualname)
    if found is _MISSING:
        raise NoSuchCode(_no_such_name(module, home, qualname))
    return found


def loading() -> str | None:
    """The file or module that is being loaded by `load` in this context; None outside."""
    return _loading.get()


def refuse_if_loading(what: str) -> None:
    """Refuse what must not happen as a side effect of loading a user's file in a node.

    Args:
        what: the forbidden call as the start of a sentence, for example ``"Run.start()"``.

    Raises:
        UsageError: called while a file is being loaded: its main guard is missing.
    """
    home = _loading.get() or _loading_with(threading.get_ident())
    if home is not None:
        raise _CalledWhileLoading(
            f"{what} was called while {home} was being loaded for what it defines; "
            'put the call under `if __name__ == "__main__":`'
        )


def _loading_with(thread: int) -> str | None:
    """The file that started this thread, which it does where it is loaded without a guard."""
    return next((home for home, before in tuple(_unfinished.items()) if thread not in before), None)


# --- finding ------------------------------------------------------------------------------------

_MISSING = object()


def _split(text: str) -> tuple[str, str]:
    home, colon, qualname = text.rpartition(":")
    names = qualname.split(".")
    if (
        len(text) > _MAX_TEXT
        or not text.isprintable()
        or not (home and colon and all(name.isidentifier() for name in names))
    ):
        raise CodeTravelError(
            f"{_short(text)} names no code; write package.module:Name or file.py:Name"
        )
    if not _is_file(home) and not all(part.isidentifier() for part in home.split(".")):
        raise CodeTravelError(
            f"{_short(text)} names no module; write package.module:Name, or file.py:Name for a file"
        )
    return home, qualname


def _is_file(home: str) -> bool:
    return home.endswith(".py") or "/" in home


def _find(module: ModuleType, qualname: str) -> Any:
    found: Any = module
    for name in qualname.split("."):
        found = getattr(found, name, _MISSING)
        if found is _MISSING:
            return _MISSING
    return found


def _no_such_name(module: ModuleType, home: str, qualname: str) -> str:
    holder: Any = module
    inside = ""
    for name in qualname.split("."):
        inner = getattr(holder, name, _MISSING)
        if inner is _MISSING:
            names = [known for known in dir(holder) if not known.startswith("_")]
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            return f"{home} has no {name!r}{inside}{hint}"
        holder, inside = inner, f" in {name!r}"
    raise AssertionError(qualname)  # _find would have found it


def _home(module: ModuleType, qualname: str) -> str:
    """The part before the colon: a module's name, or the absolute path of a file."""
    name = module.__name__
    if name in _files_by_name():
        return _files_by_name()[name]
    spec = getattr(module, "__spec__", None)
    if name == "__main__":
        if spec is not None:  # python -m package.module: relative imports need that name
            return str(spec.name)
        file = getattr(module, "__file__", None)
        if not file or not Path(file).is_file():
            raise CodeTravelError(
                f"{qualname!r} was typed into an interactive session (or given by -c or standard "
                "input) and cannot cross to another process; put it in a file"
            )
        return str(_real(file))
    if spec is None:
        raise CodeTravelError(
            f"{qualname!r} lives in module {name!r}, which was made by hand and cannot be imported "
            "by another process; put it in a file"
        )
    return name


def _files_by_name() -> dict[str, str]:
    return {module.__name__: path for path, module in _files.items()}


# --- loading ------------------------------------------------------------------------------------


def _load_module(name: str) -> ModuleType:
    main = sys.modules.get("__main__")
    if main is not None and getattr(getattr(main, "__spec__", None), "name", None) == name:
        return main
    with _marked_loading(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                raise NoSuchCode(
                    f"there is no module {error.name!r} here; install it, or name a file.py"
                ) from error
            raise CodeRaised(_raised(name, None, error)) from error
        except (Exception, SystemExit) as error:
            raise _kind_of(error)(_raised(name, None, error)) from error


def _load_file(home: str, ref: CodeRef) -> ModuleType:
    path = _real(home)
    main = sys.modules.get("__main__")
    main_file = getattr(main, "__file__", None)
    if main is not None and main_file and _real(main_file) == path:
        return main
    name = _PRIVATE + f"{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    known = _files.get(str(path))
    if str(path) in _unfinished:
        raise CodeTravelError(
            f"{path} is loaded again while it is still being loaded; break the circle"
        )
    if known is not None:
        return known
    source = _source(path)
    digest = hashlib.sha256(source).hexdigest()
    # Before it runs: what another version would do while it is loaded is unknown.
    _compare(ref, home, digest)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # What it imports from beside itself is found as it is when the file is run as a script, but
    # it cannot shadow an installed package in a process that it shares with others.
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules[name] = module
    _files[str(path)] = module
    _hashes[name] = digest
    _unfinished[str(path)] = frozenset(thread.ident for thread in threading.enumerate())
    with _marked_loading(str(path)):
        try:
            # From the bytes that were hashed, not read a second time.
            exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        except BaseException as error:
            del sys.modules[name], _files[str(path)], _hashes[name]
            if isinstance(error, Exception | SystemExit):
                raise _kind_of(error)(_raised(home, path, error)) from error
            raise
        finally:
            del _unfinished[str(path)]
    return module


@contextlib.contextmanager
def _marked_loading(home: str) -> Iterator[None]:
    token = _loading.set(home)
    try:
        yield
    finally:
        _loading.reset(token)


def _real(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, silent about a circle of links


def _source(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise NoSuchCode(_no_such_file(path))
        with path.open("rb") as file:
            source = file.read(_MAX_SOURCE + 1)
    except OSError as error:
        raise NoSuchCode(f"{path} cannot be read: {error.strerror}") from error
    if len(source) > _MAX_SOURCE:
        raise CodeTravelError(f"{path} has more than {_MAX_SOURCE} bytes; it is no Python source")
    return source


def _no_such_file(path: Path) -> str:
    names = []
    with contextlib.suppress(OSError):
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    close = difflib.get_close_matches(path.name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"there is no file {path}{hint}"


def _hash_of(module: ModuleType) -> str | None:
    name = module.__name__
    if name not in _hashes:
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py"):
            return None  # built in, compiled, or a folder
        try:
            _hashes[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError:  # a zip archive, or deleted since
            return None
    return _hashes[name]


def _compare(ref: CodeRef, home: str, digest: str | None) -> None:
    if ref.sha256 is not None and ref.sha256 != digest:
        here = "has no source to compare" if digest is None else f"is {digest[:12]}..."
        raise CodeChanged(
            f"{home} is not what the run was started with: its SHA-256 was {ref.sha256[:12]}... "
            f"and here it {here}; bring all copies to the same state, or start a new run"
        )


def _kind_of(error: BaseException) -> type[CodeRaised]:
    unguarded = isinstance(error, _CalledWhileLoading) or _runs_a_loop(error)
    return Unguarded if unguarded else CodeRaised


def _runs_a_loop(error: BaseException) -> bool:
    """Whether it is what asyncio.run and the like raise in a node, whose loop runs already."""
    return isinstance(error, RuntimeError) and "from a running event loop" in str(error)


def _raised(home: str, path: Path | None, error: BaseException) -> str:
    # One line: of an exception that prints a page, `__cause__` has the rest.
    first_line = str(error).partition("\n")[0][:300]
    if _runs_a_loop(error):
        first_line = f'{first_line}; put the call under `if __name__ == "__main__":`'
    what = f"{type(error).__name__}: {first_line}".rstrip(": ")
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path is not None and frame.filename == str(path)
    ]
    if isinstance(error, _CalledWhileLoading):
        what = first_line
    if lines:
        return f"{home} cannot be loaded: line {lines[-1]}: {what}"
    return f"{home} cannot be loaded: {what}"


def _short(obj: object) -> str:
    text = repr(obj)
    return text if len(text) <= 80 else text[:77] + "..."

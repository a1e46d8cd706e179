"""The command ``actorfl``: an error is one line and an exit code, its traceback only on demand."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from actorfl import datacli, replaycli, topologycli
from actorfl.chaos.cli import chaos
from actorfl.errors import ActorflError
from actorfl.exitcodes import ExitCode
from actorfl.saying import (
    EPILOG,
    Output,
    closing_line,
    comparison,
    counted,
    fail,
    print_remote,
    row_line,
    sentence_and_code,
    summary,
    summary_of_seeds,
    took_effect,
)
from actorfl.simulate.cli import simulate
from actorfl.stopping import uninterrupted

if TYPE_CHECKING:
    from actorfl.baselines import Baselines
    from actorfl.execute import Result
    from actorfl.run import Run
    from actors.deploy import Deployment

# Options of `run` that take no value.
_FLAGS = frozenset({"--json", "--debug", "--help"})
# A key with a dot, or any word that is no path, and its value.
_DEPLOYMENT = re.compile(
    r"(?P<kind>processes|simulated)=(?P<count>[0-9]{1,4})(,spare=(?P<spare>[0-9]{1,4}))?"
)
_SETTING = re.compile(r"[A-Za-z_][\w.-]*\s*=")
# What --resume means when no directory follows it.
_LATEST = "latest"

app = typer.Typer(
    name="actorfl",
    help="Supervised federated training: actors that learn, restarted when they fail.",
    epilog=EPILOG,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def command() -> None:
    """Run the command line of this process and exit."""
    try:
        app(args=bare_resume(sys.argv[1:]), prog_name="actorfl")
    finally:
        # Of what is left, Python's own end, a second Ctrl-C would show the traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def bare_resume(arguments: Sequence[str]) -> list[str]:
    """Complete a ``--resume`` that no directory follows.

    What follows it is its directory unless it is an option or a file: the configuration.
    """
    completed: list[str] = []
    for place, argument in enumerate(arguments):
        completed.append(argument)
        if argument == "--resume":
            following = arguments[place + 1] if place + 1 < len(arguments) else "-"
            if (
                following.startswith("-")
                or following.endswith(".toml")
                or Path(following).is_file()
            ):
                completed[-1] = f"--resume={_LATEST}"
    return completed


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"actorfl {version('actorfl')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    del version


class _Command(typer.core.TyperCommand):
    """The command ``run``, which knows what people forget."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse a setting without the ``--set`` before it, in words that say so."""
        for before, word in zip(["", *args], args, strict=False):
            taken = before.startswith("--") and "=" not in before and before not in _FLAGS
            if _SETTING.match(word) and not taken and not Path(word).exists():
                raise typer.BadParameter(f"put --set before it: --set {shlex.quote(word)}", ctx)
        return super().parse_args(ctx, args)


@app.command(epilog=EPILOG, cls=_Command)
def run(  # noqa: PLR0917  (typer turns parameters into arguments and options)
    file: Annotated[
        Path | None,
        typer.Argument(help="The configuration, a TOML file.", metavar="FILE", show_default=False),
    ] = None,
    deploy: Annotated[
        str,
        typer.Option(
            help="Where: 'inline', in this process; 'processes=N', N for the workers and one each "
            "for aggregator and evaluator; 'processes=N,spare=1' keeps one in reserve; "
            "'simulated=N', the same in virtual time."
        ),
    ] = "inline",
    faults: Annotated[
        Path | None,
        typer.Option(
            help="What shall go wrong: a fault plan, a TOML file; see docs/simulation.md.",
            metavar="PLAN",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Override any key, such as until.rounds=5; may be repeated.",
            metavar="KEY=VALUE",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Continue a run that was killed: in DIR, or the newest of this name under --out. "
            "FILE may be left out; the run's own run.toml is taken then.",
            metavar="[DIR]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Carry it out with N seeds, the first as FILE says, each in a directory of its "
            "own, and end with mean ± standard deviation.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write the result as one line of JSON, and nothing else, to standard output; "
            "rounds, and what a task prints in this process, go to standard error.",
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Where a new run directory is made.")] = Path("runs"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train as FILE says, a line per round, and leave everything in one run directory."""
    if file is None and resume is None:
        raise typer.BadParameter("give a configuration FILE, or --resume", param_hint="FILE")
    if seeds is not None and resume is not None:
        raise typer.BadParameter(
            "each seed is a run of its own; --resume that of the seed which did not end, alone",
            param_hint="--seeds",
        )
    deployment = parse_deployment(deploy)
    if faults is not None and deploy == "inline":
        raise typer.BadParameter(
            "nothing can go wrong in one process; give --deploy simulated=N or processes=N with it",
            param_hint="--faults",
        )
    try:
        if faults is not None:
            deployment = disturbed(deployment, faults)
        # A task may print, when it is imported or when it trains in this process.
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            described, directory = _described(file, settings or [], resume, out)
            say = Output(sys.stdout)
            surplus = idle(deployment, len(described.topology.names))
            if surplus:
                say.line(row_line({"event": surplus}))
            on_row = _rows_to(say, resumed=directory is not None)

            def ended(result: Result) -> None:
                if seeds is not None or not as_json:
                    say.line(closing_line(result, local_parts=described.has_local_parts))
                    if faults is not None:
                        say.line(took_effect(result.faults))

            if seeds is None:
                result = described.start(
                    deployment, resume=directory, out=out, on_row=on_row, debug=debug
                )
                ended(result)
                told = summary(result)
            else:
                from actorfl.sweep import Sweep

                swept = Sweep(described, seeds).start(
                    deployment,
                    out=out,
                    on_row=on_row,
                    on_result=lambda _, result: ended(result),
                    debug=debug,
                )
                say.line(str(swept))
                told = summary_of_seeds(swept)
    except KeyboardInterrupt as stopped:
        # What had to end has ended.
        with uninterrupted():
            fail(interrupted(*stopped.args, deploy=deploy), ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  (every error ends as one line and a code)
        if debug:
            traceback.print_exc()
            print_remote(error)
        fail(*sentence_and_code(error))
    if as_json:
        Output(sys.stdout).line(json.dumps(told))


@app.command()
def show(
    directory: Annotated[
        Path | None,
        typer.Argument(help="A run directory; without it the newest.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where run directories are.")] = Path("runs"),
) -> None:
    """Print the rounds of a run, finished or not."""
    try:
        where = _shown(directory, out) if directory is not None else _newest(out)
        rows = _rows(where / "metrics.jsonl")
        compared = _baselines(where / "result.json")
    except ActorflError as error:
        fail(*sentence_and_code(error))
    say = Output(sys.stdout)
    say.line(str(where))
    for row in rows:
        say.line(row_line(row))
    if not rows:
        say.line("no round is complete yet")
    if compared is not None:
        say.line(f"baselines: {comparison(compared)}")


@app.command()
def top(
    what: Annotated[
        str,
        typer.Argument(
            help="The directory of a run, its name below --out, or an address: ipc:///..., "
            "tcp://127.0.0.1:PORT.",
            metavar="RUN|ADDRESS",
        ),
    ],
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write each look as one line of JSON.")
    ] = False,
    interval: Annotated[
        float, typer.Option(help="Seconds from one look to the next.", min=0.1, max=3600.0)
    ] = 1.0,
    out: Annotated[Path, typer.Option(help="Where run directories are.")] = Path("runs"),
) -> None:
    """Watch the actors of a run, or of any graph that can be observed, as they work."""
    from actorfl import watching
    from actors.errors import ObserveError
    from transports import TransportError

    try:
        address = what if "://" in what else watching.address_of(_shown(Path(what), out))
        watching.watch(
            address, once=once, as_json=as_json, interval=interval, say=Output(sys.stdout)
        )
    except KeyboardInterrupt:
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    except (ObserveError, TransportError) as error:
        fail(str(error), ExitCode.NO_ANSWER)
    except ActorflError as error:
        fail(*sentence_and_code(error))


app.command(epilog=EPILOG)(chaos)
app.command(epilog=EPILOG)(simulate)
app.command(epilog=EPILOG)(replaycli.replay)
app.add_typer(datacli.data)
app.add_typer(topologycli.topology)


def parse_deployment(text: str) -> Deployment:
    """Return what ``--deploy`` names.

    Raises:
        typer.BadParameter: it is none of ``inline``, ``processes=N`` and ``simulated=N``, the
            latter two with ``,spare=M`` behind them or not.
    """
    from actors.deploy import Inline, Processes, Simulated
    from actors.errors import UsageError

    if text == "inline":
        return Inline()
    kinds: dict[str, type[Processes | Simulated]] = {"processes": Processes, "simulated": Simulated}
    found = _DEPLOYMENT.fullmatch(text)
    if found is not None and 0 < int(found["count"]) <= 4096:
        try:
            return kinds[found["kind"]](int(found["count"]), spare=int(found["spare"] or 0))
        except UsageError as error:
            raise typer.BadParameter(str(error), param_hint="--deploy") from None
    raise typer.BadParameter(
        f"{text!r}: expected 'inline', 'processes=N' or 'simulated=N' with N from 1 to 4096, or "
        "'processes=N,spare=M'",
        param_hint="--deploy",
    )


def disturbed(deployment: Deployment, file: Path) -> Deployment:
    """Return a deployment in which goes wrong what a file says.

    Raises:
        MissingFile: the file cannot be read.
        UsageError: it holds no plan, or one that cannot be carried out there.
    """
    from dataclasses import replace

    from actorfl.chaos.plans import read
    from actors.deploy import Inline

    assert not isinstance(deployment, Inline)
    return replace(deployment, faults=read(file))


def interrupted(directory: Path | None = None, *, deploy: str = "inline") -> str:
    """Return what is said after Ctrl-C: the whole command that goes on."""
    from actorfl.rundir import shown

    if directory is None:
        return "interrupted before the run had a directory"
    where = f" --deploy {shlex.quote(deploy)}" if deploy != "inline" else ""
    resume = f"--resume {shlex.quote(str(shown(directory)))}"
    return f"interrupted; continue with: actorfl run {resume}{where}"


def idle(deployment: Deployment, workers: int) -> str:
    """Say that a deployment has processes for which there is no worker; nothing if it has none."""
    processes = getattr(deployment, "n", 0)
    if processes <= workers:
        return ""
    instead = counted(workers, "process", "processes")
    return f"{instead} instead of {processes}: there are no more workers"


def _rows_to(say: Output, *, resumed: bool) -> Callable[[Mapping[str, Any]], None]:
    """Return what writes rows as lines; the first sentence of a resumed run is its heading."""
    heading = resumed

    def on_row(row: Mapping[str, Any]) -> None:
        nonlocal heading
        is_heading, heading = heading and "event" in row, False
        say.line(str(row["event"]) if is_heading else row_line(row))

    return on_row


def _described(
    file: Path | None, settings: Sequence[str], resume: str | None, out: Path
) -> tuple[Run, Path | None]:
    """Return the run, and the directory in which it is to be resumed."""
    from actorfl.errors import MissingFile
    from actorfl.run import Run
    from actorfl.rundir import RunDirectory

    if file is None and resume is not None and Path(resume).is_file():
        file, resume = Path(resume), _LATEST
    if file is not None and _is_run(file):
        again = f"actorfl run --resume {shlex.quote(str(file))}"
        raise MissingFile(file, f"it is the directory of a run; continue it with: {again}")
    if file is not None and resume == _LATEST and _is_run(file.parent):
        # The configuration that a run left stands for that run.
        resume, file = str(file.parent), None
    if file is not None:
        described = Run.from_toml(file, settings)
        if resume == _LATEST:
            return described, RunDirectory.latest(out, described.name)
        return described, None if resume is None else _named(Path(resume), out)
    latest = resume in {None, _LATEST}
    directory = RunDirectory.latest(out) if latest else _named(Path(str(resume)), out)
    if not _is_run(directory):
        RunDirectory.open(directory, grace=0).close()  # says why it is none
    return Run.from_toml(directory / "run.toml", settings), directory


def _shown(directory: Path, out: Path) -> Path:
    """Return the directory of a run that was named, by its path or by its name below ``out``.

    Raises:
        RunDirectoryError: it is no directory of a run.
    """
    from actorfl.errors import RunDirectoryError

    where = _named(directory, out)
    if _is_run(where):
        return where
    hint = ""
    if directory.is_dir() and any(map(_is_run, directory.iterdir())):
        hint = (
            f"; there are runs in it, the newest: actorfl show --out {shlex.quote(str(directory))}"
        )
    elif directory.is_file() and _is_run(directory.parent):
        hint = f"; it is a file of one: actorfl show {shlex.quote(str(directory.parent))}"
    elif directory.is_file() and directory.suffix == ".toml":
        hint = f"; to carry it out: actorfl run {shlex.quote(str(directory))}"
    raise RunDirectoryError(f"{directory} is no directory of a run{hint}")


def _newest(out: Path) -> Path:
    """Return the directory of the run that was started last.

    Raises:
        RunDirectoryError: there is none.
    """
    from actorfl.errors import NothingToResume, RunDirectoryError
    from actorfl.rundir import RunDirectory

    try:
        return RunDirectory.latest(out)
    except NothingToResume as error:
        sentence = f"there is no run in {out}; say with --out where runs are, or name one"
        raise RunDirectoryError(sentence) from error


def _named(directory: Path, out: Path) -> Path:
    """Return the directory of a run that is named by its path, or by its name below ``out``."""
    below = out / directory
    return below if not _is_run(directory) and _is_run(below) else directory


def _is_run(directory: Path) -> bool:
    return all((directory / name).is_file() for name in ("run.toml", "configuration.json"))


def _baselines(path: Path) -> Baselines | None:
    """Return what a run that has ended was compared with, if it was."""
    import msgspec

    from actorfl.baselines import Baselines
    from actorfl.errors import MissingFile

    try:
        ended = json.loads(path.read_text())
        return msgspec.convert(ended.get("baselines"), Baselines | None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MissingFile(path, (error.strerror or str(error)).lower()) from error
    except (ValueError, AttributeError, msgspec.ValidationError) as error:
        raise MissingFile(path, f"it does not tell how a run ended: {error}") from error


def _rows(path: Path) -> list[Mapping[str, Any]]:
    from actorfl.errors import MissingFile

    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MissingFile(path, (error.strerror or str(error)).lower()) from error
    rows: list[Mapping[str, Any]] = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break  # a kill in the middle of a line leaves its beginning
    return rows

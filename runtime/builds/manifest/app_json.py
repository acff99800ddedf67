"""Read `app.json` in the format of Heroku and Dokku. Pure.

Heroku: devcenter.heroku.com/articles/app-json-schema
Dokku: dokku.com/docs/appendices/file-formats/app-json
Other platforms use the same file. So keys without a meaning here are ignored, with a note.
A key that has a meaning and a wrong value is an error. Comments and trailing commas are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from runtime.builds.manifest.documents import parse_json
from runtime.builds.manifest.fields import LONGEST_VALUE, Table
from runtime.builds.manifest.json_comments import plain_json
from runtime.builds.manifest.toml import MOST_CRONS, MOST_VARIABLES, SECRET_DIGITS
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.manifest import (
    HOUR,
    JSON,
    AppFile,
    CronJob,
    Overlap,
    Process,
    Script,
    Sizes,
    Variable,
)
from runtime.contract.quantities import Bytes, Millicores
from runtime.errors import BadSource

_SILENT = (
    "$schema",
    "name",
    "description",
    "keywords",
    "repository",
    "website",
    "logo",
    "success_url",
    "stack",
)
_READ = ("formation", "env", "scripts", "healthchecks", "cron")
_MIB = 2**20
_SMALL = Sizes(memory=Bytes(512 * _MIB))
_HEROKU = {  # keys are without the prefixes private- and shield-
    "free": _SMALL,
    "eco": _SMALL,
    "hobby": _SMALL,
    "basic": _SMALL,
    "standard-1x": _SMALL,
    "standard-2x": Sizes(memory=Bytes(1024 * _MIB), cpu=Millicores(1000)),
    "performance-m": Sizes(memory=Bytes(2560 * _MIB), cpu=Millicores(2000)),
    "performance-l": Sizes(memory=Bytes(14 * 1024 * _MIB), cpu=Millicores(8000)),
}
_POLICIES = {"forbid": Overlap.SKIP, "allow": Overlap.ALLOW, "replace": Overlap.REPLACE}


def read(text: str) -> AppFile:
    """Return the manifest. BadSource names the line or the key."""
    try:
        document = parse_json(plain_json(text))
    except ValueError as error:
        raise BadSource(f"{JSON} is not valid JSON: {error}.", hint="Correct that line.") from None
    if not isinstance(document, dict):
        raise BadSource(f"{JSON} is not an object.", hint="Put its keys into { and }.")
    top = Table(JSON, "", document)
    notes = [_left_out(top, key) for key in top.unknown((*_SILENT, *_READ))]
    return AppFile(
        file=JSON,
        processes=_processes(top, notes),
        variables=_variables(top, notes),
        postdeploy=_postdeploy(top, notes),
        health=_health(top),
        crons=_crons(top, notes),
        notes=tuple(notes[:20]),
    )


def _left_out(table: Table, key: str) -> str:
    return (
        f"{JSON}: {f'{table.place}.' if table.place else ''}{_quiet(key)} is not supported and is"
        " ignored."
    )


def _quiet(text: str) -> str:
    """Return a name from the file in a form that is safe for a line of a log."""
    return re.sub(r"[^ -~]", "?", text)[:60]


def _processes(top: Table, notes: list[str]) -> dict[str, Process]:
    found = {}
    for name, table in top.named_tables("formation"):
        if name == "release":
            notes.append(_left_out(top.table("formation"), name))
            continue
        top.table("formation").process_name(name)
        notes += [_left_out(table, key) for key in table.unknown(("quantity", "size"))]
        count = table.whole("quantity", 1, least=0, most=1000) if "quantity" in table else None
        word = table.text("size").lower()
        sizes = _HEROKU.get(word.removeprefix("private-").removeprefix("shield-"))
        if word and sizes is None:
            notes.append(
                f"{JSON}: {table.place}.size is {_quiet(word)}, which is not a known size, and is"
                " ignored."
            )
        found[name] = Process(count=count, sizes=sizes or Sizes())
    return found


def _variables(top: Table, notes: list[str]) -> dict[str, Variable]:
    table = top.table("env")
    if len(table.values) > MOST_VARIABLES:
        raise top.wrong(
            "env",
            f"has more than {MOST_VARIABLES} config vars",
            "Put data into a file of the source.",
        )
    return {table.variable_name(name): _variable(table, name, notes) for name in table.values}


def _variable(table: Table, name: str, notes: list[str]) -> Variable:
    if not isinstance(table.values[name], dict):
        return Variable(value=_scalar(table, name))
    entry = table.table(name)
    generator = entry.text("generator")
    if generator not in ("", "secret"):
        raise entry.wrong("generator", f"is {generator[:60]!r}", 'Write "secret".')
    notes += [
        _left_out(entry, key)
        for key in entry.unknown(("value", "generator", "required", "description"))
    ]
    value = _scalar(entry, "value") if entry.values.get("value") is not None else None
    wanted = entry.flag("required", value is None and not generator)
    digits = SECRET_DIGITS if generator and value is None else 0
    return Variable(
        value=value, digits=digits, required=wanted, description=entry.text("description")
    )


def _scalar(table: Table, key: str) -> str:
    """Return a value as text.

    Many files have numbers and booleans, although the format requires strings.
    """
    match table.values[key]:
        case bool() as flag:
            return "true" if flag else "false"
        case int() | float() as number if abs(number) < 2**63:
            return str(number)
        case _:
            return table.text(key, most=LONGEST_VALUE)


def _postdeploy(top: Table, notes: list[str]) -> Script:
    scripts = top.table("scripts")
    notes += [_left_out(scripts, key) for key in scripts.unknown(("postdeploy",))]
    if isinstance(scripts.values.get("postdeploy"), dict):
        return Script(command=scripts.table("postdeploy").command("command"))
    return Script(command=scripts.command("postdeploy"))


def _health(top: Table) -> HealthCheck | None:
    """Return the check of `web` that decides when an instance may receive traffic."""
    checks = list(top.table("healthchecks").tables("web", most=20))
    chosen = next(
        (table for table in checks if table.values.get("type") in ("startup", "readiness")),
        checks[0] if checks else None,
    )
    if chosen is None:
        return None
    check = HealthCheck(
        timeout=chosen.seconds("timeout", 5, least=0.1, most=30),
        interval=chosen.seconds("wait", 10, least=1, most=HOUR),
        start_period=chosen.seconds("initialDelay", 30, least=0, most=HOUR),
        attempts=chosen.whole("attempts", 3, least=1, most=100),
    )
    if "command" in chosen:
        return replace(check, kind=CheckKind.COMMAND, command=_words(chosen))
    if "path" in chosen:
        return replace(check, path=chosen.health_path("path"))
    return replace(check, kind=CheckKind.TCP) if chosen.flag("listening") else check


def _words(table: Table) -> tuple[str, ...]:
    """Return the words of a command, which Dokku writes as a list."""
    words = table.values["command"]
    if not isinstance(words, list):
        line = table.command("command")
        return ("/bin/sh", "-c", line)
    if not words or len(words) > 100:
        raise table.wrong("command", "is not a valid command", "Write a list of at most 100 words.")
    listed = Table(
        table.file,
        table.place,
        {f"command word {number}": word for number, word in enumerate(words, start=1)},
    )
    return tuple(listed.text(key) for key in listed.values)


def _crons(top: Table, notes: list[str]) -> tuple[CronJob, ...]:
    found: dict[str, CronJob] = {}
    for number, table in enumerate(top.tables("cron", most=MOST_CRONS), start=1):
        notes += [
            _left_out(table, key)
            for key in table.unknown(
                ("name", "command", "schedule", "concurrency_policy", "maintenance")
            )
        ]
        if table.flag("maintenance"):
            notes.append(
                f"{JSON}: {table.place} runs only while the app is in maintenance, and is ignored."
            )
            continue
        name = next(_names(table.text("name"), number, found))
        table.process_name(name)
        if "command" not in table:
            raise table.wrong("command", "is missing", "Write the shell command to run.")
        policy = table.text("concurrency_policy", "forbid")
        if policy not in _POLICIES:
            raise table.wrong(
                "concurrency_policy", f"is {policy[:60]!r}", f"Write one of {', '.join(_POLICIES)}."
            )
        schedule, command = table.schedule("schedule"), table.command("command")
        found[name] = CronJob(
            name=name, schedule=schedule, command=command, overlap=_POLICIES[policy]
        )
    return tuple(found.values())


def _names(wished: str, number: int, taken: Mapping[str, object]) -> Iterator[str]:
    """Yield the job's own name, then names by its number that are not yet used."""
    if wished and wished not in taken:
        yield wished
    candidates = (f"cron-{suffix}" for suffix in range(number, number + MOST_CRONS + 1))
    yield from (name for name in candidates if name not in taken)

"""Read `slipway.toml`. An unknown key is an error. Pure."""

from __future__ import annotations

from runtime.builds.languages.detect import BUILDERS, DOCKERFILE
from runtime.builds.manifest.documents import parse_toml
from runtime.builds.manifest.fields import LONGEST_VALUE, Table
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.manifest import (
    HOUR,
    MINUTE,
    TOML,
    AppFile,
    Building,
    CronJob,
    DeclaredVolume,
    Overlap,
    Process,
    Script,
    Sizes,
    Static,
    Variable,
)
from runtime.contract.volumes import (
    MOST_VOLUMES,
    SMALLEST,
    checked_name,
    checked_path,
    checked_size,
    overlapping,
)
from runtime.errors import BadSource

MOST_CRONS = 50
MOST_VARIABLES = 200
SECRET_DIGITS = 64
_SIZES = ("cpu", "memory", "disk", "pids")
_TOP = (
    "processes",
    "limits",
    "env",
    "release",
    "postdeploy",
    "health",
    "cron",
    "volumes",
    "build",
    "static",
)


def read(text: str) -> AppFile:
    """Return the manifest. BadSource names the line or the key."""
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise BadSource(
            f"{TOML} is not valid TOML: {error}.",
            hint="Correct that line; see toml.io for the syntax.",
        ) from None
    top = Table(TOML, "", document)
    top.only(_TOP)
    limits = top.table("limits")
    limits.only(_SIZES)
    sizes = limits.sizes()
    return AppFile(
        file=TOML,
        processes={
            name: _process(top, name, table, sizes) for name, table in top.named_tables("processes")
        },
        limits=sizes,
        variables=_variables(top),
        release=_script(top.table("release")),
        postdeploy=_script(top.table("postdeploy")),
        health=_health(top.table("health")) if "health" in top else None,
        crons=_crons(top, sizes),
        volumes=_volumes(top),
        building=_building(top.table("build")),
        static=_static(top.table("static")),
    )


def _process(top: Table, name: str, table: Table, sizes: Sizes) -> Process:
    top.table("processes").process_name(name)
    if name == "release":
        raise top.wrong("processes.release", "is not a process type", "Write it as [release].")
    table.only(("command", "count", *_SIZES))
    count = table.whole("count", 1, least=0, most=1000) if "count" in table else None
    return Process(command=table.command("command"), count=count, sizes=table.sizes().over(sizes))


def _variables(top: Table) -> dict[str, Variable]:
    table = top.table("env")
    if len(table.values) > MOST_VARIABLES:
        raise top.wrong(
            "env",
            f"has more than {MOST_VARIABLES} config vars",
            "Put data into a file of the source.",
        )
    return {table.variable_name(name): _variable(table, name) for name in table.values}


def _variable(table: Table, name: str) -> Variable:
    if not isinstance(table.values[name], dict):
        return Variable(value=table.text(name, most=LONGEST_VALUE))
    entry = table.table(name)
    entry.only(("value", "generate", "required", "description"))
    if "value" in entry and "generate" in entry:
        raise table.wrong(name, "has both a value and generate", "Remove one of them.")
    value = entry.text("value", most=LONGEST_VALUE) if "value" in entry else None
    return Variable(
        value=value,
        digits=_digits(entry),
        required=entry.flag("required"),
        description=entry.text("description"),
    )


def _digits(entry: Table) -> int:
    if "generate" not in entry:
        return 0
    if entry.values["generate"] == "secret":
        return SECRET_DIGITS
    if isinstance(entry.values["generate"], str):
        raise entry.wrong(
            "generate",
            'is not "secret" or a number',
            'Write "secret", or the number of hexadecimal digits.',
        )
    return entry.whole("generate", SECRET_DIGITS, least=16, most=256)


def _script(table: Table) -> Script:
    table.only(("command", "timeout"))
    return Script(
        command=table.command("command"),
        timeout=table.seconds("timeout", 20 * MINUTE, least=1, most=2 * HOUR),
    )


def _health(table: Table) -> HealthCheck:
    table.only(("kind", "path", "command", "timeout", "start_period", "interval", "attempts"))
    kind = table.choice(
        "kind", CheckKind, CheckKind.COMMAND if "command" in table else CheckKind.HTTP
    )
    for key, of in (("path", CheckKind.HTTP), ("command", CheckKind.COMMAND)):
        if key in table and kind is not of:
            raise table.wrong(
                key,
                f"is not supported for a check of kind {kind}",
                f'Remove it, or write kind = "{of}".',
            )
    if kind is CheckKind.COMMAND and "command" not in table:
        raise table.wrong(
            "command",
            "is missing",
            "Write a shell command that exits with 0 when the instance is healthy.",
        )
    line = table.command("command")
    return HealthCheck(
        kind=kind,
        path=table.health_path("path"),
        command=("/bin/sh", "-c", line) if line else (),
        timeout=table.seconds("timeout", 5, least=0.1, most=30),
        start_period=table.seconds("start_period", 30, least=0, most=HOUR),
        interval=table.seconds("interval", 10, least=1, most=HOUR),
        attempts=table.whole("attempts", 3, least=1, most=100),
    )


def _crons(top: Table, sizes: Sizes) -> tuple[CronJob, ...]:
    found: dict[str, CronJob] = {}
    for table in top.tables("cron", most=MOST_CRONS):
        table.only(("name", "schedule", "command", "timezone", "overlap", "timeout", *_SIZES))
        for key in ("name", "command"):
            if key not in table:
                raise table.wrong(
                    key, "is missing", "Each [[cron]] has a name, a schedule and a command."
                )
        name = table.text("name")
        if not name:
            raise table.wrong("name", "is empty", "Give the job a name.")
        table.process_name(name)
        if name in found:
            raise table.wrong(
                "name",
                f"is {name!r}, which is the name of another job",
                "Give each job a different name.",
            )
        found[name] = CronJob(
            name=name,
            schedule=table.schedule("schedule"),
            command=table.command("command"),
            timezone=table.timezone("timezone"),
            overlap=table.choice("overlap", Overlap, Overlap.SKIP),
            timeout=table.seconds("timeout", HOUR, least=1, most=24 * HOUR),
            sizes=table.sizes().over(sizes),
        )
    return tuple(found.values())


def _volumes(top: Table) -> tuple[DeclaredVolume, ...]:
    found: list[DeclaredVolume] = []
    for name, table in top.named_tables("volumes"):
        table.only(("path", "size", "processes", "overlap"))
        for key in ("path", "size"):
            if key not in table:
                raise table.wrong(key, "is missing", "Each volume has a path and a size.")
        size, processes = table.size("size", SMALLEST), table.texts("processes", most=30)
        for process in processes:
            table.process_name(process)
        try:
            checked_name(name)
            path, size = checked_path(table.text("path")), checked_size(size)
        except ValueError as error:
            raise top.wrong(
                f"volumes.{name[:40]}", f"is not valid: {error}", "See docs/volumes.md."
            ) from None
        if other := overlapping(path, [volume.path for volume in found]):
            raise table.wrong(
                "path", f"is {path}, which overlaps the volume at {other}", "Use another path."
            )
        found.append(
            DeclaredVolume(
                name=name,
                path=path,
                size=size,
                processes=processes,
                overlap=table.flag("overlap"),
            )
        )
    if len(found) > MOST_VOLUMES:
        raise top.wrong(
            "volumes", f"has more than {MOST_VOLUMES} volumes", "Use folders in a volume."
        )
    return tuple(found)


def _building(table: Table) -> Building:
    table.only(("builder", "dockerfile", "args"))
    builder, dockerfile = table.text("builder"), table.path("dockerfile")
    if builder and builder not in BUILDERS:
        raise table.wrong(
            "builder", f"is {builder[:60]!r}", f"Known builders are {', '.join(BUILDERS)}."
        )
    if (dockerfile or "args" in table) and builder not in ("", DOCKERFILE):
        key = "dockerfile" if dockerfile else "args"
        raise table.wrong(
            key,
            f"is not supported for the builder {builder}",
            f'Remove it, or write builder = "{DOCKERFILE}".',
        )
    arguments = table.table("args")
    values = {
        arguments.variable_name(name): arguments.text(name, most=LONGEST_VALUE)
        for name in arguments.values
    }
    return Building(
        builder=DOCKERFILE if dockerfile else builder, dockerfile=dockerfile, arguments=values
    )


def _static(table: Table) -> Static:
    table.only(("folder", "single_page"))
    return Static(folder=table.path("folder"), single_page=table.flag("single_page"))

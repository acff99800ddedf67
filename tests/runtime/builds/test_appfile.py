"""Tests of slipway.toml and app.json: the value of each key, and useful errors for everything
else.
"""

from __future__ import annotations

import pytest

from runtime.builds.languages.detect import LanguageName, Source
from runtime.builds.manifest.load import read
from runtime.builds.plan import plan
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.manifest import AppFile, CronJob, Overlap, Process, Script, Sizes, Variable
from runtime.contract.quantities import Bytes, Millicores
from runtime.errors import BadSource
from tests.runtime.builds.app_files import app_json, toml

WHOLE = """
[processes.web]
command = "gunicorn shop.wsgi"
count = 2
memory = "512M"

[processes.worker]
cpu = 0.25

[limits]
cpu = 1
pids = 64

[env]
LOG_LEVEL = "info"
SECRET_KEY = { generate = "secret", description = "Signs sessions" }
TOKEN = { generate = 32 }
STRIPE_KEY = { required = true }

[release]
command = "python manage.py migrate"
timeout = "5m"

[postdeploy]
command = "python manage.py loaddata demo"

[health]
path = "/healthz"
attempts = 5

[[cron]]
name = "digest"
schedule = "0 7 * * MON-FRI"
timezone = "Europe/Berlin"
command = "python manage.py send_digest"

[[cron]]
name = "sweep"
schedule = "@hourly"
command = "./sweep"
overlap = "replace"
timeout = "90s"
memory = 67108864

[build]
dockerfile = "./deploy//Dockerfile"
args = { FLAVOUR = "plain" }

[static]
folder = "out/"
single_page = true
"""


def test_every_key_of_slipway_toml_has_its_value():
    found = toml(WHOLE)
    limits = {"pids": 64}
    assert found.processes == {
        "web": Process(
            command="gunicorn shop.wsgi",
            count=2,
            sizes=Sizes(cpu=Millicores(1000), memory=Bytes(512 * 2**20), **limits),
        ),
        "worker": Process(sizes=Sizes(cpu=Millicores(250), **limits)),
    }
    assert found.variables == {
        "LOG_LEVEL": Variable(value="info"),
        "SECRET_KEY": Variable(digits=64, description="Signs sessions"),
        "TOKEN": Variable(digits=32),
        "STRIPE_KEY": Variable(required=True),
    }
    assert found.release == Script(command="python manage.py migrate", timeout=300)
    assert found.postdeploy == Script(command="python manage.py loaddata demo")
    assert found.health == HealthCheck(path="/healthz", attempts=5)
    assert found.health.boot_seconds == 80
    assert found.crons == (
        CronJob(
            name="digest",
            schedule="0 7 * * MON-FRI",
            command="python manage.py send_digest",
            timezone="Europe/Berlin",
            sizes=Sizes(cpu=Millicores(1000), **limits),
        ),
        CronJob(
            name="sweep",
            schedule="0 * * * *",
            command="./sweep",
            overlap=Overlap.REPLACE,
            timeout=90,
            sizes=Sizes(cpu=Millicores(1000), memory=Bytes(64 * 2**20), **limits),
        ),
    )
    assert (found.building.builder, found.building.dockerfile) == (
        "dockerfile",
        "deploy/Dockerfile",
    )
    assert found.building.arguments == {"FLAVOUR": "plain"}
    assert (found.static.folder, found.static.single_page) == ("out", True)
    assert found.commands == {"web": "gunicorn shop.wsgi", "release": "python manage.py migrate"}
    covered = found.covering(["web", "clock", "release"])
    assert covered.processes == {
        **found.processes,
        "clock": Process(sizes=Sizes(cpu=Millicores(1000), **limits)),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[process.web]", "process is not a known key. Did you mean processes?"),
        (
            "[processes.web]\ncomand = 'x'",
            "processes.web.comand is not a known key. Did you mean command?",
        ),
        ("[zebra]", "zebra is not a known key. Known keys are processes, limits"),
        (
            "[processes.web]\ncount = '2'",
            "processes.web.count is '2'. Write a whole number from 0 to 1000.",
        ),
        ("[processes.web]\ncount = true", "processes.web.count is true"),
        (
            "[processes.web]\nmemory = '12Q'",
            "processes.web.memory is '12Q'. Write a size of at least 32 MiB",
        ),
        ("[processes.web]\nmemory = '1M'", "at least 32 MiB"),
        ("[processes.web]\ncpu = inf", "processes.web.cpu is inf"),
        ("[processes.'a b']", "processes.a b cannot be a name"),
        ("[processes.release]\ncommand='x'", "Write it as [release]."),
        ("[processes]\nweb = 3", "processes.web is 3. Make it a table"),
        ("[processes.web]\ncommand = ' '", "processes.web.command is empty"),
        ("[processes.web]\ncommand = 'a\nb'", "slipway.toml is not valid TOML"),
        ('[processes.web]\ncommand = """a\nb"""', "is more than one line"),
        ("[env]\nPORT = '1'", "env.PORT is set by Slipway"),
        ("[env]\n'2A' = '1'", "env.2A cannot be the name of a config var"),
        ("[env]\nA = 1", "env.A is 1. Write it as text, in quotes."),
        ("[env]\nA = { value = 'x', generate = 'secret' }", "env.A has both a value and generate"),
        ("[env]\nA = { generate = 'uuid' }", 'env.A.generate is not "secret" or a number'),
        ("[env]\nA = { generate = 8 }", "from 16 to 256"),
        ("[env]\nA = { requird = true }", "Did you mean required?"),
        ('[env]\nA = "a\\u0000b"', "characters that environment variables"),
        ("[health]\npath = 'healthz'", "starts with a slash"),
        ("[health]\nkind = 'grpc'", "health.kind is 'grpc'. Write one of http, tcp, command."),
        (
            "[health]\nkind = 'tcp'\npath = '/'",
            "health.path is not supported for a check of kind tcp",
        ),
        ("[health]\nkind = 'command'", "health.command is missing"),
        (
            "[health]\ntimeout = '2m'",
            'health.timeout is \'2m\'. Write a duration from "0.1s" to "30s".',
        ),
        ("[health]\ntimeout = nan", "health.timeout is nan"),
        (f"[health]\ninterval = {10**400}", "health.interval is a huge number"),
        ("[release]\ntimeout = '3h'", 'to "2h"'),
        ("[[cron]]\nschedule = '@daily'\ncommand = 'x'", "cron number 1.name is missing"),
        ("[[cron]]\nname = 'a'\ncommand = 'x'", "cron number 1.schedule is missing"),
        (
            "[[cron]]\nname = 'a'\nschedule = '61 * * * *'\ncommand = 'x'",
            "is not a valid schedule: bad minute",
        ),
        (
            "[[cron]]\nname = 'a'\nschedule = '* * * * * *'\ncommand = 'x'",
            "it must have five fields",
        ),
        (
            "[[cron]]\nname = 'a'\nschedule = '0 0 30 2 *'\ncommand = 'x'",
            "is not a valid schedule: bad day-of-month",
        ),
        (
            "[[cron]]\nname = 'a'\nschedule = '@daily'\ntimezone = 'Europe'\ncommand = 'x'",
            "which is not a known time zone",
        ),
        (
            (
                "[[cron]]\nname = 'a'\nschedule = '@daily'\ntimezone = '../../etc/passwd'\ncommand"
                " = 'x'"
            ),
            "which is not a known time zone",
        ),
        (
            "[[cron]]\nname = 'a'\nschedule = '@daily'\ncommand = 'x'\noverlap = []",
            "cron number 1.overlap is a list",
        ),
        (
            "[[cron]]\nname='a'\nschedule='@daily'\ncommand='x'\n" * 2,
            "which is the name of another job",
        ),
        ("[[cron]]\nname='a'\nschedule='@daily'\ncommand='x'\n" * 51, "has more than 50 entries"),
        ("[build]\nbuilder = 'cobol'", "Known builders are"),
        (
            "[build]\nbuilder = 'python'\ndockerfile = 'D'",
            "is not supported for the builder python",
        ),
        ("[build]\ndockerfile = '../D'", "Write a path inside the source"),
        ("a = ", "slipway.toml is not valid TOML: Invalid value (at end of document)"),
        ("[x\n", "at line 1, column 3"),
    ],
)
def test_a_mistake_is_reported_with_its_key_and_a_remedy(text, words):
    with pytest.raises(BadSource) as refused:
        toml(text)
    assert words in refused.value.explain()
    assert refused.value.hint


def test_app_json_of_heroku_and_dokku_is_read():
    found = app_json(
        {
            "name": "shop",
            "addons": ["heroku-postgresql"],
            "formation": {
                "web": {"quantity": 2, "size": "Standard-2X"},
                "worker": {"size": "huge"},
                "clock": {"quantity": 0, "max_parallel": 2},
                "release": {"quantity": 1},
            },
            "env": {
                "PLAIN": "x",
                "WORKERS": {"value": 3},
                "SECRET_KEY": {"generator": "secret", "description": "Signs"},
                "ASKED": {"description": "by a person"},
                "MAYBE": {"required": False},
            },
            "scripts": {"postdeploy": "bundle exec rake bootstrap", "test": "rake"},
            "healthchecks": {
                "web": [
                    {"type": "liveness", "path": "/no"},
                    {"type": "startup", "path": "/up", "attempts": 5, "wait": 2},
                ]
            },
            "cron": [
                {"command": "a", "schedule": "@daily"},
                {"command": "b", "schedule": "5 4 * * *", "concurrency_policy": "replace"},
                {"command": "c", "schedule": "5 4 * * *", "maintenance": True},
            ],
        }
    )
    assert found.processes == {
        "web": Process(count=2, sizes=Sizes(memory=Bytes(2**30), cpu=Millicores(1000))),
        "worker": Process(),
        "clock": Process(count=0),
    }
    assert found.variables == {
        "PLAIN": Variable(value="x"),
        "WORKERS": Variable(value="3"),
        "SECRET_KEY": Variable(digits=64, description="Signs"),
        "ASKED": Variable(required=True, description="by a person"),
        "MAYBE": Variable(),
    }
    assert found.postdeploy.command == "bundle exec rake bootstrap"
    assert found.health == HealthCheck(path="/up", attempts=5, interval=2)
    assert [(job.name, job.schedule, job.overlap) for job in found.crons] == [
        ("cron-1", "0 0 * * *", Overlap.SKIP),
        ("cron-2", "5 4 * * *", Overlap.REPLACE),
    ]
    said = "\n".join(found.notes)
    for words in (
        "addons is not supported",
        "clock.max_parallel",
        "formation.release",
        "size is huge",
        "scripts.test",
        "only while the app is in maintenance",
    ):
        assert words in said
    assert "name" not in said


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "app.json is not an object"),
        ({"formation": []}, "formation is a list. Make it a table"),
        ({"env": {"A": {"generator": "uuid"}}}, "env.A.generator is 'uuid'"),
        ({"env": {"A": "\ud800"}}, "characters that environment variables"),
        ({"cron": [{"schedule": "@daily"}]}, "cron number 1.command is missing"),
        ({"healthchecks": {"web": [{"command": []}]}}, "is not a valid command"),
    ],
)
def test_a_wrong_value_of_a_known_key_in_app_json_is_refused(document, words):
    with pytest.raises(BadSource) as refused:
        app_json(document)
    assert words in refused.value.explain()


def test_dokku_checks_by_command_and_by_listening_are_read():
    assert app_json(
        {"healthchecks": {"web": [{"command": ["./up", "a b"]}]}}
    ).health == HealthCheck(kind=CheckKind.COMMAND, command=("./up", "a b"))
    assert app_json({"healthchecks": {"web": [{"listening": True}]}}).health == HealthCheck(
        kind=CheckKind.TCP
    )


def test_slipway_toml_has_precedence_and_an_unreadable_file_is_refused():
    found = read({"slipway.toml": b"[env]\nA = 'toml'", "app.json": b"not even json"})
    assert found.variables == {"A": Variable(value="toml")}
    assert "app.json is ignored" in found.notes[0]
    assert read({}) == AppFile()
    with pytest.raises(BadSource, match="line 2: this is not UTF-8"):
        read({"slipway.toml": b"\n\xff"})
    with pytest.raises(BadSource, match="larger than 64 KiB"):
        read({"app.json": b" " * 70_000})
    for nested in (b"a = " + b"[" * 30_000, b"a = " + b"{a=" * 20_000):
        with pytest.raises(BadSource, match=r"nests too deeply|not valid TOML"):
            read({"slipway.toml": nested})
    with pytest.raises(BadSource, match=r"nests too deeply|not valid JSON"):
        read({"app.json": b"[" * 60_000})


def planned(text: str, **files: str):
    named = {name.replace("__", "/"): content for name, content in files.items()}
    return plan(
        Source(files=frozenset(named), texts=named, app_file=toml(text)), lambda: ["24.1.0"]
    )


def test_its_commands_replace_and_override_those_of_a_procfile():
    alone = planned("[processes.web]\ncommand = 'python3 serve.py'", **{"serve.py": ""})
    assert (alone.detected.language, alone.detected.because) == (
        LanguageName.PYTHON,
        "slipway.toml",
    )
    both = planned(
        "[processes.web]\ncommand = 'new'\n[release]\ncommand='r'",
        Procfile="web: old\nworker: w\nrelease: o",
    )
    assert both.processes == {"web": "new", "worker": "w", "release": "r"}


def test_the_named_builder_is_used():
    assert (
        planned(
            "[build]\nbuilder = 'static'", **{"package.json": "{}", "public/index.html": ""}
        ).detected.because
        == "public/index.html"
    )
    assert planned("[static]\nfolder = 'out'", **{"out/index.html": ""}).processes == {
        "web": "/opt/static/serve /app/out"
    }
    with pytest.raises(BadSource, match=r"no index.html in out"):
        planned("[build]\nbuilder = 'static'\n[static]\nfolder = 'out'", **{"index.html": ""})

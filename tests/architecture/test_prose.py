"""Every text of a clean room follows the rules of `prose.toml`, and so does the subject of every
new commit.
"""

import pytest

from runtime.process import run
from tests.architecture.prose import DATA, NAMES, ROOT, RULES, findings, findings_in, wrong_subject
from tests.architecture.tree import tracked

CLEAN = DATA["rooms"]["clean"]


@pytest.mark.parametrize("room", CLEAN)
def test_a_clean_room_holds_no_forbidden_word(room):
    assert tracked(room), f"{room} does not exist: correct `clean` in prose.toml"
    found = [*findings_in([room])]
    assert not found, "\n".join(["See docs/glossary.md.", *map(str, found)])


CHECKED_SINCE = "2026-11-28T19:30:00+00:00"  # older commits were written before there were rules


def test_every_file_is_in_a_room():
    rooms = {path for room in CLEAN for path in tracked(room)}
    ignored = {
        *tracked(
            "examples",
            "*.lock",
            "*.txt",
            "*.gitignore",
            ".npmrc",
            "package.json",
            "package-lock.json",
            "LICENSE",
            "*.md",
            "*.svg",
        )
    }
    missing = sorted(str(path.relative_to(ROOT)) for path in {*tracked()} - rooms - ignored)
    assert not missing, f"add the rooms of these files to prose.toml: {missing}"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.py", '"""Whose word counts for an app\'s health check."""'),
        ("a.py", 'def f():\n    """Return what is told to whoever looks."""'),
        ("a.py", "x = 1  # kept no more"),
        ("a.py", "x = 1\n# What goes by env on its way to\n# HAProxy is no router yet\ny = 2\n"),
        ("a.py", 'raise ValueError("That is no name of an image.")'),
        ("a.py", 'raise ValueError(f"{name} is no name of an image.")'),
        ("a.py", "for one in instances: pass"),
        ("a.py", "def f(one): pass"),
        ("a.py", "def test_whoever_fails_is_seen(): pass"),
        ("a.py", "@pytest.fixture\ndef node_beside_another(): pass"),
        ("a.py", f'"""Return {"very " * 25}much."""'),
        ("a.html", "<label>Three ways, whoever looks</label>"),
        ("a.html", '{% command text "Push anew" %}'),
        ("a.js", "// sent anew"),
        ("a.css", ".a { }\n\n/* for whoever looks */\n.b { }"),
        ("a.md", "The app is no worker."),
        ("a.md", "- first\n- the build is told\n  what to do"),
        ("a.md", f"It is {'very ' * 25}long."),
    ],
)
def test_a_planted_riddle_is_found(name, source):
    assert [*findings(ROOT / name, source)]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "a.py",
            (
                '"""Resolve the effective health check. There is no default."""\nFIRST ='
                ' "is_no_sentence"\n'
            ),
        ),
        ("a.md", "```\nwhoever\n```\nAn app is no longer served. Use `tell`.\n"),
        ("a.html", '<p class="beside">{{ text|told }} {% if told %}{% endif %}</p>'),
        (
            "a.md",
            (
                "<!-- rows: written by make attack -->\n| an app beside another |\n<!-- end of rows"
                " -->\n"
            ),
        ),
        ("a.css", ".beside { }\n/* next to */\n.beside { }"),
        ("a.md", f"| {'cell | ' * 30}\n|---|\n"),
    ],
)
def test_plain_text_passes(name, source):
    assert [*findings(ROOT / name, source)] == []


def test_a_finding_names_its_line():
    source = '"""Contain one thing.\n\nSecond line is for whoever reads.\n"""\n'
    assert [finding.line for finding in findings(ROOT / "a.py", source)] == [3]
    assert [
        finding.line for finding in findings(ROOT / "a.md", "# Title\n\ntext\n\nmore, beside\n")
    ] == [5]


def test_every_forbidden_word_has_its_line_in_the_glossary():
    glossary = (ROOT / "docs/glossary.md").read_text()
    words = [word for words, _, _ in RULES for word in words.split(", ")] + [*NAMES]
    assert [word for word in words if f"{word}" not in glossary] == []


def test_subjects_of_commits_since_this_check_are_short_and_plain():
    git = [
        "git",
        "-c",
        "safe.directory=*",
        "log",
        "--no-merges",
        f"--since={CHECKED_SINCE}",
        "--format=%H %s",
    ]
    commits = run(git, cwd=ROOT).stdout.decode().splitlines()
    wrong = [
        f"{commit[:12]} {subject}: {fault}"
        for commit, _, subject in (c.partition(" ") for c in commits)
        if (fault := wrong_subject(subject))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "subject",
    [
        "What goes by env on its way to HAProxy",
        "Fix the router, " + "which is slow " * 5,
        "Report to whoever asks",
        "fix the router",
    ],
)
def test_a_planted_subject_is_refused(subject):
    assert wrong_subject(subject)


def test_a_plain_subject_is_accepted():
    assert wrong_subject("Fix chown through magic links in build mounts") is None

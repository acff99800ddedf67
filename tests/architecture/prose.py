"""Find riddles in the texts of the repository: code, templates, docs and commit subjects.

`prose.toml` holds the rules and the rooms (files or folders) that already follow them. To list the
findings of a room:

    python -m tests.architecture.prose platform/portal/apps
"""

import ast
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import cleandoc
from io import StringIO
from pathlib import Path

from tests.architecture.tree import ROOT, tracked

DATA = tomllib.loads((Path(__file__).parent / "prose.toml").read_text())
RULES = [
    (rule["word"], re.compile(rule["pattern"], re.IGNORECASE), rule["use"]) for rule in DATA["rule"]
]
NAMES = {rule["name"]: rule["use"] for rule in DATA["name"]}
QUESTION = re.compile(r"\s*(what|who|whose|whom|whoever|whether|how|which|why)\b", re.IGNORECASE)
LONGEST_SENTENCE = 25  # words
LONGEST_SUBJECT = 72  # characters
TEXTS = {".html", ".js", ".mjs", ".css", ".toml", ".sh", ".json", ""}
# Words of others, of planted examples, of samples of an earlier state folder, and of generated
# files, which are checked where they are written.
OTHERS_WORDS = re.compile(
    r"examples/|package-lock\.json|.*/programs/|.*\.min\.|tests/architecture/(?:test_)?prose\.|docs/glossary\.md"
    r"|tests/workers/upgrade/earlier/"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A place that breaks a rule."""

    path: str
    line: int
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: {self.advice}"


def forbidden_words(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield each forbidden word, the number of its line in the text (from 0), and the advice."""
    for _, pattern, use in RULES:
        for match in pattern.finditer(text):
            start, end = max(0, match.start() - 25), match.end() + 25
            yield (
                " ".join(text[start:end].split()),
                text.count("\n", 0, match.start()),
                f"write {use}",
            )


def long_sentences(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield sentences of more than 25 words. Links, code and tags count as one word each."""
    plain = re.sub(r"`[^`]*`|\{[^}]*\}", "x", text)
    for match in re.finditer(r"[^.!?:;|]+(?:[.](?=\w)[^.!?:;|]*)*", plain):
        words = match[0].split()
        if len(words) > LONGEST_SENTENCE:
            line = plain.count("\n", 0, match.start() + len(match[0]) - len(match[0].lstrip()))
            yield (
                " ".join(words[:8]) + " …",
                line,
                f"a sentence of {len(words)} words; {LONGEST_SENTENCE} at most",
            )


def of_python(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, text, whether it is a docstring) of docstrings, comments, messages and names of
    tests and fixtures.
    """
    comments = [
        token
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    block: list[str] = []
    for index, token in enumerate(comments):
        block.append(token.string.lstrip("#!: "))
        after = comments[index + 1] if index + 1 < len(comments) else None
        joined = (
            after
            and after.start == (token.start[0] + 1, token.start[1])
            and after.line.lstrip().startswith("#")
        )
        if not joined:
            yield token.start[0] - len(block) + 1, "\n".join(block), False
            block = []
    documented: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if (text := ast.get_docstring(node, clean=False)) and isinstance(
                node.body[0], ast.Expr
            ):
                documented.add(node.body[0].value)
                yield node.body[0].lineno, text, True
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_test_or_fixture(
                node
            ):
                yield node.lineno, node.name.replace("_", " "), False
        elif isinstance(node, ast.JoinedStr):
            documented.update(node.values)
            yield (
                node.lineno,
                "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "{x}"
                    for part in node.values
                ),
                False,
            )
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in documented
            and " " in node.value.strip()
        ):
            yield node.lineno, node.value, False


def is_test_or_fixture(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return node.name.startswith("test_") or any(
        "fixture" in ast.unparse(decorator) for decorator in node.decorator_list
    )


def names(source: str) -> Iterator[tuple[int, str]]:
    """Yield names that the source gives to variables, arguments and functions."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name)
            ):
                yield node.lineno, name


def of_markdown(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of paragraphs, list items and table cells; code blocks and link targets
    are left out.
    """
    others = (  # code, and tables that a program writes
        r"^```.*?^```|<!-- \w+: written by .*?<!-- end"
    )
    source = re.sub(
        others, lambda block: "\n" * block[0].count("\n"), source, flags=re.DOTALL | re.MULTILINE
    )
    source = re.sub(r"\]\([^)]*\)", "]", source)
    line = 1
    for part in re.split(r"(\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.)\s?)|(?<=\|)\n)", source):
        if part.strip():
            yield line, part
        line += part.count("\n")


def prose_of(source: str, suffix: str) -> str:
    """Return the text with the code of a template or stylesheet blanked. Lines keep their
    numbers.
    """
    if suffix == ".css":
        return re.sub(
            r"(?:^|\*/).*?(?=/\*|\Z)",
            lambda code: "\n" * code[0].count("\n"),
            source,
            flags=re.DOTALL,
        )
    if suffix != ".html":
        return source
    code = (
        r"\{\{.*?\}\}|\{%.*?%\}|\b(?:class|id|href|action|name|hx-[a-z-]+|sse-[a-z-]+)=\"[^\"]*\""
    )
    return re.sub(
        code,
        lambda match: (
            " ".join(re.findall(r"'[^']*'|\"[^\"]*\"", match[0])) if match[0][:2] == "{%" else " x "
        ),
        source,
    )


def findings(path: Path, source: str) -> Iterator[Finding]:
    """Yield what breaks the rules in one file's text."""
    place = str(path.relative_to(ROOT))
    if path.suffix == ".py":
        for line, text, is_docstring in of_python(source):
            for found, offset, advice in forbidden_words(text):
                yield Finding(place, line + offset, found, advice)
            if is_docstring and QUESTION.match(text):
                yield Finding(
                    place, line, text[:40], "start with a verb (Return, Create) or with a noun"
                )
            prose = re.sub(
                r"^ {4}.*$", ".", cleandoc(text), flags=re.MULTILINE
            )  # without literal blocks
            for found, offset, advice in long_sentences(prose) if is_docstring else ():
                yield Finding(place, line + offset, found, advice)
        for line, name in names(source):
            if name in NAMES:
                yield Finding(place, line, name, f"write {NAMES[name]}")
    elif path.suffix == ".md":
        for line, text in of_markdown(source):
            for found, offset, advice in (
                *forbidden_words(re.sub(r"`[^`]*`", "`x`", text)),
                *long_sentences(text),
            ):
                yield Finding(place, line + offset, found, advice)
    elif path.suffix in TEXTS:
        for found, offset, advice in forbidden_words(prose_of(source, path.suffix)):
            yield Finding(place, 1 + offset, found, advice)


def findings_in(rooms: Iterable[str]) -> Iterator[Finding]:
    """Check every tracked file in the rooms, each a file or a folder."""
    for path in tracked(*rooms):
        if path.suffix in {".py", ".md", *TEXTS} and not OTHERS_WORDS.match(
            str(path.relative_to(ROOT))
        ):
            try:
                source = path.read_text()
            except UnicodeDecodeError:
                continue  # a picture or an archive
            yield from findings(path, source)


def wrong_subject(subject: str) -> str | None:
    """Return the fault of a commit's subject, or None."""
    if len(subject) > LONGEST_SUBJECT:
        return f"{len(subject)} characters; {LONGEST_SUBJECT} at most"
    if QUESTION.match(subject) or not subject[:1].isupper():
        return "start with a verb in the imperative: Fix, Add, Remove"
    return next((f"{text!r}: {advice}" for text, _, advice in forbidden_words(subject)), None)


if __name__ == "__main__":
    for finding in findings_in(sys.argv[1:] or DATA["rooms"]["clean"]):
        print(finding)

"""The shell text of a RUN step, or the program that its heredoc contains."""

from __future__ import annotations

from runtime.builds.dockerfile.syntax import Instruction

_SCRIPTS = "/dev/pipes"  # the folder in which BuildKit shows a heredoc that is a script


def script_of(run: Instruction) -> tuple[str, bytes | None]:
    """Return (shell text, script).

    A single heredoc that begins with #! is a separate program; other heredocs belong to the
    shell.
    """
    bodies = run.heredocs
    if not bodies:
        return run.args[0], None
    line = run.args[0]
    if (
        len(bodies) == 1
        and line.lstrip("0123456789<- \t").strip("'\"") == bodies[0].name
        and line.lstrip("0123456789").startswith("<<")
    ):
        text = bodies[0].content
        return (
            (f"{_SCRIPTS}/{bodies[0].name}", text.encode())
            if text.startswith("#!")
            else (text, None)
        )
    return f"{line}\n" + "".join(f"{body.content}{body.name}\n" for body in bodies), None

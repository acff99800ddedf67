"""`python -m tests.portal.access.document`: write docs/access.md from the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.portal.access.rules import Role
from tests.portal.access.table import ROUTES, Route

_HEAD = """# Who may reach what

Every URL pattern of the portal and every operation of its API, by role. Tests send each of these requests as each role and fail when an
answer differs from this page, when a route is missing here, or when this page names a route that does not exist
([test_access.py](../tests/portal/access/test_access.py)). This page is made of [table.py](../tests/portal/access/table.py).

The roles: a person who is not signed in; a signed-in person without a team; a member of another team; a member and an owner of the team
that has the app; an admin who is in no team.

| answer | meaning |
|---|---|
| yes | The request is carried out, or refused for a reason that is not the role |
| own only | The answer lists what belongs to the person's own teams, and nothing else |
| sign in | A redirect to the sign-in page |
| 401, 403 | Refused: no valid token, or not allowed |
| 404 | The same answer as for a thing that does not exist |
| refused | The page says who may do this |

Pages take a session, and a CSRF token with every POST. The API and `/metrics` take `Authorization: Bearer TOKEN`, git and the registry
take the token as the password. A session alone opens none of these, so no other site can use one.
"""


def text_of(routes: Sequence[Route]) -> str:
    """Return the whole page."""
    lines = [f"| method | pattern | {' | '.join(Role)} |", f"|---|---|{'---|' * len(Role)}"]
    for route in routes:
        outcomes = " | ".join(route.rule.of(role) for role in Role)
        pattern = f"/{route.pattern}".replace("|", "\\|")
        lines.append(f"| {route.method} | `{pattern}` | {outcomes} |")
    return f"{_HEAD}\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[3] / "docs/access.md"
    path.write_text(text_of(ROUTES))
    print(f"wrote {path.name}: {len(ROUTES)} routes")

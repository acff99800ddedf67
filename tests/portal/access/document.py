"""`python -m tests.portal.access.document`: write docs/access.md from the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.portal.access.rules import Role
from tests.portal.access.table import ROUTES, Route

_HEAD = """# Who may reach what

Every URL pattern of the portal and every operation of its API, by role. The tests send each of
these requests as each role ([test_access.py](../tests/portal/access/test_access.py)). They fail if
a response differs from this page. They also fail if a route is missing here, or if this page has a
route that does not exist. This page is generated from [table.py](../tests/portal/access/table.py).

The roles are:

- a person who is not signed in;
- a signed-in person without a team;
- a member of another team;
- a member and an owner of the team that owns the app;
- an admin without a team.

| result | meaning |
|---|---|
| yes | The request is carried out, or refused for another reason than the role |
| own only | The response lists only objects of the person's own teams |
| sign in | A redirect to the sign-in page |
| 401, 403 | Refused: no valid token, or not allowed |
| 404 | The same response as for an object that does not exist |
| refused | The page says who may do this |

Pages need a session, and a CSRF token with every POST. The API and `/metrics` need `Authorization:
Bearer TOKEN`. Git and the registry need the token as the password. A session alone gives no access
to these, so another site cannot use it.
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

"""Every route of the portal with its access rule. docs/access.md is generated from this table, and
tests check it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.portal.access import rules
from tests.portal.access.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route. `pattern` has the form of Django or the API; `path` is a real URL of team harbour,
    and `body` is sent to it."""

    method: str
    pattern: str
    rule: Rule
    path: str
    body: Mapping[str, object] = field(default_factory=dict)
    raw: bytes | None = None
    file: bool = False  # True if an archive is sent
    lists: str = ""  # a text that only the team's members see in the response


def _page(pattern: str, path: str = "", rule: Rule = rules.TEAM, lists: str = "") -> Route:
    return Route(method="GET", pattern=pattern, path=path or _shop(pattern), rule=rule, lists=lists)


def _form(pattern: str, path: str = "", rule: Rule = rules.TEAM, **body: object) -> Route:
    return Route(method="POST", pattern=pattern, path=path or _shop(pattern), rule=rule, body=body)


def _api(
    method: str,
    pattern: str,
    path: str = "",
    rule: Rule = rules.TOKEN_TEAM,
    lists: str = "",
    **body: object,
) -> Route:
    pattern = f"api/v1/{pattern}"
    return Route(
        method=method,
        pattern=pattern,
        path=path or _shop(pattern),
        rule=rule,
        body=body,
        lists=lists,
    )


def _registry(
    method: str, pattern: str, path: str, rule: Rule = rules.TOKEN_TEAM, raw: bytes = b""
) -> Route:
    return Route(method=method, pattern=f"v2/{pattern}", path=f"/v2/{path}", rule=rule, raw=raw)


def _shop(pattern: str) -> str:
    return "/" + pattern.replace("<slug:name>", "shop").replace("<name>", "shop").replace(
        "{name}", "shop"
    )


_BUILD = "apps/<slug:name>/builds/<int:number>"
_IMAGE = "apps/<slug:name>/images/<str:image>"
_INSTANCE = "apps/<slug:name>/instances/<slug:number>"
_DOMAIN = "apps/<slug:name>/domains/<str:host>"
_HOST = "/apps/shop/domains/shop.example.com"
_VOLUME = "volumes/<int:number>"
_SNAPSHOT = f"{_VOLUME}/snapshots/<int:snapshot>"
_REPOSITORY = "<str:team>/<str:app>"
_GIT = (
    r"^git/(?:(?P<team>[a-z0-9-]+)/)?(?P<name>[^/]+)\.git"
    r"/(?P<service>git-receive-pack|git-upload-pack)$"
)

PAGES = (
    _page("", "/", rules.SIGNED_IN_LIST, lists="docs-site"),
    _page("new", rule=rules.SIGNED_IN),
    _page("find", "/find?q=docs", rules.SIGNED_IN_LIST, lists="docs-site"),
    _page("find/apps", "/find/apps?q=docs", rules.SIGNED_IN_LIST, lists="docs-site"),
    _form("new", rule=rules.SIGNED_IN, name="another"),
    _page("new/hint", rule=rules.SIGNED_IN),
    _form("new/token", rule=rules.SIGNED_IN, name="another"),
    _form("new/example", rule=rules.SIGNED_IN, example="hello"),
    _page("apps/<slug:name>"),
    _page("apps/<slug:name>/logs"),
    _page("apps/<slug:name>/logs/file"),
    _form("apps/<slug:name>/failure/dismiss", failure="0"),
    _form("apps/<slug:name>/restart"),
    _page("apps/<slug:name>/settings"),
    _form("apps/<slug:name>/settings/config", name="COLOR", value="blue"),
    _form("apps/<slug:name>/settings/config/many", lines="COLOR=blue"),
    _page(
        "apps/<slug:name>/settings/config/<str:variable>",
        "/apps/shop/settings/config/SECRET_KEY?reveal",
    ),
    _form("apps/<slug:name>/settings/formation"),
    _page("apps/<slug:name>/settings/formation/preview"),
    _form("apps/<slug:name>/settings/branch", branch="release"),
    _form("apps/<slug:name>/settings/description", description="Sells boats"),
    _form("apps/<slug:name>/settings/name", name="www"),
    _form("apps/<slug:name>/settings/team", team="harbour", typed_name="shop"),
    _page("apps/<slug:name>/settings/health"),
    _form("apps/<slug:name>/settings/health", remove="1"),
    _page("apps/<slug:name>/settings/<slug:section>", "/apps/shop/settings/domains"),
    _form("apps/<slug:name>/settings/config/import", lines="COLOR=blue"),
    _page("apps/<slug:name>/settings/config/export"),
    _form("apps/<slug:name>/delete", typed_name="shop"),
    _page("sign-in", rule=rules.EVERYONE),
    _form("sign-in", rule=rules.EVERYONE, username="nobody", password="a wrong one"),
    _page("favicon.ico", rule=rules.EVERYONE),
    _page("robots.txt", rule=rules.EVERYONE),
    _form("sign-out", rule=rules.EVERYONE),
    _form("theme", rule=rules.EVERYONE, theme="dark"),
    _page("teams/new", rule=rules.SIGNED_IN),
    _form("teams/new", rule=rules.SIGNED_IN, name="another"),
    _page("team/<slug:name>", "/team/harbour"),
    _form(
        "team/<slug:name>/people",
        "/team/harbour/people",
        rules.TEAM_OWNER,
        username="newcomer",
        role="member",
    ),
    _form(
        "team/<slug:name>/people/<str:username>/remove",
        "/team/harbour/people/bosun/remove",
        rules.TEAM_OWNER,
    ),
    _page("account", rule=rules.SIGNED_IN),
    _form("account", rule=rules.SIGNED_IN, label="another"),
    _form("account/password", rule=rules.SIGNED_IN),
    _form("account/tokens/<int:number>/revoke", "/account/tokens/{token}/revoke", rules.THE_PERSON),
    _form("apps/<slug:name>/deploy"),
    _form("apps/<slug:name>/deploy/image", image="registry.example.com/shop:1"),
    _form("apps/<slug:name>/deploy/git", address="https://git.example.com/shop.git"),
    _form("apps/<slug:name>/repository/remove"),
    _page(_BUILD, "/apps/chat/builds/{build}"),
    _page(f"{_BUILD}/log", "/apps/chat/builds/{build}/log"),
    _form(f"{_BUILD}/cancel", "/apps/chat/builds/{build}/cancel"),
    _page("apps/<slug:name>/deploys"),
    _form("apps/<slug:name>/stack", rule=rules.ADMIN_OF_APP),
    _form("apps/<slug:name>/rollback", number=1),
    _page("apps/<slug:name>/releases/<int:number>/rollback", "/apps/shop/releases/1/rollback"),
    _page(
        "apps/<slug:name>/releases/<int:before>/compare/<int:after>",
        "/apps/shop/releases/1/compare/2",
    ),
    _page("apps/<slug:name>/releases/compare", "/apps/shop/releases/compare?before=1&after=2"),
    _form("apps/<slug:name>/releases/<int:number>/again", "/apps/shop/releases/{release}/again"),
    _form("apps/<slug:name>/domains/add", host="another.example.com"),
    _form("apps/<slug:name>/domains/addresses"),
    _form(f"{_DOMAIN}/verify", f"{_HOST}/verify"),
    _form(f"{_DOMAIN}/remove", f"{_HOST}/remove"),
    _form(f"{_DOMAIN}/certificate", f"{_HOST}/certificate", chain="no chain", key="no key"),
    _form(f"{_DOMAIN}/order", f"{_HOST}/order"),
    _page("apps/<slug:name>/traffic"),
    _form("apps/<slug:name>/traffic/auth", auth_name="visitor", auth_password="a long password"),
    _form("apps/<slug:name>/traffic/<slug:card>", "/apps/shop/traffic/rollout"),
    _page("apps/<slug:name>/metrics"),
    _page("requests", "/requests?id=3f1f8c5e-8a8e-4a53-9d0e-6b2f6c1f9a11", rules.SIGNED_IN),
    _page("requests/<str:request_id>", "/requests/3f1f8c5e-8a8e-4a53-9d0e-6b2f6c1f9a11"),
    _page("docs", rule=rules.SIGNED_IN),
    _page("docs/api", rule=rules.SIGNED_IN),
    _page("docs/<slug:name>", "/docs/git", rules.SIGNED_IN),
    _page("docs/pictures/<str:name>", "/docs/pictures/architecture.svg", rules.SIGNED_IN),
    _page("codes", rule=rules.EVERYONE),
    _page("codes/<str:code>", "/codes/H12", rules.EVERYONE),
    _form("apps/<slug:name>/jobs/<slug:job>/run", "/apps/shop/jobs/digest/run"),
    _form("apps/<slug:name>/runs", "/apps/shop/runs", command="true"),
    _form("apps/<slug:name>/runs/<int:number>/stop", "/apps/shop/runs/{run}/stop"),
    _form("apps/<slug:name>/runs/<int:number>/again", "/apps/shop/runs/{run}/again"),
    _page("images", rule=rules.SIGNED_IN_LIST, lists="docs-site"),
    _page(_IMAGE, "/apps/shop/images/v2"),
    _form(f"{_IMAGE}/save", "/apps/shop/images/v2/save", format="oci-archive"),
    _form(f"{_IMAGE}/deploy", "/apps/shop/images/v1/deploy"),
    _form(f"{_IMAGE}/tag", "/apps/shop/images/v1/tag", tag="another"),
    _form("apps/<slug:name>/tags/<str:tag>/remove", "/apps/shop/tags/before-checkout/remove"),
    _page("apps/<slug:name>/compare", "/apps/shop/compare?before=v1&after=v2"),
    _form("apps/<slug:name>/compare/files", before="v1", after="v2"),
    _page(_INSTANCE, "/apps/shop/instances/shop-web-0"),
    _form(f"{_INSTANCE}/written", "/apps/shop/instances/shop-web-0/written"),
    _form(f"{_INSTANCE}/commit", "/apps/shop/instances/shop-web-0/commit", tag="another"),
    _page("apps/<slug:name>/image-jobs/<int:number>/file", "/apps/shop/image-jobs/{save}/file"),
    _form("apps/<slug:name>/volumes/add", name="other", size="64M"),
    _page(_VOLUME, "/volumes/{volume}"),
    _form(f"{_VOLUME}/settings", "/volumes/{volume}/settings", size="2G"),
    _form(f"{_VOLUME}/detach", "/volumes/{volume}/detach"),
    _form(f"{_VOLUME}/attach", "/volumes/{loose}/attach", app="shop"),
    _form(f"{_VOLUME}/delete", "/volumes/{volume}/delete", typed_name="uploads"),
    _form(f"{_VOLUME}/data/delete", "/volumes/{deleted}/data/delete", typed_name="deleted"),
    _form(f"{_VOLUME}/snapshots", "/volumes/{volume}/snapshots"),
    _form(f"{_SNAPSHOT}/delete", "/volumes/{volume}/snapshots/{snapshot}/delete"),
    _form(
        f"{_SNAPSHOT}/restore",
        "/volumes/{volume}/snapshots/{snapshot}/restore",
        typed_name="uploads",
    ),
    _form(f"{_VOLUME}/clone", "/volumes/{volume}/clone", name="copy"),
    _form(f"{_VOLUME}/download", "/volumes/{volume}/download"),
    _page(f"{_VOLUME}/archive", "/volumes/{volume}/archive"),
    _form(f"{_VOLUME}/upload", "/volumes/{volume}/upload"),
    _form(f"{_VOLUME}/files", "/volumes/{volume}/files", place="images"),
    _page("admin", rule=rules.ADMIN),
    _page("admin/node", rule=rules.ADMIN),
    _page("admin/clean-up", rule=rules.ADMIN),
    _form("admin/clean-up", rule=rules.ADMIN),
    _page("admin/activity", rule=rules.ADMIN),
    _page("admin/activity.csv", rule=rules.ADMIN),
    _form("admin/stacks", rule=rules.ADMIN),
    _form("admin/people", rule=rules.ADMIN, username="another", password="a quiet harbour 8"),
    _page("admin/teams/<slug:name>", "/admin/teams/harbour", rules.ADMIN),
    _form("admin/teams/<slug:name>", "/admin/teams/harbour", rules.ADMIN, apps=3),
    _page("admin/teams/<slug:name>/preview", "/admin/teams/harbour/preview", rules.ADMIN),
    _form(
        "admin/teams/<slug:name>/network",
        "/admin/teams/harbour/network",
        rules.ADMIN,
        egress="open",
    ),
)
STREAMS = (
    _page("apps/<slug:name>/events", rule=rules.STREAM),
    _page("apps/<slug:name>/deploys/events", rule=rules.STREAM),
    _page(
        "apps/<slug:name>/builds/<int:number>/events",
        "/apps/chat/builds/{build}/events",
        rules.STREAM,
    ),
    _page(
        "apps/<slug:name>/image-jobs/<int:number>/events",
        "/apps/shop/image-jobs/{save}/events",
        rules.STREAM,
    ),
    _page("apps/<slug:name>/metrics/events", rule=rules.STREAM),
    _page("apps/<slug:name>/logs/events", rule=rules.STREAM),
)
GIT = (
    _page(
        "git/<str:name>.git/info/refs",
        "/git/shop.git/info/refs?service=git-receive-pack",
        rules.TOKEN_TEAM,
    ),
    _page(
        "git/<slug:team>/<str:name>.git/info/refs",
        "/git/harbour/shop.git/info/refs?service=git-receive-pack",
        rules.TOKEN_TEAM,
    ),
    _page(
        "git/<slug:team>/<str:name>.git/info/refs",
        "/git/harbour/new.git/info/refs?service=git-receive-pack",
        rules.TOKEN_TEAM,
    ),
    Route(
        method="POST",
        pattern=_GIT,
        path="/git/shop.git/git-upload-pack",
        rule=rules.TOKEN_TEAM,
        raw=b"0000",
    ),
    Route(
        method="POST",
        pattern=_GIT,
        path="/git/shop.git/git-receive-pack",
        rule=rules.TOKEN_TEAM,
        raw=b"0000",
    ),
    Route(
        method="POST",
        pattern=_GIT,
        path="/git/harbour/shop.git/git-receive-pack",
        rule=rules.TOKEN_TEAM,
        raw=b"0000",
    ),
)
REGISTRY = (
    _registry("GET", "", "", rules.TOKEN),
    Route(
        method="GET",
        pattern="v2/_catalog",
        path="/v2/_catalog",
        rule=rules.TOKEN_LIST,
        lists="harbour/shop",
    ),
    _registry("POST", f"{_REPOSITORY}/blobs/uploads/", "harbour/shop/blobs/uploads/"),
    _registry("POST", f"{_REPOSITORY}/blobs/uploads", "harbour/shop/blobs/uploads"),
    _registry(
        "GET", f"{_REPOSITORY}/blobs/uploads/<str:id>", "harbour/shop/blobs/uploads/{upload}"
    ),
    _registry(
        "PATCH",
        f"{_REPOSITORY}/blobs/uploads/<str:id>",
        "harbour/shop/blobs/uploads/{upload}",
        raw=b"some",
    ),
    _registry(
        "PUT",
        f"{_REPOSITORY}/blobs/uploads/<str:id>",
        "harbour/shop/blobs/uploads/{upload}?digest={empty}",
    ),
    _registry(
        "DELETE", f"{_REPOSITORY}/blobs/uploads/<str:id>", "harbour/shop/blobs/uploads/{upload}"
    ),
    _registry("GET", f"{_REPOSITORY}/blobs/<str:digest>", "harbour/shop/blobs/{blob}"),
    _registry("HEAD", f"{_REPOSITORY}/blobs/<str:digest>", "harbour/shop/blobs/{blob}"),
    _registry("DELETE", f"{_REPOSITORY}/blobs/<str:digest>", "harbour/shop/blobs/{empty}"),
    _registry(
        "GET", f"{_REPOSITORY}/manifests/<str:reference>", "harbour/shop/manifests/{manifest}"
    ),
    _registry(
        "HEAD", f"{_REPOSITORY}/manifests/<str:reference>", "harbour/shop/manifests/{manifest}"
    ),
    _registry(
        "PUT",
        f"{_REPOSITORY}/manifests/<str:reference>",
        "harbour/shop/manifests/latest",
        raw=b"{}",
    ),
    _registry(
        "DELETE", f"{_REPOSITORY}/manifests/<str:reference>", "harbour/shop/manifests/{attached}"
    ),
    _registry("GET", f"{_REPOSITORY}/tags/list", "harbour/shop/tags/list"),
    _registry("GET", f"{_REPOSITORY}/referrers/<str:digest>", "harbour/shop/referrers/{manifest}"),
    _registry("GET", "<path:rest>", "somewhere/else/entirely", rules.TOKEN_NOWHERE),
)
API = (
    Route(method="GET", pattern="api/openapi.json", path="/api/openapi.json", rule=rules.EVERYONE),
    Route(method="GET", pattern="api/", path="/api/", rule=rules.NOWHERE),
    Route(
        method="GET",
        pattern="metrics",
        path="/metrics",
        rule=rules.TOKEN_METRICS,
        lists="docs-site",
    ),
    _api("GET", "teams", rule=rules.TOKEN_LIST, lists="harbour"),
    _api("GET", "teams/{name}/network", "/api/v1/teams/harbour/network"),
    _api(
        "PUT",
        "teams/{name}/network",
        "/api/v1/teams/harbour/network",
        rules.TOKEN_ADMIN_OF_TEAM,
        egress="open",
    ),
    _api("GET", "apps", rule=rules.TOKEN_LIST, lists="docs-site"),
    _api("POST", "apps", rule=rules.TOKEN_TEAM, name="another", team="harbour"),
    _api("GET", "apps/{name}"),
    _api("DELETE", "apps/{name}", "/api/v1/apps/shop?confirm=shop"),
    _api("GET", "apps/{name}/config"),
    _api("PATCH", "apps/{name}/config", changes={"COLOR": "blue"}),
    _api("PUT", "apps/{name}/description", description="Sells boats"),
    _api("POST", "apps/{name}/rename", name="www"),
    _api(
        "POST", "apps/{name}/transfer", rule=rules.TOKEN_TEAM_OWNER, team="harbour", confirm="shop"
    ),
    _api("GET", "apps/{name}/formation"),
    _api("PATCH", "apps/{name}/formation", web={"count": 1}),
    _api("POST", "apps/{name}/restart"),
    _api("GET", "apps/{name}/instances"),
    replace(_api("POST", "apps/{name}/builds"), file=True),
    _api("GET", "apps/{name}/builds"),
    _api("POST", "apps/{name}/builds/image", image="registry.example.com/shop:1"),
    _api("POST", "apps/{name}/builds/git", address="https://git.example.com/shop.git"),
    _api("GET", "apps/{name}/repository"),
    _api("DELETE", "apps/{name}/repository"),
    _api("GET", "apps/{name}/builds/{number}", "/api/v1/apps/chat/builds/{build}"),
    _api("POST", "apps/{name}/builds/{number}/cancel", "/api/v1/apps/chat/builds/{build}/cancel"),
    _api("GET", "apps/{name}/builds/{number}/log", "/api/v1/apps/chat/builds/{build}/log"),
    _api("GET", "apps/{name}/log"),
    _api("GET", "apps/{name}/releases"),
    _api("POST", "apps/{name}/releases/{number}/rollback", "/api/v1/apps/shop/releases/1/rollback"),
    _api(
        "POST", "apps/{name}/releases/{number}/again", "/api/v1/apps/shop/releases/{release}/again"
    ),
    _api("GET", "apps/{name}/rollouts"),
    _api("GET", "apps/{name}/git"),
    _api("PATCH", "apps/{name}/git", branch="release"),
    _api("GET", "apps/{name}/health"),
    _api("PATCH", "apps/{name}/health", path="/api/v1/apps/shop/health", attempts=4),
    _api("DELETE", "apps/{name}/health"),
    _api("GET", "apps/{name}/traffic"),
    _api("PATCH", "apps/{name}/traffic", drain_seconds=5),
    _api("GET", "apps/{name}/scalings"),
    _api("GET", "apps/{name}/sleep"),
    _api(
        "PUT",
        "apps/{name}/traffic/auth/{user}",
        "/api/v1/apps/shop/traffic/auth/visitor",
        password="a long password",
    ),
    _api("DELETE", "apps/{name}/traffic/auth/{user}", "/api/v1/apps/shop/traffic/auth/guest"),
    _api("GET", "apps/{name}/domains"),
    _api("POST", "apps/{name}/domains", host="another.example.com"),
    _api("POST", "apps/{name}/domains/{host}/verify", f"/api/v1{_HOST}/verify"),
    _api("DELETE", "apps/{name}/domains/{host}", f"/api/v1{_HOST}"),
    _api(
        "PUT",
        "apps/{name}/domains/{host}/certificate",
        f"/api/v1{_HOST}/certificate",
        chain="no chain",
        key="no key",
    ),
    _api("POST", "apps/{name}/domains/{host}/certificate", f"/api/v1{_HOST}/certificate"),
    _api("GET", "apps/{name}/file"),
    _api("GET", "apps/{name}/crons"),
    _api("POST", "apps/{name}/crons/{job}/run", "/api/v1/apps/shop/crons/digest/run"),
    _api("GET", "apps/{name}/runs"),
    _api("POST", "apps/{name}/runs", command="true"),
    _api("GET", "apps/{name}/runs/{number}", "/api/v1/apps/shop/runs/{run}"),
    _api("GET", "apps/{name}/runs/{number}/log", "/api/v1/apps/shop/runs/{run}/log"),
    _api("POST", "apps/{name}/runs/{number}/stop", "/api/v1/apps/shop/runs/{run}/stop"),
    _api("POST", "apps/{name}/runs/{number}/again", "/api/v1/apps/shop/runs/{run}/again"),
    _api("GET", "images", rule=rules.TOKEN_LIST, lists="docs-site"),
    _api("GET", "apps/{name}/images"),
    _api("GET", "apps/{name}/images/{image}", "/api/v1/apps/shop/images/v2"),
    _api(
        "POST", "apps/{name}/images/{image}/compare", "/api/v1/apps/shop/images/v1/compare", to="v2"
    ),
    _api(
        "POST",
        "apps/{name}/images/{image}/save",
        "/api/v1/apps/shop/images/v2/save",
        format="oci-archive",
    ),
    _api("POST", "apps/{name}/images/{image}/deploy", "/api/v1/apps/shop/images/v1/deploy"),
    _api("PUT", "apps/{name}/tags/{tag}", "/api/v1/apps/shop/tags/another", image="v1"),
    _api("DELETE", "apps/{name}/tags/{tag}", "/api/v1/apps/shop/tags/before-checkout"),
    _api(
        "POST",
        "apps/{name}/instances/{instance}/diff",
        "/api/v1/apps/shop/instances/shop-web-0/diff",
    ),
    _api(
        "POST",
        "apps/{name}/instances/{instance}/commit",
        "/api/v1/apps/shop/instances/shop-web-0/commit",
        tag="another",
    ),
    _api("GET", "apps/{name}/image-jobs/{number}", "/api/v1/apps/shop/image-jobs/{save}"),
    _api("GET", "apps/{name}/image-jobs/{number}/file", "/api/v1/apps/shop/image-jobs/{save}/file"),
    _api("GET", "volumes", rule=rules.TOKEN_LIST, lists="uploads"),
    _api("GET", "apps/{name}/volumes"),
    replace(
        _api("POST", "apps/{name}/volumes"),
        body={"name": "other", "size": 2**26, "path": "/other"},
    ),
    _api("GET", "volumes/{number}", "/api/v1/volumes/{volume}"),
    _api("PATCH", "volumes/{number}", "/api/v1/volumes/{volume}", overlap=True),
    _api("POST", "volumes/{number}/detach", "/api/v1/volumes/{volume}/detach"),
    _api("POST", "volumes/{number}/attach", "/api/v1/volumes/{loose}/attach", app="shop"),
    _api("DELETE", "volumes/{number}", "/api/v1/volumes/{volume}?confirm=uploads"),
    _api("DELETE", "volumes/{number}/data", "/api/v1/volumes/{deleted}/data?confirm=deleted"),
    _api("GET", "volumes/{number}/snapshots", "/api/v1/volumes/{volume}/snapshots"),
    _api("POST", "volumes/{number}/snapshots", "/api/v1/volumes/{volume}/snapshots"),
    _api(
        "DELETE",
        "volumes/{number}/snapshots/{snapshot}",
        "/api/v1/volumes/{volume}/snapshots/{snapshot}",
    ),
    _api(
        "POST",
        "volumes/{number}/snapshots/{snapshot}/restore",
        "/api/v1/volumes/{volume}/snapshots/{snapshot}/restore?confirm=uploads",
    ),
    _api("POST", "volumes/{number}/clone", "/api/v1/volumes/{volume}/clone", name="copy"),
    _api("POST", "volumes/{number}/download", "/api/v1/volumes/{volume}/download"),
    replace(_api("POST", "volumes/{number}/upload", "/api/v1/volumes/{volume}/upload"), file=True),
    _api("POST", "volumes/{number}/files", "/api/v1/volumes/{volume}/files", place="images"),
    _api("GET", "volumes/{number}/jobs/{job}", "/api/v1/volumes/{volume}/jobs/{download}"),
    _api("GET", "volumes/{number}/archive", "/api/v1/volumes/{volume}/archive"),
)
ROUTES = (*PAGES, *STREAMS, *GIT, *REGISTRY, *API)

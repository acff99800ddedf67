"""The code of a build, compared with the release that was live before it. Failed releases are
skipped."""

from __future__ import annotations

from dataclasses import dataclass

from portal.builds.commits import Forge, forge_of
from portal.builds.models import Build, Repository, SourceKind
from portal.releases.models import Release, Rollout, RolloutState


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeChange:
    """The commit of a build, and what it is compared with. Empty texts are not known."""

    commit: str
    author: str
    commit_url: str
    before: Release | None  # the last release that was live before
    number: int | None  # of the build's own release
    compare_url: str  # at the Git host


def code_change_of(build: Build, rollout: Rollout | None) -> CodeChange:
    """Return the change of a build. `rollout` is that of its release, if there is one."""
    number = rollout.release.number if rollout is not None else None
    before = last_live_before(build, number)
    forge = forge_of_build(build) if build.commit else None
    known = before.build.commit if before is not None and before.build is not None else ""
    return CodeChange(
        commit=build.commit,
        author=build.author,
        commit_url=forge.commit_url(build.commit) if forge else "",
        before=before,
        number=number,
        compare_url=(
            forge.compare_url(known, build.commit)
            if forge and known and known != build.commit
            else ""
        ),
    )


def last_live_before(build: Build, number: int | None) -> Release | None:
    """Return the newest release that was live before this build's release, or before the build."""
    live = Release.objects.filter(app=build.app_id, rollouts__state=RolloutState.LIVE)
    earlier = (
        live.filter(number__lt=number)
        if number is not None
        else live.filter(created_at__lt=build.created_at)
    )
    return (
        earlier.select_related("build")
        .defer("encrypted_config", "app_file")
        .order_by("-number")
        .first()
    )


def forge_of_build(build: Build) -> Forge | None:
    """Return the Git host's pages of the repository that a build was made of, if they are known."""
    if build.source.kind == SourceKind.GIT:
        return forge_of(build.source.filename)
    address = Repository.objects.filter(app=build.app_id).values_list("address", flat=True).first()
    return forge_of(address) if address else None

"""API operations for the network policies of teams."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from portal.accounts.access import team_for
from portal.accounts.models import Team
from portal.api.authentication import person_of
from portal.api.schemas import NetworkIn, NetworkOut
from portal.metrics.egress import egress_of
from portal.quotas.access import network_policy_of
from portal.quotas.actions import set_network_policy
from portal.quotas.models import NetworkPolicy

router = Router(tags=["teams"])


@router.get(
    "/teams/{name}/network",
    response=NetworkOut,
    summary="The network policy of a team and its egress traffic this month",
)
def show_network(request: HttpRequest, name: str) -> NetworkOut:
    team = team_for(person_of(request), name)
    return _network_out(team, network_policy_of(team))


@router.put(
    "/teams/{name}/network",
    response=NetworkOut,
    summary="Set the network policy of a team. Only for admins",
)
def set_network(request: HttpRequest, name: str, body: NetworkIn) -> NetworkOut:
    person = person_of(request)
    team = team_for(person, name)
    policy = set_network_policy(
        person,
        team=team,
        egress=body.egress,
        destinations="\n".join(body.destinations),
        builds_open=body.builds_open,
        bandwidth=body.bandwidth,
        substitutes=body.substitutes,
    )
    return _network_out(team, policy)


def _network_out(team: Team, policy: NetworkPolicy) -> NetworkOut:
    month = egress_of(team)
    return NetworkOut(
        egress=policy.egress,
        destinations=policy.lines,
        builds_open=policy.builds_open,
        bandwidth=policy.bandwidth,
        substitutes=policy.substitutes,
        sent_this_month=month.sent if month else None,
        received_this_month=month.received if month else None,
    )

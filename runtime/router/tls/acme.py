"""Certificates by ACME (RFC 8555): the account, an order, HTTP-01 answered by the router, DNS-01 by the operator's program for wildcards.

The protocol is the `acme` library's.

One call, one certificate. When to call, and how often to try, is the caller's; authorities limit both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from acme import challenges, client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from runtime import journal, process
from runtime.config import NodeConfig
from runtime.errors import CertificateRefused, RuntimeFailure
from runtime.router.tls.certificate import Certificate, check, request

_AGENT = "slipway"
_ORDER_WAIT = timedelta(seconds=90)
_NONCE_TRIES = 4
_HOOK_WAIT = 300  # seconds: some name servers take minutes to show a record everywhere
_CALL_WAIT = 30  # seconds for one answer of the authority


class _Network(client.ClientNetwork):
    """Takes more than one refused nonce in a row as what it is, a request to come again (RFC 8555, 6.5); the library takes one."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(_NONCE_TRIES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as refused:
                if refused.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Authority:
    """One node's account at the authority of `config.acme_directory`.

    `publish(token, answer)` and `withdraw(token)` are the router's; `ca` is a file of roots for an authority of one's own.
    """

    def __init__(
        self, config: NodeConfig, *, publish: Callable[[str, str], None], withdraw: Callable[[str], None], ca: Path | None = None
    ) -> None:
        self._config = config
        self._publish = publish
        self._withdraw = withdraw
        self._ca = ca

    def order(self, names: Sequence[str]) -> Certificate:
        """A certificate for these names, from an order to the last check; up to a minute and a half.

        CertificateRefused: the authority is down, does not like the names, does not reach them, or has had enough of us.
        """
        wildcard = next((name for name in names if name.startswith("*.")), None)
        if wildcard and self._config.acme_dns_hook is None:
            raise CertificateRefused(
                f"A certificate for {wildcard} cannot be proven over HTTP.",
                hint="Upload one for the wildcard, order names one by one, or set SLIPWAY_ACME_DNS_HOOK.",
            )
        try:
            return self._order(names)
        except messages.Error as refused:
            raise _refusal(refused, names) from None
        except errors.ValidationError as failed:
            raise _failed(failed, names) from None
        except (errors.Error, requests.RequestException, JoseError, ValueError) as error:
            raise CertificateRefused(
                f"The certificate authority at {self._config.acme_directory} did not answer as it should: {error}.",
                hint="It is tried again by itself; what is served now stays.",
            ) from None

    def _order(self, names: Sequence[str]) -> Certificate:
        acme = self._sign_in()
        key, csr = request(names)
        order = acme.new_order(csr.encode())
        with ExitStack() as answers:
            for authorization in order.authorizations:
                if authorization.body.status != messages.STATUS_VALID:
                    self._answer(acme, authorization, answers)
            # The library compares with the local clock, without a zone.
            done = acme.poll_and_finalize(order, deadline=datetime.now() + _ORDER_WAIT)  # noqa: DTZ005 - see above
        found = check(done.fullchain_pem, key, now=datetime.now(UTC))
        if missing := [name for name in names if not found.covers(name)]:
            raise CertificateRefused(f"The authority's certificate is not for {missing[0]}.", hint="Order it again.")
        return found

    def _answer(self, acme: client.ClientV2, authorization: messages.AuthorizationResource, answers: ExitStack) -> None:
        """Show that a name is ours, until `answers` ends; then ask the authority to look."""
        wanted = challenges.DNS01 if authorization.body.wildcard else challenges.HTTP01
        challenge = next((one for one in authorization.body.challenges if isinstance(one.chall, wanted)), None)
        if challenge is None:
            name = authorization.body.identifier.value
            raise CertificateRefused(f"The certificate authority offers no way to prove {name} that is known here.", hint="Choose another.")
        response, answer = challenge.response_and_validation(acme.net.key)
        if isinstance(challenge.chall, challenges.DNS01):
            record = challenge.chall.validation_domain_name(authorization.body.identifier.value)
            answers.callback(self._call_hook, "remove", record, answer)
            self._call_hook("add", record, answer)
        else:
            token = challenge.chall.encode("token")
            answers.callback(self._withdraw, token)
            self._publish(token, answer)
        acme.answer_challenge(challenge, response)

    def _call_hook(self, verb: str, record: str, value: str) -> None:
        try:
            process.run([str(self._config.acme_dns_hook), verb, record, value], timeout=_HOOK_WAIT)
        except RuntimeFailure as failure:
            raise CertificateRefused(
                f"The program that writes DNS records did not {verb} {record}. {failure.explain()}", hint="See SLIPWAY_ACME_DNS_HOOK."
            ) from None

    def _sign_in(self) -> client.ClientV2:
        """The account that is written down, or a new one."""
        path = self._config.certificates / "account.json"
        known = journal.read_json(path) or {}
        key = JWK.from_json(known["key"]) if known else JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        net = _Network(key, alg=ES256, user_agent=_AGENT, timeout=_CALL_WAIT)
        if self._ca:
            net.verify_ssl = str(self._ca)  # type: ignore[assignment]  # handed to requests, which takes a file of roots as well
        acme = client.ClientV2(client.ClientV2.get_directory(self._config.acme_directory, net), net)
        if known and known["directory"] == self._config.acme_directory:
            net.account = messages.RegistrationResource.from_json(known["account"])
            with suppress(messages.Error):  # the authority no longer knows it: make it anew, with the same key
                net.account = acme.query_registration(net.account)
                return acme
        net.account = None
        wish = messages.NewRegistration.from_data(email=self._config.acme_contact or None, terms_of_service_agreed=True)
        try:
            account = acme.new_account(wish)
        except errors.ConflictError as conflict:
            account = messages.RegistrationResource(uri=conflict.location, body=messages.Registration())
            net.account = account
        document = {"directory": self._config.acme_directory, "key": key.to_json(), "account": account.to_json()}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal.write_atomic(path, json.dumps(document, default=lambda one: one.to_json()).encode())
        return acme


def _refusal(refused: messages.Error, names: Sequence[str]) -> CertificateRefused:
    said = f"The certificate authority refused the order for {', '.join(names)}: {refused.detail or refused.typ}."
    if refused.code == "rateLimited":
        return CertificateRefused(said, hint="It counts orders by week and by hour: wait, and order less often.", retry_after=3600)
    return CertificateRefused(said, hint="Check that the domain is spelled right and leads to this machine.")


def _failed(failed: errors.ValidationError, names: Sequence[str]) -> CertificateRefused:
    why = [
        f"{one.body.identifier.value}: {challenge.error.detail}"
        for one in failed.failed_authzrs
        for challenge in one.body.challenges
        if challenge.error is not None
    ]
    return CertificateRefused(
        f"The certificate authority could not see that {', '.join(names)} leads here. {'; '.join(why)}",
        hint="Its DNS record must lead to this machine, and port 80 must be open from the internet.",
    )

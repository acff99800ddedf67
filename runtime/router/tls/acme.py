"""Certificates from ACME authorities (RFC 8555): the account, orders and challenges.

The router answers HTTP-01 challenges. The operator's program answers DNS-01 challenges for
wildcards. The library `acme` implements the protocol.

One call gets one certificate. The caller decides when and how often, because authorities limit
both.
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
_HOOK_WAIT = 300  # seconds: some name servers need minutes to publish a record everywhere
_CALL_WAIT = 30  # seconds; timeout of an answer of the authority


class _Network(client.ClientNetwork):
    """Network client that retries a request after several refused nonces (RFC 8555, 6.5).

    The library retries only once.
    """

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(_NONCE_TRIES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as refused:
                if refused.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Authority:
    """A node's account at the authority `config.acme_directory`.

    `publish(token, answer)` and `withdraw(token)` are functions of the router. `ca` is a file with
    root certificates for a private authority.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        publish: Callable[[str, str], None],
        withdraw: Callable[[str], None],
        ca: Path | None = None,
    ) -> None:
        self._config = config
        self._publish = publish
        self._withdraw = withdraw
        self._ca = ca

    def order(self, names: Sequence[str]) -> Certificate:
        """Get a certificate for these names, from the order to the final check. Takes up to 90
        seconds.

        Raise CertificateRefused if the authority is down, rejects or cannot reach the names, or
        limits our rate.
        """
        wildcard = next((name for name in names if name.startswith("*.")), None)
        if wildcard and self._config.acme_dns_hook is None:
            raise CertificateRefused(
                f"A certificate for {wildcard} cannot be validated over HTTP.",
                hint=(
                    "Upload one for the wildcard, order names one by one, or set"
                    " SLIPWAY_ACME_DNS_HOOK."
                ),
            )
        try:
            return self._order(names)
        except messages.Error as refused:
            raise _refusal(refused, names) from None
        except errors.ValidationError as failed:
            raise _failed(failed, names) from None
        except (errors.Error, requests.RequestException, JoseError, ValueError) as error:
            raise CertificateRefused(
                f"The certificate authority at {self._config.acme_directory} gave an unexpected"
                f" answer: {error}.",
                hint="Slipway retries this automatically. The current certificate stays in use.",
            ) from None

    def _order(self, names: Sequence[str]) -> Certificate:
        acme = self._sign_in()
        key, csr = request(names)
        order = acme.new_order(csr.encode())
        with ExitStack() as answers:
            for authorization in order.authorizations:
                if authorization.body.status != messages.STATUS_VALID:
                    self._answer(acme, authorization, answers)
            # The library compares with the local clock, without a time zone.
            done = acme.poll_and_finalize(order, deadline=datetime.now() + _ORDER_WAIT)  # noqa: DTZ005 - see above
        found = check(done.fullchain_pem, key, now=datetime.now(UTC))
        if missing := [name for name in names if not found.covers(name)]:
            raise CertificateRefused(
                f"The authority's certificate is not valid for {missing[0]}.",
                hint="Order it again.",
            )
        return found

    def _answer(
        self,
        acme: client.ClientV2,
        authorization: messages.AuthorizationResource,
        answers: ExitStack,
    ) -> None:
        """Publish the answer to a challenge until `answers` closes, and ask the authority to check
        it.
        """
        wanted = challenges.DNS01 if authorization.body.wildcard else challenges.HTTP01
        challenge = next(
            (
                offered
                for offered in authorization.body.challenges
                if isinstance(offered.chall, wanted)
            ),
            None,
        )
        if challenge is None:
            name = authorization.body.identifier.value
            raise CertificateRefused(
                f"The certificate authority offers no supported challenge for {name}.",
                hint="Use another authority.",
            )
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
                f"The program that writes DNS records failed to {verb} {record}."
                f" {failure.explain()}",
                hint="See SLIPWAY_ACME_DNS_HOOK.",
            ) from None

    def _sign_in(self) -> client.ClientV2:
        """Return a client with the stored account, or with a new one."""
        path = self._config.certificates / "account.json"
        known = journal.read_json(path) or {}
        key = (
            JWK.from_json(known["key"])
            if known
            else JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        )
        net = _Network(key, alg=ES256, user_agent=_AGENT, timeout=_CALL_WAIT)
        if self._ca:
            net.verify_ssl = str(self._ca)  # type: ignore[assignment]  # handed to requests, which takes a file of roots as well
        acme = client.ClientV2(client.ClientV2.get_directory(self._config.acme_directory, net), net)
        if known and known["directory"] == self._config.acme_directory:
            net.account = messages.RegistrationResource.from_json(known["account"])
            # the authority no longer has it: create it again, with the same key
            with suppress(messages.Error):
                net.account = acme.query_registration(net.account)
                return acme
        net.account = None
        wish = messages.NewRegistration.from_data(
            email=self._config.acme_contact or None, terms_of_service_agreed=True
        )
        try:
            account = acme.new_account(wish)
        except errors.ConflictError as conflict:
            account = messages.RegistrationResource(
                uri=conflict.location, body=messages.Registration()
            )
            net.account = account
        document = {
            "directory": self._config.acme_directory,
            "key": key.to_json(),
            "account": account.to_json(),
        }
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal.write_atomic(
            path, json.dumps(document, default=lambda value: value.to_json()).encode()
        )
        return acme


def _refusal(refused: messages.Error, names: Sequence[str]) -> CertificateRefused:
    said = (
        f"The certificate authority refused the order for {', '.join(names)}:"
        f" {refused.detail or refused.typ}."
    )
    if refused.code == "rateLimited":
        return CertificateRefused(
            said,
            hint="It limits orders per hour and per week: wait, and order less often.",
            retry_after=3600,
        )
    return CertificateRefused(
        said,
        hint="Check the spelling of the domain, and that its DNS record leads to this machine.",
    )


def _failed(failed: errors.ValidationError, names: Sequence[str]) -> CertificateRefused:
    why = [
        f"{authorization.body.identifier.value}: {challenge.error.detail}"
        for authorization in failed.failed_authzrs
        for challenge in authorization.body.challenges
        if challenge.error is not None
    ]
    return CertificateRefused(
        f"The certificate authority could not verify that {', '.join(names)} leads here."
        f" {'; '.join(why)}",
        hint=(
            "Its DNS record must lead to this machine, and port 80 must be open from the internet."
        ),
    )

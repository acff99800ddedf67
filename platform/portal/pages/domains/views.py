"""Views behind the domain card: add, verify, certificate, remove. Plain forms without scripts."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.domains import access, actions, certificates
from portal.errors import Refused
from portal.lifecycle import domain_removal
from portal.pages import form_errors
from portal.pages.domains.card import Card, card_of
from portal.pages.domains.forms import AddressForm, CertificateForm, DomainForm
from portal.pages.settings.sections import redirect_to, render_section
from portal.traffic import actions as traffic


@signed_in
@require_POST
def add(request: SignedInRequest, name: str) -> HttpResponse:
    """Add a domain."""
    app, form = app_for(request.user, name), DomainForm(request.POST)
    if form.is_valid():
        try:
            domain = actions.add(request.user, app=app, host=form.cleaned_data["host"])
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"{domain.host} was added.\nNow verify that you own it, with the DNS record or the"
                " file below.",
            )
            return _card(name)
    return _refused(request, app, card_of(app, added=form))


@signed_in
@require_POST
def verify(request: SignedInRequest, name: str, host: str) -> HttpResponse:
    """Check a domain again."""
    domain = access.domain_for(request.user, name, host)
    try:
        actions.verify(request.user, domain=domain)
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(request, f"{host} is being checked.\nReload the page in a few seconds.")
    return _card(name)


@signed_in
@require_POST
def remove(request: SignedInRequest, name: str, host: str) -> HttpResponse:
    """Remove a domain."""
    domain_removal.remove(request.user, domain=access.domain_for(request.user, name, host))
    messages.success(request, f"{host} was removed from {name}.")
    return _card(name)


@signed_in
@require_POST
def upload(request: SignedInRequest, name: str, host: str) -> HttpResponse:
    """Upload a certificate."""
    domain, form = access.domain_for(request.user, name, host), CertificateForm(request.POST)
    if form.is_valid():
        try:
            certificates.upload(
                request.user,
                domain=domain,
                chain=form.cleaned_data["chain"],
                key=form.cleaned_data["key"],
            )
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"The certificate for {host} is being checked.\nReload the page in a few seconds.",
            )
            return _card(name)
    return _refused(request, domain.app, card_of(domain.app, uploaded={domain.pk: form}))


@signed_in
@require_POST
def order(request: SignedInRequest, name: str, host: str) -> HttpResponse:
    """Order a certificate from the authority."""
    domain = access.domain_for(request.user, name, host)
    try:
        certificates.order(request.user, domain=domain)
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(
            request, f"A certificate for {host} is being ordered.\nThis takes up to two minutes."
        )
    return _card(name)


@signed_in
@require_POST
def addresses(request: SignedInRequest, name: str) -> HttpResponse:
    """Set the canonical host and the redirects."""
    app = app_for(request.user, name)
    form = AddressForm(request.POST, hosts=access.hosts_of(app))
    if form.is_valid():
        try:
            traffic.change(request.user, app=app, changes=form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(request, "Saved.\nThe change applies to every new request.")
            return _card(name)
    return _refused(request, app, card_of(app, addressed=form))


def _card(name: str) -> HttpResponseRedirect:
    return redirect_to(name, "domains")


def _refused(request: SignedInRequest, app: App, card: Card) -> HttpResponse:
    return render_section(request, app, "domains", changed={"card": card}, status=422)

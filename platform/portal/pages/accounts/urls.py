"""URLs of sign-in, teams and the person's account."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from portal.pages.accounts import views
from portal.pages.accounts.forms import SignInForm

urlpatterns = [
    path(
        "sign-in",
        LoginView.as_view(
            template_name="accounts/sign_in.html",
            authentication_form=SignInForm,
            redirect_authenticated_user=True,
        ),
        name="sign-in",
    ),
    path("sign-out", LogoutView.as_view(), name="sign-out"),
    path("theme", views.theme, name="theme"),
    path("teams/new", views.new_team, name="new-team"),
    path("team/<slug:name>", views.team, name="team"),
    path("team/<slug:name>/people", views.add_member, name="add-member"),
    path(
        "team/<slug:name>/people/<str:username>/remove", views.remove_member, name="remove-member"
    ),
    path("account", views.account, name="account"),
    path("account/password", views.password, name="password"),
    path("account/tokens/<int:number>/revoke", views.revoke_token, name="revoke-token"),
]

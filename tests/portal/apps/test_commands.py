"""Management commands for the owner of the machine."""

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from portal.accounts.models import Person


def test_create_admin_creates_an_admin_with_a_working_password(db: None) -> None:
    output = StringIO()
    call_command("create_admin", "keeper", stdout=output)
    password = output.getvalue().split()[-1]
    person = authenticate(username="keeper", password=password)
    assert isinstance(person, Person)
    assert person.is_staff
    with pytest.raises(CommandError, match="already in use"):
        call_command("create_admin", "keeper", stdout=output)

"""The commands for whoever owns the machine."""

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from portal.accounts.models import Person


def test_an_admin_is_made_with_a_password_that_works(db: None) -> None:
    told = StringIO()
    call_command("create_admin", "keeper", stdout=told)
    password = told.getvalue().split()[-1]
    person = authenticate(username="keeper", password=password)
    assert isinstance(person, Person)
    assert person.is_staff
    with pytest.raises(CommandError, match="taken"):
        call_command("create_admin", "keeper", stdout=told)

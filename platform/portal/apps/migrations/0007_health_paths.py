from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def take_over_paths(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """A path other than / was somebody's word, and stays it; / meant that nobody had said
    anything.
    """
    settings = apps.get_model("apps", "HealthSettings")
    every: Any = apps.get_model("apps", "App").objects  # the columns are those of that time
    said = every.exclude(health_path="/").values_list("pk", "health_path")
    settings.objects.bulk_create(settings(app_id=app, path=path) for app, path in said)


def give_back_paths(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """Of the checks that are a path; the column before has no room for another."""
    app = apps.get_model("apps", "App")
    for pk, path in (
        apps.get_model("apps", "HealthSettings")
        .objects.filter(kind="http")
        .values_list("app", "path")
    ):
        app.objects.filter(pk=pk).update(health_path=path)  # type: ignore[misc]  # a field of then


class Migration(migrations.Migration):
    """Rows alone: PostgreSQL may refuse to alter a table in the transaction that wrote to it
    (RunPython in Django's reference).
    """

    dependencies = [
        ("apps", "0006_health_settings"),
    ]

    operations = [
        migrations.RunPython(take_over_paths, give_back_paths),
    ]

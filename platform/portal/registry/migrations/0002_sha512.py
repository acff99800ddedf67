import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def _mark_indexes(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    attachments = apps.get_model("registry", "Attachment").objects
    attachments.filter(media_type__in=_INDEXES).update(is_cover=True)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("registry", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="attachment",
            name="subject",
            field=models.CharField(blank=True, max_length=128),
        ),
        migrations.AddField(
            model_name="attachment",
            name="is_cover",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(_mark_indexes, migrations.RunPython.noop),
        migrations.CreateModel(
            name="Alias",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=128)),
                ("stored", models.CharField(max_length=64)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "team",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="aliases",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["team", "stored"], name="aliases_by_blob")],
                "constraints": [
                    models.UniqueConstraint(fields=("team", "digest"), name="one_blob_an_alias")
                ],
            },
        ),
    ]

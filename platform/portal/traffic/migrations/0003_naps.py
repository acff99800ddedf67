import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apps", "0005_waking"),
        ("traffic", "0002_autoscale"),
    ]

    operations = [
        migrations.CreateModel(
            name="Nap",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("began_at", models.DateTimeField()),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("instances", models.PositiveSmallIntegerField()),
                ("memory", models.PositiveBigIntegerField()),
                (
                    "app",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="naps",
                        to="apps.app",
                    ),
                ),
            ],
            options={
                "ordering": ("-began_at",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("app", "began_at"), name="one_nap_an_app_and_moment"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("app",),
                        name="one_open_nap_an_app",
                    ),
                ],
            },
        ),
    ]
